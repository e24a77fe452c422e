/** For commands that look into a data directory, or make another one of it. */
export { verifyLog } from './verify.ts'
export type { Finding, LogReport, Lost } from './verify.ts'

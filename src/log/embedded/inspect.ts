/** For commands that look into a data directory, or make another one of it. */
export { copyLog, writeDurably } from './copy.ts'
export { dumpLog } from './dump.ts'
export type { Dumped, DumpedSection } from './dump.ts'
export { salvageLog } from './salvage.ts'
export { scrubUnit, sealedUnits } from './scrub.ts'
export { verifyLog } from './verify.ts'
export type { Damage, Finding, LogReport } from './report.ts'

import { MillraceError } from '../errors.ts'
import type { ErrorKind } from '../errors.ts'

/** The one table of exit codes; `docs/reference/cli.md` shows the same. */
export const exitCodes = {
  0: 'Done.',
  1: 'Something unexpected went wrong; the message says what.',
  2: 'The command line is wrong: unknown command, option or value.',
  3: 'The input is wrong: a pipeline file, an event, a name that does not exist.',
  4: 'Not now: no engine is running, it is not ready, or it stopped because its log failed.',
  5: 'Something else holds what is needed: the port or the data directory is in use, or a topic exists with another shape.',
  6: 'Stored data cannot be read; nothing was changed, an operator must look.',
  130: 'Interrupted a second time while stopping, which ends the process by the signal; 143 where that was SIGTERM.',
} as const

export type ExitCode = keyof typeof exitCodes

const byKind: Readonly<Record<ErrorKind, ExitCode>> = {
  invalid: 3,
  unavailable: 4,
  conflict: 5,
  data: 6,
  fenced: 5,
  internal: 1,
}

export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof MillraceError)) return 1
  return error.code === 'MR6002' ? 2 : byKind[error.kind]
}

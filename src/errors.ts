/**
 * The one table of errors: a code says what happened, its kind says what to do.
 *
 * Codes: MR1xxx input and ingest, MR2xxx log and disk, MR3xxx pipeline and plan, MR4xxx processing and state,
 * MR5xxx sinks and connectors, MR6xxx runtime, CLI and client. A code is never reused. The documentation page
 * `docs/reference/errors.md` is checked against this table in both directions.
 */

/**
 * - `invalid`: the caller's input or configuration is wrong; repeating it will fail again.
 * - `unavailable`: not now; repeat later (with backoff).
 * - `conflict`: something else holds or has what was asked for.
 * - `data`: stored data cannot be read or does not mean what it should; an operator must look.
 * - `fenced`: a newer owner took over; this one must stop.
 * - `internal`: a bug in Millrace.
 */
export type ErrorKind = 'invalid' | 'unavailable' | 'conflict' | 'data' | 'fenced' | 'internal'

export interface ErrorEntry {
  readonly kind: ErrorKind
  /** What happened, in one line, without values. */
  readonly title: string
  /** What the reader should do. */
  readonly advice: string
  /** HTTP status where it reaches a client. */
  readonly status?: number
}

export const errorTable = {
  MR1001: { kind: 'invalid', title: 'The event is not valid JSON', advice: 'Send one JSON object per event, in UTF-8.', status: 400 },
  MR6000: { kind: 'internal', title: 'An invariant does not hold', advice: 'This is a bug in Millrace: please report it with the message.', status: 500 },
  MR3090: {
    kind: 'invalid',
    title: 'The pipeline file does not parse',
    advice: 'Fix the syntax error in the file it names.',
  },
  MR3091: {
    kind: 'invalid',
    title: 'The pipeline file uses TypeScript syntax that Node cannot strip',
    advice: 'Use only erasable syntax (no enum, namespace, parameter property or decorator).',
  },
  MR3092: {
    kind: 'invalid',
    title: 'The file does not export a pipeline',
    advice: "Write `export default pipeline('name', (p) => { ... })`.",
  },
  MR3093: {
    kind: 'invalid',
    title: 'The pipeline file, or a file it imports, is not there',
    advice: 'Check the path; imports of TypeScript files end in `.ts`.',
  },
  MR3094: {
    kind: 'invalid',
    title: 'The pipeline file failed while it was loaded',
    advice: 'Fix the error its top level throws.',
  },
  MR3095: {
    kind: 'invalid',
    title: 'The pipeline file did not finish loading in time',
    advice: 'Its top level must end: remove the endless loop or the await that never resolves.',
  },
  MR3096: {
    kind: 'conflict',
    title: 'The pipeline file gives another plan in each thread',
    advice: 'Its top level must not depend on the time, on randomness or on the thread it runs in.',
  },
  MR6001: {
    kind: 'conflict',
    title: 'The port is in use',
    advice: 'Choose another with --port, or 0 for any free port.',
  },
  MR6002: {
    kind: 'invalid',
    title: 'An option has a value it cannot have',
    advice: 'See `millrace run --help` for the options, their units and limits.',
  },
  MR6003: {
    kind: 'unavailable',
    title: 'No engine runs on this data directory',
    advice: 'Start one with `millrace run`, or name its directory with --data-dir.',
    status: 503,
  },
  MR6004: {
    kind: 'unavailable',
    title: 'The engine is not ready for this',
    advice: 'Send the same request again after the seconds that Retry-After names.',
    status: 503,
  },
  MR6005: {
    kind: 'unavailable',
    title: 'A worker died',
    advice: 'It is replaced and goes on from its last commit; if it dies again, see the cause in its message.',
    status: 503,
  },
  MR6006: {
    kind: 'unavailable',
    title: 'A worker was stuck in user code and was ended',
    advice: 'Look for an endless loop or a very slow call in the function it names, or raise --watchdog.',
    status: 503,
  },
  MR6007: {
    kind: 'unavailable',
    title: 'A worker ran out of memory',
    advice: 'Raise --worker-memory, lower the state limit of the pipeline, or use fewer, smaller windows.',
    status: 503,
  },
  MR6008: {
    kind: 'internal',
    title: 'The log thread ended',
    advice: 'The engine stops at once, so that nothing is acknowledged that is not durable; start it again.',
    status: 503,
  },
  MR6009: {
    kind: 'invalid',
    title: 'This request may come only from this machine',
    advice: 'Use the command line on the machine of the engine.',
    status: 403,
  },
  MR6010: {
    kind: 'invalid',
    title: 'There is nothing of this name',
    advice: 'List what is there with `millrace topics list`, `millrace lag` or `millrace dlq list`.',
    status: 404,
  },
  MR6011: {
    kind: 'invalid',
    title: 'The request does not say what is needed',
    advice: 'See `docs/reference/cli.md`.',
    status: 400,
  },
  MR6012: {
    kind: 'unavailable',
    title: 'Windows is not supported yet',
    advice: 'Use Linux, or macOS for development; the Windows Subsystem for Linux works too.',
  },
  MR6013: {
    kind: 'invalid',
    title: 'The engine has nothing to run',
    advice: 'Name at least one pipeline file that loads.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorTable

/**
 * An operating error. `message` names the value, the limit and the fix; match on `code`, not on the message.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly details: Readonly<Record<string, unknown>>

  /** `what` is a full sentence that names the value and the limit; the table's advice is added to it. */
  constructor(code: ErrorCode, what: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    const entry: ErrorEntry = errorTable[code]
    super(`${code}: ${what} ${entry.advice}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MillraceError'
    this.code = code
    this.kind = entry.kind
    this.details = options.details ?? {}
  }

  /** The HTTP status for this error; 500 where the table names none. */
  get status(): number {
    const entry: ErrorEntry = errorTable[this.code]
    return entry.status ?? 500
  }

  toJSON(): { code: ErrorCode; kind: ErrorKind; message: string; details: Readonly<Record<string, unknown>> } {
    return { code: this.code, kind: this.kind, message: this.message, details: this.details }
  }
}

/** Rebuilds an error that crossed a thread or a socket as `toJSON` made it. */
export function reviveError(json: { code: string; message: string; details?: Record<string, unknown> }): MillraceError {
  const code: ErrorCode = json.code in errorTable ? (json.code as ErrorCode) : 'MR6000'
  const error = new MillraceError(code, '', json.details === undefined ? {} : { details: json.details })
  error.message = json.message
  return error
}

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

/**
 * The one table of errors: a code says what happened, its kind says what to do.
 *
 * Codes: MR1xxx input and ingest, MR2xxx log and disk, MR3xxx pipeline and plan, MR4xxx processing and state,
 * MR5xxx sinks and connectors, MR6xxx runtime, CLI and client. A code is never reused. The documentation page
 * `docs/reference/errors.md` is checked against this table in both directions.
 */
import type { ErrorEntry, ErrorKind } from './errors/entry.ts'
import { ingestErrors } from './errors/ingest.ts'
import { logErrors } from './errors/log.ts'
import { pipelineErrors } from './errors/pipeline.ts'
import { processErrors } from './errors/process.ts'
import { runtimeErrors } from './errors/runtime.ts'
import { sinkErrors } from './errors/sinks.ts'

export type { ErrorEntry, ErrorKind }

export const errorTable = {
  ...ingestErrors,
  ...logErrors,
  ...pipelineErrors,
  ...processErrors,
  ...sinkErrors,
  ...runtimeErrors,
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorTable

/** What happened and what to do about it, as every error says it. A code of a connector, which is not in the table, has no advice. */
export function messageOf(code: string, what: string): string {
  const advice = code in errorTable ? ` ${errorTable[code as ErrorCode].advice}` : ''
  return `${code}: ${what}${advice}`
}

/**
 * An operating error. `message` names the value, the limit and the fix; match on `code`, not on the message.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly details: Readonly<Record<string, unknown>>

  /** `what` is a full sentence that names the value and the limit; the table's advice is added to it. */
  constructor(
    code: ErrorCode,
    what: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(messageOf(code, what), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MillraceError'
    this.code = code
    this.kind = errorTable[code].kind
    this.details = options.details ?? {}
  }

  /** The HTTP status for this error; 500 where the table names none. */
  get status(): number {
    const entry: ErrorEntry = errorTable[this.code]
    return entry.status ?? 500
  }

  toJSON(): {
    code: ErrorCode
    kind: ErrorKind
    message: string
    details: Readonly<Record<string, unknown>>
  } {
    return { code: this.code, kind: this.kind, message: this.message, details: this.details }
  }
}

/** Rebuilds an error that crossed a thread or a socket as `toJSON` made it. */
export function reviveError(json: {
  code: string
  message: string
  details?: Record<string, unknown>
}): MillraceError {
  const code: ErrorCode = json.code in errorTable ? (json.code as ErrorCode) : 'MR6000'
  const error = new MillraceError(
    code,
    '',
    json.details === undefined ? {} : { details: json.details },
  )
  error.message = json.message
  return error
}

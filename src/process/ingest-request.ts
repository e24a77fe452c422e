/**
 * What passes between whoever takes events in (HTTP front, `engine.produce`, CLI) and the ingest task that stores them.
 * Bodies and answers are bytes, so that they cross a thread by transfer and are never serialised again.
 */
import { errorTable, MillraceError } from '../errors.ts'
import type { ErrorCode, ErrorEntry } from '../errors.ts'

/** `json`: one value or an array of values. `ndjson`: one value per line. */
export type BodyFormat = 'json' | 'ndjson'

/** An idempotent producer: one sequence number per request, in order, one request at a time. */
export interface ProducerRef {
  readonly id: string
  /** Rises when the producer opens again; milliseconds since 1970 at that moment is a good choice. */
  readonly epoch: number
  /** 0 for the first request of an epoch, then one more for each. */
  readonly sequence: number
}

export interface IngestRequest {
  readonly body: Uint8Array
  readonly format: BodyFormat
  readonly producer?: ProducerRef
}

/** `body` is JSON: either `{accepted, refused, deadLettered, verdicts}` or `{error: {code, kind, message}}`. */
export interface IngestAnswer {
  readonly status: number
  readonly body: Uint8Array
  /** Set where the same request may succeed later. */
  readonly retryAfterSeconds?: number
}

/** One refused event of a body, by its index. */
export interface Verdict {
  readonly index: number
  readonly code: ErrorCode
  readonly message: string
}

/** A reason to refuse one event or one body; `what` is a sentence that names value and limit. */
export interface Refusal {
  readonly code: ErrorCode
  readonly what: string
}

export interface Outcome {
  /** Events appended to the topic. */
  readonly accepted: number
  /** Invalid events kept as dead letters, where the stream is declared so. */
  readonly deadLettered: number
  readonly verdicts: readonly Verdict[]
  /** The body was one event, not a list of events. */
  readonly single: boolean
}

const encoder = new TextEncoder()
const plainAnswers = new Map<number, Uint8Array>()

/** The answer to a body whose events were judged one by one: 400 where all of them are refused. */
export function outcomeAnswer(outcome: Outcome): IngestAnswer {
  const { accepted, deadLettered, verdicts } = outcome
  if (verdicts.length === 0 && deadLettered === 0) {
    return { status: 200, body: plainAnswer(accepted) }
  }
  const refused = verdicts.length
  const status = accepted === 0 && deadLettered === 0 ? statusOf(outcome) : 200
  const body = encoder.encode(JSON.stringify({ accepted, refused, deadLettered, verdicts }))
  return { status, body }
}

/** Nothing of the body was stored. */
export function refusalAnswer(
  code: ErrorCode,
  what: string,
  verdicts?: readonly Verdict[],
): IngestAnswer {
  return errorAnswer(new MillraceError(code, what), verdicts)
}

export function errorAnswer(error: MillraceError, verdicts?: readonly Verdict[]): IngestAnswer {
  const { code, kind, message } = error
  const json =
    verdicts === undefined
      ? { error: { code, kind, message } }
      : { error: { code, kind, message }, verdicts }
  const answer = { status: error.status, body: encoder.encode(JSON.stringify(json)) }
  return kind === 'unavailable' ? { ...answer, retryAfterSeconds: 1 } : answer
}

function statusOf(outcome: Outcome): number {
  const first = outcome.verdicts[0]
  if (!outcome.single || first === undefined) return 400
  const entry: ErrorEntry = errorTable[first.code]
  return entry.status ?? 400
}

function plainAnswer(accepted: number): Uint8Array {
  let body = plainAnswers.get(accepted)
  if (body === undefined) {
    body = encoder.encode(`{"accepted":${accepted},"refused":0,"deadLettered":0,"verdicts":[]}`)
    if (plainAnswers.size < 10_000) plainAnswers.set(accepted, body)
  }
  return body
}

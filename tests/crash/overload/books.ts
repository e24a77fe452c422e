/** What generator and comparison agree on: how a request is numbered, and what became of it. */

export const eventsPerRequest = 10
/** Numbers of requests begin here, so that all have as many digits. */
export const firstNumber = 1_000_000_000

/** What the producer knows of a request. `unknown`: it has no answer, or one that does not tell. */
export const outcome = { none: 0, stored: 1, refused: 2, unknown: 3 } as const

export interface Phase {
  readonly seconds: number
  readonly connections: number
  /** Requests per second, sent to schedule; 0: each connection sends as soon as it has an answer. */
  readonly perSecond: number
}

export interface PhaseReport {
  /** Seconds until the last request had its answer are not counted. */
  readonly seconds: number
  readonly due: number
  readonly sent: number
  /** Due while every connection waited for an answer. */
  readonly unsent: number
  readonly statuses: Readonly<Record<string, number>>
  /** Answers 429 and 503 without Retry-After. */
  readonly withoutRetryAfter: number
  /** Connections that ended without an answer to what was sent. */
  readonly broken: number
  /** As the generator saw them, in milliseconds: it is busy itself. */
  readonly storedMs: { readonly p50: number; readonly p99: number }
  readonly refusedMs: { readonly p50: number; readonly p99: number }
  /** Answers that are none of those a producer is told of. */
  readonly odd: readonly string[]
}

export type ToGenerator = Phase | { readonly write: string }

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

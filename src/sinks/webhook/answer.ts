/** What an answer of a webhook's receiver means. Pure. */
import type { NetAnswer } from '../../core/env/env.ts'

export type Verdict =
  | { readonly kind: 'accepted' }
  /** Something in these records is wrong: find which. */
  | { readonly kind: 'refused'; readonly why: string }
  /** The receiver wants nothing more at all. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'later'; readonly why: string; readonly retryAfterMs: number | undefined }

/** Statuses that speak about the address or the credentials: every record would get them, so none is to blame. */
const aboutUs = new Set([401, 402, 403, 404, 405, 407, 421, 426, 451])
/** Statuses that say "not now". */
const notNow = new Set([408, 409, 423, 425, 429])

/** `now` is wall time in milliseconds, for a Retry-After that names a date. */
export function judge(answer: Pick<NetAnswer, 'status' | 'headers'>, now: number): Verdict {
  const { status, headers } = answer
  if (status >= 200 && status < 300) return { kind: 'accepted' }
  if (status === 410) return { kind: 'gone' }
  const retryAfterMs = retryAfter(headers['retry-after'], now)
  if (status >= 300 && status < 400) {
    return {
      kind: 'later',
      why: `the answer is a redirection (${status}), which is not followed`,
      retryAfterMs,
    }
  }
  const concernsRecords =
    status >= 400 && status < 500 && !notNow.has(status) && !aboutUs.has(status)
  if (concernsRecords) return { kind: 'refused', why: `the receiver answered ${status}` }
  return { kind: 'later', why: `the receiver answered ${status}`, retryAfterMs }
}

const longestWaitMs = 24 * 60 * 60 * 1000

/** Seconds or an HTTP date; at most a day, and nothing for what is neither. */
export function retryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  const ms = /^\d{1,10}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), longestWaitMs) : undefined
}

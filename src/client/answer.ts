/** What an answer of the engine means for the batch it answers. Pure. */
import { MillraceError, reviveError } from '../errors.ts'

export interface Refused {
  readonly index: number
  readonly code: string
  readonly message: string
}

/** One try: an answer, or none. */
export type Attempt =
  | { readonly status: number; readonly text: string; readonly retryAfter: string | null }
  | { readonly unreachable: string }

export type Decision =
  /** Every event was judged; the sequence number is used up. */
  | { readonly next: 'done'; readonly refused: readonly Refused[] }
  /** Not now: the same again. */
  | { readonly next: 'retry'; readonly afterMs: number; readonly error: MillraceError }
  /** Too much at once; nothing of it was stored. */
  | { readonly next: 'split' }
  /** Nothing of it was stored, and will not be. */
  | { readonly next: 'refuse'; readonly error: MillraceError }
  /** The session is gone: a new epoch begins. */
  | { readonly next: 'reopen'; readonly error: MillraceError }
  /** Another producer of this name has taken over. */
  | { readonly next: 'stop'; readonly error: MillraceError }
  /** Stored before, with verdicts that nobody knows any more. */
  | { readonly next: 'unknown'; readonly error: MillraceError }

const splitting = ['MR1029', 'MR1030', 'MR1031', 'MR1050']

export function decide(attempt: Attempt): Decision {
  if ('unreachable' in attempt) {
    const error = new MillraceError(
      'MR6051',
      `The engine cannot be reached (${attempt.unreachable}).`,
    )
    return { next: 'retry', afterMs: 0, error }
  }
  const { status, text, retryAfter } = attempt
  const json = parsed(text)
  const refused = refusedIn(json)
  if (refused !== undefined) return { next: 'done', refused }
  const error = errorIn(json) ?? notOurs(status, text)
  const afterMs = Math.min(60, Number(retryAfter ?? 0) || 0) * 1000
  if (status === 429 || status === 408 || status >= 500) return { next: 'retry', afterMs, error }
  if (splitting.includes(error.code)) return { next: 'split' }
  switch (error.code) {
    case 'MR1045':
      return { next: 'stop', error }
    case 'MR1046':
    case 'MR1044':
      return { next: 'reopen', error }
    case 'MR1047':
      return { next: 'unknown', error }
    default:
      return { next: 'refuse', error }
  }
}

function notOurs(status: number, text: string): MillraceError {
  return new MillraceError(
    'MR6053',
    `The answer is ${status} ${JSON.stringify(text.slice(0, 100))}.`,
  )
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The verdicts, where the events were judged one by one. */
function refusedIn(json: Readonly<Record<string, unknown>>): Refused[] | undefined {
  const { accepted, verdicts } = json
  if (typeof accepted !== 'number' || !Array.isArray(verdicts)) return undefined
  return verdicts.flatMap((verdict: unknown) => {
    if (typeof verdict !== 'object' || verdict === null) return []
    const { index, code, message } = verdict as Record<string, unknown>
    return typeof index === 'number'
      ? [{ index, code: String(code), message: String(message) }]
      : []
  })
}

function errorIn(json: Readonly<Record<string, unknown>>): MillraceError | undefined {
  const { error } = json
  if (typeof error !== 'object' || error === null) return undefined
  const { code, message } = error as Record<string, unknown>
  return typeof code === 'string' ? reviveError({ code, message: String(message) }) : undefined
}

/**
 * Events of the benchmarks: the shape of the Yahoo streaming benchmark, about 240 bytes of JSON each, every one of them
 * different, from a seed. What must come out is computed here too, by loops that anyone can follow.
 */

export const adCount = 1_000
export const campaignCount = 100
export const userCount = 100_000
export const pageCount = 10_000
/** Event time between two events, in milliseconds: a window of ten seconds holds 100,000 of them. */
const stepMs = 0.1
/** Start of event time. */
export const epoch = Date.UTC(2024, 0, 1)
export const windowMs = 10_000

const types = ['view', 'click', 'purchase'] as const
const adTypes = ['banner', 'modal', 'sponsored-search', 'mail', 'mobile'] as const

export const adId = (ad: number): string => idOf(0xad, ad)
export const campaignId = (campaign: number): string => idOf(0xca, campaign)
export const campaignOf = (ad: number): number => ad % campaignCount
export const userId = (user: number): string => idOf(0x05, user)

/** Looks like a UUID, and says what it is. */
function idOf(kind: number, n: number): string {
  const mixed = (Math.imul(n + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
  const number = n.toString(16).padStart(12, '0')
  return `${mixed}-${mixed.slice(0, 4)}-4${kind.toString(16).padStart(3, '0')}-a${mixed.slice(5)}-${number}`
}

/** One event before it is written as JSON. */
export interface Choice {
  readonly user: number
  readonly page: number
  readonly ad: number
  readonly type: (typeof types)[number]
  readonly time: number
  /** Cents. */
  readonly amount: number
}

/** The events of a seed, one after another: the n-th is always the same. */
export function* choices(seed: number, count: number): Generator<Choice> {
  const random = randomOf(seed)
  for (let n = 0; n < count; n++) {
    const word = random()
    const other = random()
    yield {
      user: word % userCount,
      page: other % pageCount,
      ad: (word >>> 8) % adCount,
      type: types[(other >>> 4) % 3]!,
      time: epoch + Math.floor(n * stepMs),
      amount: (other >>> 6) % 100_000,
    }
  }
}

const users = lazily(userCount, userId)
const pages = lazily(pageCount, (page) => idOf(0x9a, page))
const ads = lazily(adCount, adId)

/** The event as producers send it. */
export function eventJson(choice: Choice, n: number): string {
  const { user, page, ad, type, time, amount } = choice
  return `{"user_id":"${users(user)}","page_id":"${pages(page)}","ad_id":"${ads(ad)}","ad_type":"${adTypes[ad % 5]}","event_type":"${type}","event_time":${time},"amount":${amount / 100},"ip_address":"10.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}"}`
}

/** Views per window and campaign, keyed `<start> <campaign id>`. */
export function viewsPerCampaign(seed: number, count: number): Map<string, number> {
  const views = new Map<string, number>()
  for (const { type, ad, time } of choices(seed, count)) {
    if (type !== 'view') continue
    const start = Math.floor(time / windowMs) * windowMs
    const key = `${start} ${campaignId(campaignOf(ad))}`
    views.set(key, (views.get(key) ?? 0) + 1)
  }
  return views
}

/** Xorshift32: unsigned numbers of 32 bits. */
function randomOf(seed: number): () => number {
  let state = (seed ^ 0x2545f491) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
}

function lazily(count: number, make: (n: number) => string): (n: number) => string {
  const made: (string | undefined)[] = new Array(count)
  return (n) => (made[n] ??= make(n))
}

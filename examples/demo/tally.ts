/**
 * What the results must be, counted apart from Millrace: plain Maps over what the producer had acknowledged and over the
 * lines of the orders file. Nothing of the engine is imported here.
 */

export interface PageWindow {
  views: number
  seconds: number
  pro: number
}

/** Keyed `page|window start in ms`. */
export type PageTally = Map<string, PageWindow>

export function countPage(
  tally: PageTally,
  page: string,
  atMs: number,
  duration: number,
  pro: boolean,
): void {
  const key = `${page}|${Math.floor(atMs / 10_000) * 10_000}`
  let window = tally.get(key)
  if (window === undefined) tally.set(key, (window = { views: 0, seconds: 0, pro: 0 }))
  window.views++
  window.seconds += duration
  if (pro) window.pro++
}

/** Keyed `country|window start in ms`. */
export function tallyOrders(ndjson: string): Map<string, { orders: number; cents: number }> {
  const tally = new Map<string, { orders: number; cents: number }>()
  for (const line of ndjson.split('\n')) {
    if (line === '') continue
    const order = JSON.parse(line) as { at: string; country: string; status: string; cents: number }
    if (order.status !== 'paid') continue
    const key = `${order.country}|${Math.floor(Date.parse(order.at) / 60_000) * 60_000}`
    const window = tally.get(key) ?? { orders: 0, cents: 0 }
    tally.set(key, { orders: window.orders + 1, cents: window.cents + order.cents })
  }
  return tally
}

/** Half of the users are on the pro plan; the rule is known to the table's writer and to the tally. */
export const isPro = (user: number): boolean => user % 2 === 1

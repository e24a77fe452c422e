/** Writes the orders that the demo replays: seeded, so that every run has the same business, ending at `endMs`. */
import { writeFileSync } from 'node:fs'

const COUNTRIES = ['DE', 'FR', 'GB', 'IN', 'JP', 'US']

export function writeOrders(path: string, count: number, endMs: number): void {
  let state = 20_240_101
  const next = (bound: number): number => {
    // Park and Miller's minimal standard generator: small, seeded, good enough to draw orders.
    state = (state * 48_271) % 2_147_483_647
    return state % bound
  }
  const lines: string[] = []
  for (let n = 0; n < count; n++) {
    const order = {
      order_id: `ord_${n}`,
      at: new Date(endMs - (count - n) * 30 + next(2_000) - 2_000).toISOString(),
      country: COUNTRIES[next(COUNTRIES.length)],
      status: next(10) === 0 ? 'cancelled' : 'paid',
      cents: 100 + next(20_000),
    }
    lines.push(JSON.stringify(order))
  }
  writeFileSync(path, `${lines.join('\n')}\n`)
}

/** Holds the SQLite tables against the tallies, window by window; returns what differs, at most ten lines. */
import { DatabaseSync } from 'node:sqlite'
import type { PageTally } from './tally.ts'

export interface Comparison {
  readonly windows: number
  readonly views: number
  readonly differences: readonly string[]
}

interface PageRow {
  readonly page: string
  readonly window_start: string
  readonly views: number
  readonly seconds: number
  readonly pro_views: number
}

export function comparePages(database: string, expected: PageTally): Comparison {
  const rows = read<PageRow>(
    database,
    'select page, window_start, views, seconds, pro_views from pages',
  )
  const differences: string[] = []
  const left = new Map(expected)
  let views = 0
  for (const row of rows) {
    const key = `${row.page}|${Date.parse(row.window_start)}`
    const want = left.get(key)
    left.delete(key)
    views += row.views
    const average = want === undefined ? Number.NaN : want.seconds / want.views
    const same =
      want !== undefined &&
      row.views === want.views &&
      row.pro_views === want.pro &&
      Math.abs(row.seconds - average) <= 1e-9 * Math.max(1, Math.abs(average))
    if (!same)
      differences.push(`${key}: table ${JSON.stringify(row)}, tally ${JSON.stringify(want)}`)
  }
  for (const [key, want] of left)
    differences.push(`${key}: not in the table, tally ${JSON.stringify(want)}`)
  return { windows: rows.length, views, differences: differences.slice(0, 10) }
}

export function compareRevenue(
  database: string,
  expected: Map<string, { orders: number; cents: number }>,
): Comparison {
  const rows = read<{ country: string; window_start: string; orders: number; cents: number }>(
    database,
    'select country, window_start, orders, cents from revenue',
  )
  const differences: string[] = []
  const left = new Map(expected)
  let orders = 0
  for (const row of rows) {
    const key = `${row.country}|${Date.parse(row.window_start)}`
    const want = left.get(key)
    left.delete(key)
    orders += row.orders
    if (want === undefined || want.orders !== row.orders || want.cents !== row.cents) {
      differences.push(`${key}: table ${JSON.stringify(row)}, tally ${JSON.stringify(want)}`)
    }
  }
  for (const [key, want] of left)
    differences.push(`${key}: not in the table, tally ${JSON.stringify(want)}`)
  return { windows: rows.length, views: orders, differences: differences.slice(0, 10) }
}

function read<Row>(database: string, query: string): Row[] {
  const db = new DatabaseSync(database, { readOnly: true })
  try {
    return db.prepare(query).all() as Row[]
  } finally {
    db.close()
  }
}

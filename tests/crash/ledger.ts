/** The producer's own books, apart from the engine: what was acknowledged, in which order per user, and the windows it makes. */

export interface Sent {
  readonly id: string
  readonly user: string
  readonly page: string
  readonly n: number
  readonly at: number
}

export class Ledger {
  /** How often each id was acknowledged; must be 1 for all. */
  readonly acknowledged = new Map<string, number>()

  acknowledge(events: readonly Sent[]): void {
    for (const event of events)
      this.acknowledged.set(event.id, (this.acknowledged.get(event.id) ?? 0) + 1)
  }

  /** Compares the topic's records, in reading order per partition, with what was acknowledged: as multisets and in order. */
  differencesInTopic(partitions: readonly (readonly Sent[])[]): string[] {
    const differences: string[] = []
    const left = new Map(this.acknowledged)
    const lastOfUser = new Map<string, number>()
    for (const records of partitions) {
      for (const record of records) {
        const times = left.get(record.id) ?? 0
        if (times === 0)
          differences.push(`${record.id}: in the topic more often than it was acknowledged`)
        else if (times === 1) left.delete(record.id)
        else left.set(record.id, times - 1)
        const last = lastOfUser.get(record.user) ?? -1
        if (record.n <= last)
          differences.push(`${record.id}: number ${record.n} of ${record.user} after ${last}`)
        lastOfUser.set(record.user, record.n)
      }
    }
    for (const id of left.keys()) differences.push(`${id}: acknowledged, but not in the topic`)
    return differences
  }
}

/** The windows of both pipelines: how long, how late an event may be, and how far events may be out of order. */
const SIZE_MS = 1_000
const LATENESS_MS = 30_000
const BOUND_MS = 30_000

export interface WindowRow {
  readonly page: string
  readonly window_start: string
  readonly views: number
  readonly total: number
}

/**
 * Compares rows of the sink (or of the output topic) with the windows that the events make. The topic is that of the
 * ledger by then. A producer that was unlucky for minutes sends events that are late, by what their partition holds
 * before them.
 */
export function differencesInWindows(
  rows: readonly WindowRow[],
  partitions: readonly (readonly Sent[])[],
): string[] {
  const left = windowsOf(partitions)
  const differences: string[] = []
  for (const row of rows) {
    const key = `${row.page}|${Date.parse(row.window_start)}`
    const want = left.get(key)
    left.delete(key)
    if (want === undefined || want.views !== row.views || want.total !== row.total)
      differences.push(`${key}: ${JSON.stringify(row)}, but the topic ${JSON.stringify(want)}`)
  }
  for (const [key, want] of left)
    differences.push(`${key}: missing, in the topic ${JSON.stringify(want)}`)
  return differences
}

function windowsOf(
  partitions: readonly (readonly Sent[])[],
): Map<string, { views: number; total: number }> {
  const windows = new Map<string, { views: number; total: number }>()
  for (const events of partitions) {
    let watermark = -Infinity
    for (const { page, n, at } of events) {
      const start = Math.floor(at / SIZE_MS) * SIZE_MS
      const late = watermark >= start + SIZE_MS + LATENESS_MS
      watermark = Math.max(watermark, at - BOUND_MS)
      if (late || n % 10 === 0) continue
      const window = windows.get(`${page}|${start}`) ?? { views: 0, total: 0 }
      window.views++
      window.total += n
      windows.set(`${page}|${start}`, window)
    }
  }
  return windows
}

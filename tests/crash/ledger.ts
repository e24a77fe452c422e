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
  readonly #windows = new Map<string, { views: number; total: number }>()

  acknowledge(events: readonly Sent[]): void {
    for (const event of events) {
      this.acknowledged.set(event.id, (this.acknowledged.get(event.id) ?? 0) + 1)
      if (event.n % 10 === 0) continue
      const key = `${event.page}|${Math.floor(event.at / 1000) * 1000}`
      const window = this.#windows.get(key) ?? { views: 0, total: 0 }
      this.#windows.set(key, { views: window.views + 1, total: window.total + event.n })
    }
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

  /** Compares rows of the sink (or of the output topic) with the windows of the acknowledged events. */
  differencesInWindows(
    rows: readonly { page: string; window_start: string; views: number; total: number }[],
  ): string[] {
    const differences: string[] = []
    const left = new Map(this.#windows)
    for (const row of rows) {
      const key = `${row.page}|${Date.parse(row.window_start)}`
      const want = left.get(key)
      left.delete(key)
      if (want === undefined || want.views !== row.views || want.total !== row.total) {
        differences.push(`${key}: ${JSON.stringify(row)}, but acknowledged ${JSON.stringify(want)}`)
      }
    }
    for (const [key, want] of left)
      differences.push(`${key}: missing, acknowledged ${JSON.stringify(want)}`)
    return differences
  }
}

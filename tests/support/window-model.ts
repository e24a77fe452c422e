/** Windows as one would explain them on paper. Imports nothing of the project. */
export interface ModelEvent {
  readonly partition: number
  readonly time: number
  readonly key: string
  readonly value: number | undefined
}

export interface ModelWindow {
  readonly key: string
  readonly start: number
  count: number
  sum: number
  n: number
  min: number | null
  max: number | null
  /** Rows that came when their own partition's watermark had passed the window's end. */
  updates: number
}

export interface ModelResult {
  readonly windows: Map<string, ModelWindow>
  readonly late: ModelEvent[]
}

/** Events in the order of their partitions' offsets. */
export function windowsOf(
  events: readonly ModelEvent[],
  options: { readonly size: number; readonly lateness: number; readonly bound: number },
): ModelResult {
  const watermarks = new Map<number, number>()
  const windows = new Map<string, ModelWindow>()
  const late: ModelEvent[] = []
  for (const event of events) {
    const watermark = watermarks.get(event.partition) ?? -Infinity
    watermarks.set(event.partition, Math.max(watermark, event.time - options.bound))
    const start = Math.floor(event.time / options.size) * options.size
    if (watermark >= start + options.size + options.lateness) {
      late.push(event)
      continue
    }
    const id = `${event.key}@${start}`
    const window = windows.get(id) ?? {
      key: event.key,
      start,
      count: 0,
      sum: 0,
      n: 0,
      min: null,
      max: null,
      updates: 0,
    }
    windows.set(id, window)
    window.count++
    if (watermark >= start + options.size) window.updates++
    if (event.value === undefined) continue
    window.sum += event.value
    window.n++
    window.min = window.min === null ? event.value : Math.min(window.min, event.value)
    window.max = window.max === null ? event.value : Math.max(window.max, event.value)
  }
  return { windows, late }
}

/** An entry of a `TimeHeap`: ordered by time, then tie, then the order of insertion. */
export interface HeapEntry {
  readonly at: number
  readonly tie: number
  readonly run: () => void
  /** Kept by the heap: where the entry is, or -1 when it is not in it. */
  slot: number
  /** Kept by the heap: the order of insertion. */
  order: number
}

/** A binary heap of timed callbacks with removal, so that cancelled timers take no memory. */
export class TimeHeap {
  readonly #entries: HeapEntry[] = []
  #inserted = 0

  get size(): number {
    return this.#entries.length
  }

  peek(): HeapEntry | undefined {
    return this.#entries[0]
  }

  push(at: number, tie: number, run: () => void): HeapEntry {
    const entry: HeapEntry = { at, tie, run, slot: this.#entries.length, order: this.#inserted++ }
    this.#entries.push(entry)
    this.#up(entry)
    return entry
  }

  pop(): HeapEntry | undefined {
    const first = this.#entries[0]
    if (first !== undefined) this.remove(first)
    return first
  }

  /** Takes an entry out; false when it is no longer in. */
  remove(entry: HeapEntry): boolean {
    const slot = entry.slot
    if (slot < 0) return false
    entry.slot = -1
    const last = this.#entries.pop()
    if (last !== undefined && last !== entry) {
      this.#place(last, slot)
      this.#up(last)
      this.#down(last)
    }
    return true
  }

  #place(entry: HeapEntry, slot: number): void {
    this.#entries[slot] = entry
    entry.slot = slot
  }

  #up(entry: HeapEntry): void {
    while (entry.slot > 0) {
      const slot = entry.slot
      const parentSlot = (slot - 1) >> 1
      const parent = this.#entries[parentSlot]
      if (parent === undefined || !before(entry, parent)) return
      this.#place(parent, slot)
      this.#place(entry, parentSlot)
    }
  }

  #down(entry: HeapEntry): void {
    for (;;) {
      const slot = entry.slot
      const left = this.#entries[2 * slot + 1]
      const right = this.#entries[2 * slot + 2]
      if (left === undefined) return
      const child = right !== undefined && before(right, left) ? right : left
      if (!before(child, entry)) return
      const childSlot = child.slot
      this.#place(child, slot)
      this.#place(entry, childSlot)
    }
  }
}

function before(a: HeapEntry, b: HeapEntry): boolean {
  if (a.at !== b.at) return a.at < b.at
  if (a.tie !== b.tie) return a.tie < b.tie
  return a.order < b.order
}

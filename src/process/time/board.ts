/**
 * Watermarks of a stage's source partitions, shared by the workers that own them (give it a SharedArrayBuffer). It only
 * advises: what a worker decides from it is committed as its own task's state, so that a replay does not need it.
 */
export type Activity = 'unknown' | 'active' | 'idle'

const codes = { unknown: 0, active: 1, idle: 2 } as const

export class WatermarkBoard {
  readonly #cells: Float64Array

  /** Bytes of memory for so many partitions. */
  static bytes(partitions: number): number {
    return partitions * 16
  }

  constructor(
    partitions: number,
    memory: SharedArrayBuffer | ArrayBuffer = new ArrayBuffer(partitions * 16),
  ) {
    this.#cells = new Float64Array(memory, 0, partitions * 2)
  }

  publish(partition: number, watermark: number, activity: Activity): void {
    this.#cells[partition * 2] = watermark
    this.#cells[partition * 2 + 1] = codes[activity]
  }

  /** Smallest watermark of partitions that are not idle; undefined when all are. Partitions nobody opened yet hold it back. */
  smallestActive(): number | undefined {
    let smallest: number | undefined
    for (let at = 0; at < this.#cells.length; at += 2) {
      const code = this.#cells[at + 1]!
      if (code === codes.idle) continue
      smallest = Math.min(
        smallest ?? Infinity,
        code === codes.unknown ? -Infinity : this.#cells[at]!,
      )
    }
    return smallest
  }

  /** Smallest watermark of partitions that ever had a record; undefined when none had. */
  smallestKnown(): number | undefined {
    let smallest = Infinity
    for (let at = 0; at < this.#cells.length; at += 2) {
      const watermark = this.#cells[at]!
      if (this.#cells[at + 1] !== codes.unknown && watermark > -Infinity) {
        smallest = Math.min(smallest, watermark)
      }
    }
    return smallest === Infinity ? undefined : smallest
  }
}

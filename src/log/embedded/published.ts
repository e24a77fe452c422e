/**
 * The published end of the log: what readers may read. One thread writes it, all read it, without a lock: a sequence
 * number is odd while it is written, and a reader that saw it change reads again.
 */
export interface Published {
  readonly segmentEpoch: number
  readonly segmentBase: number
  /** Where the last published frame of that segment ends. */
  readonly end: number
  readonly lsn: number
}

const SEQUENCE = 0
const BYTES = 40

export class PublishedEnd {
  readonly shared: SharedArrayBuffer
  readonly #sequence: Int32Array
  readonly #full: Int32Array
  readonly #values: Float64Array

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.shared = shared
    this.#sequence = new Int32Array(shared, 0, 1)
    this.#full = new Int32Array(shared, 4, 1)
    this.#values = new Float64Array(shared, 8, 4)
  }

  /** Whether the log takes no records for want of space; it may be some seconds since somebody looked. */
  get full(): boolean {
    return Atomics.load(this.#full, 0) === 1
  }

  set full(full: boolean) {
    Atomics.store(this.#full, 0, full ? 1 : 0)
  }

  write(p: Published): void {
    Atomics.add(this.#sequence, SEQUENCE, 1)
    this.#values[0] = p.segmentEpoch
    this.#values[1] = p.segmentBase
    this.#values[2] = p.end
    this.#values[3] = p.lsn
    Atomics.add(this.#sequence, SEQUENCE, 1)
  }

  read(): Published {
    for (;;) {
      const before = Atomics.load(this.#sequence, SEQUENCE)
      const [segmentEpoch, segmentBase, end, lsn] = this.#values
      // Adding nothing, unlike a load, also keeps the reads above it from moving below it.
      if ((before & 1) === 0 && Atomics.add(this.#sequence, SEQUENCE, 0) === before) {
        return { segmentEpoch: segmentEpoch!, segmentBase: segmentBase!, end: end!, lsn: lsn! }
      }
    }
  }
}

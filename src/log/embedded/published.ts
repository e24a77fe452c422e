/**
 * What the log thread tells its readers through shared memory: how far the log may be read, and, the other way, that a
 * reader sleeps until it goes on.
 */
export interface Published {
  readonly segmentEpoch: number
  readonly segmentBase: number
  /** Where the last published frame of that segment ends. */
  readonly end: number
  readonly lsn: number
}

const COUNT = 0
const FULL = 1
const FIELDS = 4
const BYTES = 8 + 2 * FIELDS * 8

/**
 * The published end of the log: what readers may read (I9). One thread writes it, all read it, without a lock. It has
 * two places: the count of publications says which of them holds the last one, and the next is written to the other. So
 * a log thread that dies while it writes leaves the last one whole, and nobody waits for it; a reader reads again only
 * when it was overtaken by a whole publication.
 */
export class PublishedEnd {
  readonly shared: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #places: Float64Array

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.shared = shared
    this.#words = new Int32Array(shared, 0, 2)
    this.#places = new Float64Array(shared, 8, 2 * FIELDS)
  }

  /** Whether the log takes no records for want of space; it may be some seconds since somebody looked. */
  get full(): boolean {
    return Atomics.load(this.#words, FULL) === 1
  }

  set full(full: boolean) {
    Atomics.store(this.#words, FULL, full ? 1 : 0)
  }

  write(p: Published): void {
    const at = placeOf(Atomics.load(this.#words, COUNT) + 1)
    this.#places[at] = p.segmentEpoch
    this.#places[at + 1] = p.segmentBase
    this.#places[at + 2] = p.end
    this.#places[at + 3] = p.lsn
    Atomics.add(this.#words, COUNT, 1)
  }

  read(): Published {
    for (;;) {
      const count = Atomics.load(this.#words, COUNT)
      const at = placeOf(count)
      const read = {
        segmentEpoch: this.#places[at]!,
        segmentBase: this.#places[at + 1]!,
        end: this.#places[at + 2]!,
        lsn: this.#places[at + 3]!,
      }
      // Adding nothing, unlike a load, also keeps the reads above it from moving below it: into the time when this
      // place is written again.
      if (Atomics.add(this.#words, COUNT, 0) === count) return read
    }
  }
}

function placeOf(count: number): number {
  return (count & 1) * FIELDS
}

/** That one client of the log sleeps until the next publication. */
export class Sleep {
  readonly shared: SharedArrayBuffer
  readonly #asleep: Int32Array

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.shared = shared
    this.#asleep = new Int32Array(shared)
  }

  /** The client's side. True where nothing after `seenLsn` is published, and the next publication will wake it. */
  begins(end: PublishedEnd, seenLsn: number): boolean {
    if (end.read().lsn > seenLsn) return false
    // First say so, then look once more: a publication in between either is seen here or wakes us.
    Atomics.store(this.#asleep, 0, 1)
    return end.read().lsn <= seenLsn
  }

  /** The log's side, after it has published: whether the client is to be woken. */
  ends(): boolean {
    return Atomics.exchange(this.#asleep, 0, 0) === 1
  }
}

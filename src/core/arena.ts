import { assert } from './assert.ts'

/**
 * A reusable piece of memory that blocks are read into, so that a batch of many blocks needs no allocation.
 * Bytes taken stay valid until `reset()`. Memory comes as it is needed, up to `capacity`; beyond that only for one block
 * alone that is larger. Of a much larger one the memory is let go again.
 */
export class Arena {
  #bytes: Uint8Array
  readonly #capacity: number
  #used = 0

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#bytes = new Uint8Array(Math.min(capacity, firstBytes))
  }

  get used(): number {
    return this.#used
  }

  /** Whether `take(length)` would succeed. An empty arena fits everything. */
  fits(length: number): boolean {
    return this.#used === 0 || this.#used + length <= this.#capacity
  }

  /** `length` bytes, 8-byte aligned, uninitialised. */
  take(length: number): Uint8Array {
    assert(
      this.fits(length),
      () => `I10: ${length} bytes do not fit beside ${this.#used} of ${this.#capacity}`,
    )
    const start = this.#used
    if (start + length > this.#bytes.length) {
      // What was taken before lives on in the old memory until it is let go.
      const doubled = Math.min(this.#capacity, this.#bytes.length * 2)
      this.#bytes = new Uint8Array(Math.max(start + length, doubled))
    }
    this.#used += (length + 7) & ~7
    return this.#bytes.subarray(start, start + length)
  }

  reset(): void {
    this.#used = 0
    if (this.#bytes.length > spare * this.#capacity)
      this.#bytes = new Uint8Array(Math.min(this.#capacity, firstBytes))
  }
}

/** Most readers never need more: an engine has thousands of arenas, most of them idle. */
const firstBytes = 16 * 1024
/** Where blocks are somewhat larger than the capacity, memory is not made anew for each of them. */
const spare = 4

import { assert } from './assert.ts'

/**
 * A reusable piece of memory that blocks are read into, so that a batch of many blocks needs no allocation.
 * Bytes taken stay valid until `reset()`. Memory comes as it is needed, up to `capacity`; beyond that it grows only while
 * empty, to hold one block larger than it is.
 */
export class Arena {
  #bytes: Uint8Array
  #capacity: number
  #used = 0

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#bytes = new Uint8Array(Math.min(capacity, firstBytes))
  }

  get used(): number {
    return this.#used
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Whether `take(length)` would succeed. An empty arena fits everything. */
  fits(length: number): boolean {
    return this.#used === 0 || this.#used + length <= this.#capacity
  }

  /** `length` bytes, 8-byte aligned, uninitialised. */
  take(length: number): Uint8Array {
    assert(
      this.fits(length),
      () => `arena: ${length} bytes do not fit beside ${this.#used} of ${this.#capacity}`,
    )
    this.#capacity = Math.max(this.#capacity, length)
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
  }
}

/** Most readers never need more: an engine has thousands of arenas, most of them idle. */
const firstBytes = 16 * 1024

import { assert } from './assert.ts'

/**
 * A reusable piece of memory that blocks are read into, so that a batch of many blocks needs no allocation.
 * Bytes taken stay valid until `reset()`. It grows only while empty, to hold one block larger than it is.
 */
export class Arena {
  #bytes: Uint8Array
  #used = 0

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity)
  }

  get used(): number {
    return this.#used
  }

  get capacity(): number {
    return this.#bytes.length
  }

  /** Whether `take(length)` would succeed. An empty arena fits everything. */
  fits(length: number): boolean {
    return this.#used === 0 || this.#used + length <= this.#bytes.length
  }

  /** `length` bytes, 8-byte aligned, uninitialised. */
  take(length: number): Uint8Array {
    assert(this.fits(length), () => `arena: ${length} bytes do not fit beside ${this.#used} of ${this.#bytes.length}`)
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(length)
    const start = this.#used
    this.#used += (length + 7) & ~7
    return this.#bytes.subarray(start, start + length)
  }

  reset(): void {
    this.#used = 0
  }
}

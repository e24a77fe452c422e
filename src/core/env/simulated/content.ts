/** The bytes of a file: grows by doubling, and what is read beyond what was written is zero. */
export class Content {
  #bytes: Uint8Array = new Uint8Array(0)
  #size = 0
  /** The bytes are somebody else's, too, and are copied before they change. */
  #shared = false

  /** Holds these bytes, which must not change any more; they are copied only when this content changes. */
  static of(bytes: Uint8Array): Content {
    const content = new Content()
    content.#bytes = bytes
    content.#size = bytes.length
    content.#shared = true
    return content
  }

  get size(): number {
    return this.#size
  }

  /** A view that the next change may make stale; nobody may write to it. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#size)
  }

  read(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.#size - position))
    into.set(this.#bytes.subarray(position, position + length))
    return length
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return
    this.#reserve(position + bytes.length)
    this.#bytes.set(bytes, position)
    this.#size = Math.max(this.#size, position + bytes.length)
  }

  resize(size: number): void {
    this.#reserve(size)
    if (size < this.#size) this.#bytes.fill(0, size, this.#size)
    this.#size = size
  }

  /** Inverts one bit. */
  flip(byte: number, bit: number): void {
    this.#reserve(this.#size)
    this.#bytes[byte] = (this.#bytes[byte] ?? 0) ^ (1 << bit)
  }

  copy(): Content {
    const copy = new Content()
    copy.write(this.view(), 0)
    return copy
  }

  /** Makes room, in memory that may be changed. */
  #reserve(size: number): void {
    if (size <= this.#bytes.length && !this.#shared) return
    this.#shared = false
    const larger = new Uint8Array(Math.max(size, 2 * this.#bytes.length, 512))
    larger.set(this.view())
    this.#bytes = larger
  }
}

import { crc32 } from 'node:zlib'

/** What happened in a run, as a hash of all of it and the text of the last of it. */
export class Trace {
  readonly #kept: string[] = []
  readonly #keep: number
  #low = 0
  #high = 0xffffffff
  #count = 0
  /** What is not in the hash yet: hashing pays by the piece, not by the line. */
  #text = ''

  constructor(keep: number) {
    this.#keep = keep
  }

  add(line: string): void {
    this.#count += 1
    this.#text += line
    this.#text += '\n'
    if (this.#text.length >= 16_384) {
      ;[this.#low, this.#high] = this.#words()
      this.#text = ''
    }
    this.#kept.push(line)
    // Cut in large pieces: shifting one line off at each step would cost the length of the array.
    if (this.#kept.length >= 2 * this.#keep) this.#kept.splice(0, this.#keep)
  }

  get count(): number {
    return this.#count
  }

  /** Equal for two runs that did the same things in the same order. */
  get hash(): string {
    const hex = (word: number): string => word.toString(16).padStart(8, '0')
    const [low, high] = this.#words()
    return hex(low) + hex(high) + hex(this.#count)
  }

  #words(): [low: number, high: number] {
    const bytes = Buffer.from(this.#text)
    const salt = Math.imul(this.#high ^ bytes.length, 0x9e3779b1) >>> 0
    return [crc32(bytes, this.#low), crc32(bytes, salt)]
  }

  /** The last lines, oldest first. */
  get last(): readonly string[] {
    return this.#kept.slice(-this.#keep)
  }
}

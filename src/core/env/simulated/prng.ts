import { assert } from '../../assert.ts'
import type { Random } from '../env.ts'

/**
 * A seeded stream of randomness (sfc32). The stream is derived from the seed and a name, so that drawing more from
 * one does not change what another gives: taking one fault out of a run leaves the rest of it as it was.
 */
export class SeededRandom implements Random {
  readonly #state: Uint32Array

  constructor(seed: number | string, name: string) {
    const hash = hashName(`${String(seed)}\u0000${name}`)
    this.#state = new Uint32Array([hash[0], hash[1], 0x9e3779b9, 1])
    for (let i = 0; i < 15; i++) this.word()
  }

  /** Uniform in [0, 2^32). */
  word(): number {
    const state = this.#state
    const [a = 0, b = 0, c = 0, counter = 0] = state
    const result = (a + b + counter) >>> 0
    state[0] = b ^ (b >>> 9)
    state[1] = c + (c << 3)
    state[2] = ((c << 21) | (c >>> 11)) + result
    state[3] = counter + 1
    return result
  }

  float(): number {
    return ((this.word() >>> 5) * 0x4000000 + (this.word() >>> 6)) / 0x20000000000000
  }

  int(bound: number): number {
    assert(Number.isSafeInteger(bound) && bound > 0, () => `random.int: bound ${bound}`)
    return Math.floor(this.float() * bound)
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.word() >>> 24
    return bytes
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.float() < p
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.int(items.length)] ?? items[0]
  }
}

/** Two 32-bit FNV-1a hashes with different starts, mixed at the end. */
function hashName(text: string): [number, number] {
  let low = 0x811c9dc5
  let high = 0x1b873593
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x01000193)
    high = Math.imul(high ^ text.charCodeAt(i), 0x01000197)
  }
  return [mix(low), mix(high)]
}

/** MurmurHash3's finaliser: spreads every bit of a word over all of it. */
export function mix(word: number): number {
  let hash = word ^ (word >>> 16)
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

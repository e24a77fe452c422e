import { randomBytes, randomFillSync, randomInt } from 'node:crypto'
import type { Random } from '../env.ts'
import { assert } from '../../assert.ts'

const poolWords = 256

/** The operating system's randomness, drawn in pools because each draw on its own costs a system call. */
export function realRandom(): Random {
  const pool = new Uint32Array(poolWords)
  let used = poolWords
  const word = (): number => {
    if (used === poolWords) {
      randomFillSync(pool)
      used = 0
    }
    return pool[used++] ?? 0
  }
  return {
    float: () => ((word() >>> 5) * 0x4000000 + (word() >>> 6)) / 0x20000000000000,
    int: (bound) => {
      assert(
        Number.isSafeInteger(bound) && bound > 0,
        () => `random.int: bound ${bound} is not positive`,
      )
      return bound === 1 ? 0 : randomInt(bound)
    },
    bytes: (length) => new Uint8Array(randomBytes(length)),
  }
}

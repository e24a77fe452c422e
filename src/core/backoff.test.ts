import { expect, test } from 'vitest'
import { backoff } from './backoff.ts'
import { SeededRandom } from './env/simulated/index.ts'

const options = { baseMs: 100, maxMs: 5000 }

test('the wait doubles with each failure, within its upper half, and stops growing at the limit', () => {
  const random = new SeededRandom(1, 'backoff')
  for (const [failures, longest] of [
    [1, 100],
    [2, 200],
    [3, 400],
    [6, 3200],
    [7, 5000],
    [5000, 5000],
  ] as const) {
    for (let i = 0; i < 100; i++) {
      const wait = backoff(options, failures, random)
      expect(wait).toBeGreaterThanOrEqual(longest / 2)
      expect(wait).toBeLessThanOrEqual(longest)
    }
  }
})

test('two that failed together wait differently', () => {
  const [a, b] = [new SeededRandom(1, 'a'), new SeededRandom(1, 'b')]
  expect(backoff(options, 3, a)).not.toBe(backoff(options, 3, b))
})

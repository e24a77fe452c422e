import { expect, test } from 'vitest'
import { strays } from './index.ts'

test('whatever senders, functions and sinks do wrong, each event is where it may come to, once, or a dead letter (I1, I2, I4, I11)', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { violation } = await strays(seed)
    expect(violation === undefined ? undefined : `seed ${seed}: ${violation.message}`).toBe(
      undefined,
    )
  }
}, 60_000)

test('does the same twice', async () => {
  expect((await strays(6)).traceHash).toBe((await strays(6)).traceHash)
}, 60_000)

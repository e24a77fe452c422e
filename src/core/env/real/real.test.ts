import { describe, expect, test } from 'vitest'
import { realEnv } from './index.ts'

describe('real timers', () => {
  test('fire no earlier than asked, and of equal waits the first set comes first', async () => {
    const { clock, timers } = realEnv()
    const fired: { ms: number; index: number }[] = []
    const early: number[] = []
    const waits = Array.from({ length: 200 }, (_, index) => ({ index, ms: (index * 7919) % 23 }))
    await Promise.all(
      waits.map(async ({ index, ms }) => {
        const deadline = clock.monotonic() + ms
        await timers.sleep(ms)
        if (clock.monotonic() < deadline) early.push(ms)
        fired.push({ index, ms })
      }),
    )
    expect(early).toEqual([])
    for (let ms = 0; ms < 23; ms++) {
      const same = fired.filter((one) => one.ms === ms).map(({ index }) => index)
      expect(same).toEqual(same.toSorted((a, b) => a - b))
    }
  })

  test('do not fire once cancelled, and a sleep ends early with its signal', async () => {
    const { timers } = realEnv()
    let fired = false
    timers.after(1, () => (fired = true))()
    const abort = new AbortController()
    const sleep = timers.sleep(3_000_000_000, abort.signal)
    await timers.sleep(5)
    abort.abort()
    await sleep
    await timers.sleep(3_000_000_000, abort.signal)
    expect(fired).toBe(false)
  })

  test('go on after one of them threw', async () => {
    const { timers } = realEnv()
    const caught: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => caught.push(error))
    try {
      timers.after(0, () => {
        throw new Error('broken callback')
      })
      await timers.sleep(1)
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
    expect(String(caught)).toBe('Error: broken callback')
  })

  test('let other work run at a yield', async () => {
    const { timers } = realEnv()
    let other = false
    void timers.yield().then(() => (other = true))
    await timers.yield()
    expect(other).toBe(true)
  })
})

test('real randomness covers its range and does not repeat', () => {
  const { random } = realEnv()
  const ints = new Set(Array.from({ length: 1000 }, () => random.int(5)))
  expect([...ints].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4])
  expect(random.int(1)).toBe(0)
  const floats = Array.from({ length: 10_000 }, () => random.float())
  expect(floats.every((value) => value >= 0 && value < 1)).toBe(true)
  expect(new Set(floats).size).toBe(10_000)
  expect(Math.min(...floats)).toBeLessThan(0.01)
  expect(Math.max(...floats)).toBeGreaterThan(0.99)
  expect(random.bytes(16)).toHaveLength(16)
  expect(random.bytes(16)).not.toEqual(random.bytes(16))
  expect(() => random.int(0)).toThrow('bound 0')
})

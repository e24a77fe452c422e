/** Nothing is shown before it is durable (I9): what a reader ever saw is there after a power cut at that very moment. */
import { expect, test, vi } from 'vitest'
import { SeededRandom, Simulation } from '../../core/env/simulated/index.ts'
import { drain, put, topic, valuesOf } from '../log.suite.ts'
import type { Reader } from '../log.ts'
import { inSimulation } from './damage.suite.ts'
import { openEmbeddedLog } from './index.ts'
import { PublishedEnd } from './published.ts'
import type { Published } from './published.ts'

const options = {
  directory: 'data',
  segmentBytes: 9_000,
  checkpointBytes: 5_000,
  reserve: { low: 0, high: 0 },
}
const start = { topic: 'a', partition: 0, offset: 0 }

/** What can be read at once. */
function glimpse(reader: Reader): string[] {
  const { blocks, end } = drain(reader)
  expect(end.result).toBe('caught-up')
  return valuesOf(blocks)
}

test('a reader sees nothing that a power cut takes away, and no part of what is being written', async () => {
  let during = 0
  for (let seed = 0; seed < 30; seed++) {
    const sim = new Simulation({ seed })
    const random = new SeededRandom(seed, 'publish')
    const env = sim.env('engine')
    const seen: string[] = []
    let sent = 0
    let acknowledged = 0
    const cutAfter = 1 + random.int(60)
    const life = (async () => {
      // An operation of the disk per turn: readers come in between.
      const log = await openEmbeddedLog({ env, ...options, stepped: true })
      await log.topics.create(topic('a'))
      const reader = await log.reader([start])
      const produce = async (owner: string): Promise<void> => {
        const writer = await log.open(owner)
        for (let i = 0; i < 20; i++) {
          sent++
          await put(writer, 'a', 0, `${owner}-${i}`.padEnd(random.int(600)))
          acknowledged++
        }
      }
      void Promise.all([produce('x'), produce('y')]).catch(() => {})
      for (;;) {
        // Not always: what was published meanwhile is then read while the next commit is being written.
        if (random.chance(0.2)) seen.push(...glimpse(reader))
        if (sent > acknowledged) during++
        if (seen.length >= cutAfter || acknowledged === 40) return env.crash('power')
        await env.timers.yield()
      }
    })()
    let failed: unknown
    life.catch((error: unknown) => (failed = error))
    await sim.runUntil(() => !env.alive || failed !== undefined)
    expect(failed).toBeUndefined()
    const after = sim.env('reader')
    let there: string[] | undefined
    void (async () => {
      const log = await openEmbeddedLog({ env: after, ...options })
      there = glimpse(await log.reader([start]))
    })()
    await sim.runUntil(() => there !== undefined)
    expect(there!.slice(0, seen.length)).toEqual(seen)
  }
  expect(during).toBeGreaterThan(500)
})

test('a reader whose look falls between two publications sees the second, and takes it for published', async () => {
  const sim = new Simulation({ seed: 1 })
  const look = async (): Promise<void> => {
    const log = await openEmbeddedLog({ env: sim.env('engine'), ...options })
    await log.topics.create(topic('a'))
    const reader = await log.reader([start])
    const writer = await log.open('w')
    const ends = vi.spyOn(PublishedEnd.prototype, 'read')
    try {
      expect(glimpse(reader)).toEqual([])
      const before = ends.mock.results.at(-1)!.value as Published
      await put(writer, 'a', 0, 'meanwhile')
      // What it asks first is how far the log was published; the segments are brought up to the end after that.
      ends.mockReturnValueOnce(before)
      expect(glimpse(reader)).toEqual(['meanwhile'])
    } finally {
      ends.mockRestore()
    }
    await log.stop()
  }
  await inSimulation(sim, look())
})

import { describe, expect, test } from 'vitest'
import { memory } from '../sinks/index.ts'
import type { Sink } from '../sinks/index.ts'
import { range, row, rowsOf, World } from './deliver.suite.ts'

/** Keeps records for a second. */
const forgetful = {
  segmentBytes: 40_000,
  checkpointBytes: 20_000,
  retentionMs: 1_000,
  retentionCheckMs: 500,
}

describe('past its hold', () => {
  test('a task stops alone; resumed, it goes on from the earliest record and counts the loss', async () => {
    const world = new World()
    await world.start(forgetful)
    let down = true
    const inner = memory({ hold: { ms: 2_000, bytes: 1_000_000_000 } })
    const slow: Sink = {
      ...inner,
      open: async (context) => {
        const writer = await inner.open!(context)
        return {
          ...writer,
          deliver: (batch) => (down ? Promise.reject(new Error('down')) : writer.deliver(batch)),
        }
      },
    }
    const healthy = memory()
    world.deliver({ slow, healthy })
    const filler = 'x'.repeat(2_000)
    for (let i = 0; i < 100; i++) {
      await world.produce(0, [{ ...row(i), filler }])
      await world.simulation.advance(100)
    }
    await world.until(world.delivered('healthy', 100))
    await world.until(() => world.report('slow')[0]!.status === 'behind-retention')
    await world.simulation.advance(60_000)
    const stopped = world.report('slow')[0]!
    expect([stopped.status, stopped.error?.code]).toEqual(['behind-retention', 'MR5008'])
    world.runners[0]!.resume('shop/slow/0')
    await world.until(() => world.report('slow')[0]!.counters.expired > 0)
    // The decision is in the log: a restart before the next delivery does not ask again.
    await world.halt()
    world.deliver({ slow, healthy })
    for (let i = 100; i < 105; i++) await world.produce(0, [{ ...row(i), filler }])
    await world.simulation.advance(300)
    expect(world.report('slow')[0]!.status).toBe('retrying')
    expect(inner.rows).toEqual([])
    down = false
    await world.until(
      () => world.report('slow')[0]!.lag === 0 && world.report('slow')[0]!.counters.read === 105,
    )
    const { counters } = world.report('slow')[0]!
    expect(counters.expired).toBeGreaterThan(10)
    expect(counters.processed + counters.expired).toBe(105)
    expect(inner.rows.map((r) => r['n'])).toEqual(range(0, 105).slice(-inner.rows.length))
    expect(inner.rows.length).toBe(counters.processed)
    await world.until(world.delivered('healthy', 105))
    expect(rowsOf(healthy, 0)).toEqual(range(0, 105))
    await world.halt()
    // The log's copy stands where the operator put it, and the sink goes on from there after a restart.
    world.deliver({ slow })
    await world.produce(0, [row(105)])
    await world.until(world.delivered('slow', 106))
    expect(inner.rows.at(-1)).toEqual(row(105))
    await world.halt()
    // A sink that is new begins at the earliest record and lost nothing.
    const late = memory()
    world.deliver({ late })
    await world.until(() => rowsOf(late, 0).at(-1) === 105)
    expect(rowsOf(late, 0)).toEqual(range(106 - late.rows.length, 106))
    expect(world.report('late')[0]).toMatchObject({ status: 'running', counters: { expired: 0 } })
    await world.halt()
  })

  test('a task whose sink cannot even be reached says so before it is back', async () => {
    const world = new World()
    await world.start(forgetful)
    const sink = memory({ hold: { ms: 2_000, bytes: 1_000_000_000 } })
    world.deliver({ out: sink })
    await world.produce(0, [row(0)])
    await world.until(world.delivered('out', 1))
    await world.halt()
    world.deliver({ out: { ...sink, open: () => Promise.reject(new Error('away')) } })
    const filler = 'x'.repeat(2_000)
    for (let i = 1; i < 100; i++) {
      await world.produce(0, [{ ...row(i), filler }])
      await world.simulation.advance(100)
    }
    await world.until(() => world.report('out')[0]!.status === 'behind-retention')
    expect(world.report('out')[1]!.status).not.toBe('behind-retention')
    await world.halt()
  })

  test('a sink that cannot be opened is tried at once when its task is resumed', async () => {
    const world = new World()
    await world.start()
    let tries = 0
    const sink = memory()
    const shut = (): Promise<never> => {
      tries++
      return Promise.reject(new Error('away'))
    }
    world.deliver({
      out: { ...sink, open: (context) => (tries < 8 ? shut() : sink.open!(context)) },
    })
    await world.produce(0, [row(1)])
    await world.until(() => tries === 8)
    expect(world.runners[0]!.resume('shop/out/0')).toBe(true)
    const before = world.env.clock.monotonic()
    await world.until(world.delivered('out', 1))
    // By itself it would have waited for some seconds more.
    expect(world.env.clock.monotonic() - before).toBeLessThan(1_000)
    expect(world.runners[0]!.resume('shop/out/0')).toBe(false)
    await world.halt()
  })
})

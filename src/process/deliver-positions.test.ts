import { describe, expect, test } from 'vitest'
import { memory } from '../sinks/index.ts'
import type { Sink } from '../sinks/index.ts'
import { range, row, rowsOf, topic, World } from './deliver.suite.ts'

describe('where a sink says that it stands', () => {
  test("another log's position, or one outside this log, stops the task with its code; an operator can go on", async () => {
    const world = new World()
    await world.start()
    const foreign = memory()
    const ahead = memory()
    for (const [sink, name, offset, logId] of [
      [foreign, 'foreign', 0, 'log-z/0'],
      [ahead, 'ahead', 700, undefined],
    ] as const) {
      const id = (await world.inTime(world.log!.topics.list())).find((t) => t.name === topic)!.id
      const writer = await sink.open!({
        env: world.env,
        logId: logId ?? `log-a/${id}`,
        pipeline: 'shop',
        name,
        epoch: 0,
        partitions: [0],
      })
      await writer.deliver({ partition: 0, from: 0, to: offset, records: [] })
    }
    const healthy = memory()
    await world.produce(0, [row(1)])
    await world.produce(1, [row(2)])
    let opens = 0
    const open: Sink['open'] = (context) => {
      opens++
      return ahead.open!(context)
    }
    world.deliver({ foreign, ahead: { ...ahead, open }, healthy })
    await world.until(world.delivered('healthy', 2))
    await world.simulation.advance(5_000)
    expect(world.report('foreign').map((r) => [r.status, r.error?.code])).toEqual(
      Array(3).fill(['failed', 'MR5002']),
    )
    expect(world.report('ahead').map((r) => [r.status, r.error?.code])).toEqual([
      ['failed', 'MR5004'],
      ['running', undefined],
      ['running', undefined],
    ])
    expect(foreign.rows.length + rowsOf(ahead, 0).length).toBe(0)
    expect(rowsOf(ahead, 1)).toEqual([2])
    // A resume is one more try, and not a word for ever.
    for (const tries of [2, 3]) {
      expect(world.runners[1]!.resume('shop/ahead/0')).toBe(true)
      await world.simulation.advance(50)
      expect(opens).toBe(tries)
      expect(world.report('ahead')[0]!.error?.code).toBe('MR5004')
    }
    await world.halt()
  })

  test('a sink that lost its rows gets them again from the start of the topic', async () => {
    const world = new World()
    await world.start()
    await world.produce(0, range(0, 5).map(row))
    world.deliver({ out: memory() })
    await world.until(world.delivered('out', 5))
    await world.halt()
    const fresh = memory()
    world.deliver({ out: fresh })
    await world.until(() => fresh.rows.length === 5)
    await world.halt()
  })
})

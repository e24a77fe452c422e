import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { count, pipeline, tumbling } from '../../index.ts'
import { StageWorld } from '../../../tests/support/stage-world.ts'
import { WatermarkBoard } from './board.ts'
import type { IdleFacts } from './idleness.ts'
import { decideIdle } from './idleness.ts'

const base = Date.UTC(2024, 0, 1)
const Event = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] } as const

describe('the decision about an idle partition', () => {
  const facts: IdleFacts = {
    watermark: 1_000,
    now: 100_000,
    quietSince: 0,
    idleMs: 10_000,
    smallestActive: 5_000,
    smallestKnown: 1_000,
    allIdle: undefined,
    raisedAt: 0,
    granularityMs: 1_000,
  }

  test('a partition that had records lately is not idle', () => {
    expect(decideIdle({ ...facts, quietSince: 95_000 })).toEqual({
      idle: false,
      raiseTo: undefined,
      allIdle: undefined,
      lookAt: 105_000,
    })
  })

  test('an idle one rises to the smallest of the active ones, when that is worth a commit', () => {
    expect(decideIdle(facts)).toMatchObject({ idle: true, raiseTo: 5_000 })
    expect(decideIdle({ ...facts, smallestActive: 1_500, raisedAt: 99_950 })).toMatchObject({
      raiseTo: undefined,
    })
    expect(decideIdle({ ...facts, smallestActive: 1_500, raisedAt: 99_900 })).toMatchObject({
      raiseTo: 1_500,
    })
    expect(decideIdle({ ...facts, smallestActive: 500 })).toMatchObject({
      idle: true,
      raiseTo: undefined,
    })
  })

  test('with all idle it rises by the time that passed, from the smallest that is known', () => {
    const all = { ...facts, smallestActive: undefined, watermark: -Infinity, smallestKnown: 3_000 }
    expect(decideIdle(all)).toMatchObject({
      allIdle: { since: 100_000, base: 3_000 },
      raiseTo: 3_000,
    })
    const later = {
      ...all,
      watermark: 3_000,
      now: 101_000,
      allIdle: { since: 100_000, base: 3_000 },
    }
    expect(decideIdle(later)).toMatchObject({ raiseTo: 4_000 })
    expect(decideIdle({ ...all, smallestKnown: undefined })).toMatchObject({
      idle: true,
      raiseTo: undefined,
    })
  })

  test('never lowers a watermark, and never looks away for more than a second', () => {
    const time = fc.integer({ min: -1_000, max: 200_000 })
    const maybe = fc.option(time, { nil: undefined })
    const any = fc.record({
      watermark: fc.oneof(time, fc.constant(-Infinity)),
      now: fc.constant(100_000),
      quietSince: fc.integer({ min: 0, max: 100_000 }),
      idleMs: fc.integer({ min: 1, max: 50_000 }),
      smallestActive: maybe,
      smallestKnown: maybe,
      allIdle: fc.option(fc.record({ since: fc.integer({ min: 0, max: 100_000 }), base: time }), {
        nil: undefined,
      }),
      raisedAt: fc.integer({ min: 0, max: 100_000 }),
      granularityMs: fc.constantFrom(1, 1_000),
    })
    fc.assert(
      fc.property(any, (each) => {
        const { raiseTo, lookAt, idle } = decideIdle(each)
        if (raiseTo !== undefined) {
          expect(raiseTo).toBeGreaterThan(each.watermark)
          if (each.smallestActive !== undefined)
            expect(raiseTo).toBeLessThanOrEqual(each.smallestActive)
        }
        expect(lookAt).toBeGreaterThan(each.now)
        if (idle) expect(lookAt).toBeLessThanOrEqual(each.now + 1_000)
      }),
    )
  })
})

test('the board holds back for partitions nobody opened, and leaves idle ones out', () => {
  const board = new WatermarkBoard(3, new SharedArrayBuffer(WatermarkBoard.bytes(3)))
  board.publish(0, 100, 'active')
  board.publish(1, 50, 'idle')
  expect(board.smallestActive()).toBe(-Infinity)
  expect(board.smallestKnown()).toBe(50)
  board.publish(2, 200, 'active')
  expect(board.smallestActive()).toBe(100)
  board.publish(0, 100, 'idle')
  board.publish(2, 200, 'idle')
  expect(board.smallestActive()).toBeUndefined()
})

describe('idle partitions in a pipeline', () => {
  const make = (workers = 1): StageWorld => {
    const definition = pipeline('p', { partitions: 2 }, (p) => {
      const out = p
        .stream('events', { schema: Event, key: 'id', bound: '1s', idle: '10s', future: '1d' })
        .keyBy((e) => e.id.slice(0, 1))
        .window(tumbling('1s'))
        .aggregate('out', { n: count() })
      out.to(p.topic('out'))
      out.late().to(p.topic('late'))
    })
    return new StageWorld(definition, { workers })
  }
  const event = (partition: number, at: number, id = 'a') => ({
    partition,
    timestamp: base + at,
    key: id,
    value: { id },
  })
  const windows = async (world: StageWorld): Promise<string[]> =>
    (await world.read('out')).map(({ value }) => {
      const { key, n, window_start } = value as { key: string; n: number; window_start: string }
      return `${key} ${(Date.parse(window_start) - base) / 1_000} ${n}`
    })
  /** Lets time pass as workers live it: they wake when they asked to. */
  const pass = async (world: StageWorld, ms: number, step = 100): Promise<void> => {
    const end = world.now + ms
    while (world.now < end) {
      world.now = Math.min(end, world.now + step)
      for (const worker of world.workers) await world.turn(worker, { rows: 1_000, bytes: 1e6 })
    }
    await world.drain()
  }

  test.each([1, 2])(
    'do not hold back the windows of active ones (workers: %i)',
    async (workers) => {
      const world = make(workers)
      await world.produce('events', [event(0, 0), event(1, 100)])
      await world.drain()
      for (let second = 1; second <= 20; second++) {
        await world.produce('events', [event(0, second * 1_000)])
        await pass(world, 1_000)
        if (second < 5) expect(await windows(world)).toEqual([])
      }
      const closed = await windows(world)
      expect(closed).toContain('a 0 2')
      expect(closed).toContain('a 15 1')
    },
  )

  test('that never had a record do not either', async () => {
    const world = make()
    for (let second = 0; second <= 20; second++) {
      await world.produce('events', [event(0, second * 1_000)])
      await pass(world, 1_000)
    }
    expect(await windows(world)).toContain('a 15 1')
  })

  test('when all are idle, windows close by the time that passes, and then the engine falls quiet', async () => {
    const world = make()
    await world.produce('events', [event(0, 500)])
    await pass(world, 15_000)
    expect(await windows(world)).toEqual(['a 0 1'])
    const { lsn } = world.memory
    await pass(world, 1_800_000, 1_000)
    expect(world.memory.lsn - lsn).toBeLessThan(250)
  })

  test('the decision is committed: what comes too late for it is late, before and after a crash', async () => {
    const world = make()
    await world.produce('events', [event(0, 0), event(1, 0)])
    for (let second = 1; second <= 15; second++) {
      await world.produce('events', [event(0, second * 1_000)])
      await pass(world, 1_000)
    }
    for (const worker of world.workers) world.crash(worker)
    await world.produce('events', [event(1, 3_000, 'b'), event(1, 15_500, 'b')])
    await pass(world, 100)
    expect((await world.read('late')).map(({ value }) => value)).toEqual([{ id: 'b' }])
    await world.produce('events', [event(0, 30_000), event(1, 30_000)])
    await pass(world, 1_000)
    expect(await windows(world)).toContain('b 15 1')
    expect((await windows(world)).filter((each) => each.startsWith('b'))).toHaveLength(1)
  })

  test('a partition whose records wait behind those of others is not idle', async () => {
    const world = make()
    await world.produce('events', [event(0, 0), event(1, 0)])
    for (let second = 1; second <= 15; second++) {
      await world.produce('events', [event(0, second * 1_000)])
    }
    await world.produce('events', [event(1, 500)])
    for (let turns = 0; turns < 30; turns++) {
      world.now += 1_000
      for (const worker of world.workers) await world.turn(worker, { rows: 1, bytes: 1e6 })
    }
    await world.drain()
    expect(await world.read('late')).toEqual([])
  })

  test('a partition with unread records is not idle, however long its task is behind', async () => {
    const world = make()
    await world.produce('events', [event(0, 0), event(1, 0)])
    await world.drain()
    for (const { runners } of world.workers)
      for (const runner of runners) runner.pause('p/events/1')
    await world.produce('events', [event(1, 500)])
    for (let second = 1; second <= 30; second++) {
      await world.produce('events', [event(0, second * 1_000)])
      await pass(world, 1_000)
    }
    expect(await windows(world)).toEqual([])
    for (const { runners } of world.workers)
      for (const runner of runners) runner.resume('p/events/1')
    await pass(world, 200)
    expect(await world.read('late')).toEqual([])
    await pass(world, 12_000)
    expect(await windows(world)).toContain('a 0 3')
  })
})

test('windows over windows are closed once each, wherever closing is cut short', async () => {
  const definition = pipeline('p', { partitions: 1 }, (p) => {
    const first = p
      .stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1d', future: '1d' })
      .keyBy('id')
      .window(tumbling('1s'), { lateness: '1h' })
      .aggregate('first', { n: count() })
    first.to(p.topic('first-out'))
    first
      .window(tumbling('2s'), { lateness: '1h' })
      .aggregate('second', { n: count() })
      .to(p.topic('second-out'))
  })
  const hour = 3_600_000
  const at = (time: number, id: string) => ({
    partition: 0,
    timestamp: base + time,
    key: id,
    value: { id },
  })
  for (let crashAt = 0; crashAt < 40; crashAt++) {
    const world = new StageWorld(definition)
    const [worker] = world.workers
    // The last one closes d's first window, which lives on for late rows, and the second windows of a, b and c.
    const early = [at(0, 'a'), at(0, 'b'), at(0, 'c'), at(10_000, 'end')]
    await world.produce('events', [...early, at(hour, 'd'), at(hour + 5_000, 'end')])
    for (let turn = 0; turn < 40; turn++) {
      await world.turn(worker!, { rows: 1, bytes: 1e6 })
      if (turn === crashAt) world.crash(worker!)
    }
    await world.produce('events', [at(hour + 20_000, 'end'), at(4 * hour, 'end')])
    await world.drain()
    for (const topic of ['first-out', 'second-out']) {
      const ids = (await world.read(topic)).map(({ key, timestamp }) => `${key} ${timestamp}`)
      expect(ids.filter((id) => !id.startsWith('end')).toSorted()).toEqual([
        ...['a', 'b', 'c'].map((id) => `${id} ${base}`),
        `d ${base + hour}`,
      ])
      expect(new Set(ids).size).toBe(ids.length)
    }
  }
})

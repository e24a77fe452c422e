import { describe, expect, test } from 'vitest'
import { MillraceError } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { memory } from '../sinks/index.ts'
import type { Sink } from '../sinks/index.ts'
import { encodeReplay } from './dead-letters.ts'
import { DeliverRunner, replayOf } from './deliver-runner.ts'
import { range, row, rowsOf, topic, World } from './deliver.suite.ts'
import { runWorker } from './worker.ts'

const encoder = new TextEncoder()

describe('a deliver task', () => {
  test('hands every record over once, in order per partition, and commits what it counted', async () => {
    const world = new World()
    await world.start()
    const sink = memory()
    await world.produce(0, range(0, 2_500).map(row))
    world.deliver({ out: sink })
    await world.until(world.delivered('out', 2_500))
    await world.produce(2, range(0, 10).map(row))
    await world.produce(0, range(2_500, 2_510).map(row))
    await world.until(world.delivered('out', 2_520))
    expect(rowsOf(sink, 0)).toEqual(range(0, 2_510))
    expect(rowsOf(sink, 2)).toEqual(range(0, 10))
    const [first] = world.report('out')
    expect(first).toMatchObject({
      id: 'shop/out/0',
      status: 'running',
      lag: 0,
      counters: { read: 2_510, processed: 2_510 },
    })
    expect(first?.delivery?.counts.reduce((a, b) => a + b)).toBe(2_520)
    await world.halt()
    const found = await world.inTime(world.log!.positions('shop/out'))
    const positions = found.toSorted((a, b) => a.partition - b.partition)
    expect(positions.map((p) => [p.partition, p.offset])).toEqual([
      [0, 2_510],
      [1, 0],
      [2, 10],
    ])
    expect(JSON.parse(positions[0]!.meta)).toMatchObject({
      counters: { read: 2_510, processed: 2_510 },
    })
  })

  test('a tombstone arrives as a record without a value', async () => {
    const world = new World()
    await world.start()
    const sink = memory()
    await world.produce(1, [row(1), undefined])
    world.deliver({ out: sink })
    await world.until(world.delivered('out', 2))
    expect(sink.records.map((r) => [r.key, r.value])).toEqual([
      ['k', row(1)],
      ['k', undefined],
    ])
    await world.halt()
  })

  test('bytes that are no row, and rows the sink refuses, become dead letters; the rest arrives', async () => {
    const world = new World()
    await world.start()
    const sink = memory({
      refuse: (record) => (record.value?.['n'] === 3 ? 'three is too many' : undefined),
    })
    const torn = encoder.encode('{"n":')
    await world.produce(0, [
      row(1),
      torn,
      row(2),
      row(3),
      new Uint8Array([0xff]),
      [1],
      'text',
      row(4),
    ])
    world.deliver({ out: sink })
    await world.until(world.delivered('out', 8))
    expect(rowsOf(sink, 0)).toEqual([1, 2, 4])
    const found = await world.letters()
    expect(found.map((l) => [l.offset, l.code])).toEqual([
      [1, 'MR5001'],
      [3, 'MR5006'],
      [4, 'MR5001'],
      [5, 'MR5001'],
      [6, 'MR5001'],
    ])
    expect(found[0]!.raw).toEqual(torn)
    expect(found[1]).toMatchObject({
      stage: 'shop/out',
      operator: 'memory',
      node: 3,
      message: expect.stringMatching(/^MR5006: three is too many .*dead letter/),
      topic,
      partition: 0,
      timestamp: 1_000,
      key: 'k',
    })
    expect(world.report('out')[0]).toMatchObject({
      counters: { read: 8, processed: 3, deadLettered: 5 },
    })
    await world.halt()
  })

  test('a sink that throws is tried again for ever, and one that hangs too; they slow nobody else', async () => {
    const world = new World()
    await world.start()
    const healthy = memory()
    let attempts = 0
    const down: Sink = {
      ...memory(),
      guarantee: 'at-least-once',
      open: async () => ({
        deliver: () => (++attempts < 40 ? Promise.reject(new Error('down')) : Promise.resolve([])),
        close: async () => {},
      }),
    }
    const hanging: Sink = { ...memory(), open: () => new Promise(() => {}) }
    const stuck: Sink = {
      ...memory(),
      guarantee: 'at-least-once',
      open: async () => ({ deliver: () => new Promise(() => {}), close: async () => {} }),
    }
    world.deliver({ down, hanging, stuck, healthy })
    const began = world.env.clock.monotonic()
    for (let i = 0; i < 20; i++) await world.produce(i % 3, range(i * 10, i * 10 + 10).map(row))
    await world.until(world.delivered('healthy', 200))
    expect(world.env.clock.monotonic() - began).toBeLessThan(1_000)
    await world.simulation.advance(2_000)
    const [report] = world.report('down')
    expect(report).toMatchObject({
      status: 'retrying',
      error: { code: 'MR5007' },
      counters: { read: 0 },
    })
    expect(report!.error!.message).toContain('down')
    expect(report!.delivery!.failures).toBeGreaterThan(3)
    expect(report!.lag).toBeGreaterThan(0)
    await world.until(world.delivered('down', 200))
    expect(world.report('down')[0]).toMatchObject({ status: 'running' })
    for (const name of ['hanging', 'stuck']) {
      const since = /MR5012: It was asked at .*Z and has not answered since/
      const error = { code: 'MR5012', message: expect.stringMatching(since) }
      expect(world.report(name)[0]).toMatchObject({ status: 'retrying', error })
      const runner = world.runners.find(({ id }) => id === `shop/${name}`)!
      expect(runner.resume(`shop/${name}/0`)).toBe(false)
    }
    expect(world.env.clock.monotonic() - began).toBeGreaterThan(60_000)
    await world.halt()
  })

  test('while as many deliveries as may be are under way, it waits for one of them to end', async () => {
    const world = new World()
    await world.start()
    const wide = { name: 'wide', kind: 'internal', partitions: 12 } as const
    await world.inTime(world.log!.topics.create(wide))
    for (let partition = 0; partition < 12; partition++)
      await world.produceTo('wide', partition, [row(partition)])
    const waiting: (() => void)[] = []
    const slow: Sink = {
      ...memory(),
      guarantee: 'at-least-once',
      open: async () => ({
        deliver: () => new Promise((resolve) => waiting.push(() => resolve([]))),
        close: async () => {},
      }),
    }
    const options = world.options(world.log!, 'out', slow)
    const plan = { ...options.plan, topic: 'wide', partitions: 12 }
    world.runners = [new DeliverRunner({ ...options, plan, partitions: range(0, 12) })]
    const { env, log, stop, runners } = world
    let beats = 0
    const onBeat = (): void => void beats++
    world.ended = runWorker({
      env,
      log: log!,
      owner: 'worker',
      runners,
      onBeat,
      signal: stop.signal,
    })
    await world.until(() => waiting.length === 8)
    const before = beats
    await world.simulation.advance(10_000)
    expect(waiting).toHaveLength(8)
    expect(beats - before).toBeLessThan(20)
    for (let ended = 0; ended < 12; ended++) {
      await world.until(() => waiting.length > ended)
      waiting[ended]!()
    }
    await world.until(world.delivered('out', 12))
    await world.halt()
  })

  test('what a sink refuses is put aside in commits that are not too large, however much it is', async () => {
    const world = new World()
    await world.start()
    await world.inTime(world.log!.topics.create({ name: 'wide', kind: 'internal', partitions: 12 }))
    const large = { id: 'k', text: 'x'.repeat(900_000) }
    for (let partition = 0; partition < 12; partition++)
      await world.produceTo('wide', partition, [large])
    const waiting: (() => void)[] = []
    const refusing: Sink = {
      ...memory(),
      guarantee: 'at-least-once',
      open: async () => ({
        deliver: () =>
          new Promise((resolve) =>
            waiting.push(() => resolve([{ index: 0, code: 'MR5006', message: 'No.' }])),
          ),
        close: async () => {},
      }),
    }
    const options = world.options(world.log!, 'out', refusing)
    const plan = { ...options.plan, topic: 'wide', partitions: 12 }
    const runner = new DeliverRunner({ ...options, plan, partitions: range(0, 12) })
    world.runners = [runner]
    const { env, log, stop } = world
    let most = 0
    const onBeat = (): void => void (most = Math.max(most, runner.stagedBytes))
    world.ended = runWorker({
      env,
      log: log!,
      owner: 'worker',
      runners: [runner],
      onBeat,
      signal: stop.signal,
    })
    await world.until(() => waiting.length === 8)
    for (const answer of waiting.splice(0)) answer()
    await world.until(() => waiting.length === 4)
    for (const answer of waiting) answer()
    await world.until(world.delivered('out', 12))
    expect(most).toBeLessThan(4 * 1024 * 1024)
    const dead = world.report('out').map(({ counters }) => counters.deadLettered)
    expect(dead).toEqual(Array(12).fill(1))
    await world.halt()
  })

  test('failures are spaced out with jitter, and the wait the sink asks for is kept', async () => {
    const world = new World()
    await world.start()
    const times: number[] = []
    const sink: Sink = {
      ...memory(),
      guarantee: 'at-least-once',
      open: async ({ env }) => ({
        deliver: () => {
          times.push(env.clock.monotonic())
          const details = times.length === 4 ? { retryAfterMs: 70_000 } : {}
          return Promise.reject(new MillraceError('MR5007', 'No.', { details }))
        },
        close: async () => {},
      }),
    }
    await world.produce(0, [row(1)])
    world.deliver({ out: sink })
    await world.until(() => times.length === 6)
    const gaps = times.slice(1).map((t, i) => t - times[i]!)
    expect(gaps[0]).toBeGreaterThanOrEqual(50)
    expect(gaps[2]).toBeGreaterThanOrEqual(200)
    expect(gaps[3]).toBeGreaterThanOrEqual(70_000)
    await world.halt()
  })

  test('a pause ends deliveries, a resume goes on; other tasks do not notice', async () => {
    const world = new World()
    await world.start()
    const sink = memory()
    world.deliver({ out: sink })
    world.runners[0]!.pause('shop/out/0')
    await world.produce(0, [row(1)])
    await world.produce(1, [row(2)])
    await world.until(world.delivered('out', 1))
    await world.simulation.advance(1_000)
    expect(sink.rows).toEqual([row(2)])
    expect(world.report('out').map((r) => [r.status, r.lag])).toEqual([
      ['paused', 1],
      ['running', 0],
      ['running', 0],
    ])
    world.runners[0]!.resume('shop/out/0')
    await world.until(world.delivered('out', 2))
    expect(sink.rows).toEqual([row(2), row(1)])
    await world.halt()
  })

  test('a paused task says so from the moment it is reported, while the others are opened', async () => {
    const world = new World()
    await world.start()
    const real = world.log!
    let runner: DeliverRunner | undefined
    const said: string[] = []
    const log: Log = {
      topics: real.topics,
      open: (owner) => real.open(owner),
      positions: (group) => real.positions(group),
      reader: (from) => {
        said.push(...(runner?.report() ?? []).map(({ id, status }) => `${id} ${status}`))
        return real.reader(from)
      },
    }
    runner = world.runner(log, 'out', memory())
    for (const task of runner.tasks) runner.pause(task)
    await world.inTime(runner.open())
    const [first, second] = runner.tasks
    expect(said).toEqual([`${first} paused`, `${first} paused`, `${second} paused`])
    runner.reset()
  })

  test('a task that could not read goes on behind what its sink took, once it is resumed', async () => {
    const world = new World()
    await world.start()
    const sink = memory()
    const real = world.log!
    let damaged = false
    const error = new MillraceError('MR2005', 'A section does not match its hash.')
    const log: Log = {
      topics: real.topics,
      open: (owner) => real.open(owner),
      positions: (group) => real.positions(group),
      reader: async (from) => {
        const reader = await real.reader(from)
        return {
          next: (arena) => (damaged ? { result: 'corrupt', error } : reader.next(arena)),
          wait: (signal) => reader.wait(signal),
          seek: (to) => reader.seek(to),
          lag: () => reader.lag(),
          end: (name, partition) => reader.end(name, partition),
          close: () => reader.close(),
        }
      },
    }
    world.deliver({ out: sink }, log)
    await world.produce(0, [row(1), row(2)])
    await world.until(world.delivered('out', 2))
    damaged = true
    await world.produce(0, [row(3)])
    await world.until(() => world.report('out')[0]!.error?.code === 'MR2005')
    damaged = false
    for (const partition of [0, 1, 2]) world.runners[0]!.resume(`shop/out/${partition}`)
    await world.simulation.advance(5_000)
    expect(world.report('out').map((r) => [r.status, r.error?.code])).toEqual([
      ['running', undefined],
      ['running', undefined],
      ['running', undefined],
    ])
    expect(sink.rows).toEqual([row(1), row(2), row(3)])
    await world.halt()
  })
})

describe('a dead letter that is replayed', () => {
  test('enters its sink again, beside what comes from the topic; failing again it is a letter again', async () => {
    const world = new World()
    await world.start()
    const replayTopic = 'shop.out.replay'
    await world.inTime(
      world.log!.topics.create({ name: replayTopic, kind: 'internal', partitions: 1 }),
    )
    let stubborn = [2, 3]
    const sink = memory({
      refuse: ({ value }) => (stubborn.includes(Number(value?.['n'])) ? 'not now' : undefined),
    })
    const opened: string[] = []
    const watched: Sink = {
      ...sink,
      open: (context) => {
        opened.push(context.name)
        return sink.open!(context)
      },
    }
    const run = (): void => {
      world.epoch++
      const options = world.options(world.log!, 'out', watched)
      world.runners = [world.runner(world.log!, 'out', watched), replayOf(options)!]
      world.stop = new AbortController()
      const { env, log } = world
      world.ended = runWorker({
        env,
        log: log!,
        owner: 'worker',
        runners: world.runners,
        signal: world.stop.signal,
      })
    }
    await world.produce(1, [row(1), row(2), row(3), row(4)])
    run()
    await world.until(world.delivered('out', 4))
    expect(opened).toEqual(['out'])
    expect(world.report('out.replay')).toMatchObject([
      { id: 'shop/out.replay/0', status: 'running', lag: 0, counters: { read: 0 } },
    ])
    const first = await world.letters()
    expect(first.map((letter) => letter.offset)).toEqual([1, 2])
    stubborn = [3]
    for (const letter of first) {
      const value = encodeReplay({ ...letter, node: 3, letter: 0 })
      await world.produceTo(replayTopic, 0, [value])
    }
    await world.until(world.delivered('out.replay', 2))
    expect(sink.records.map((r) => [r.value?.['n'], r.timestamp, r.key])).toEqual([
      [1, 1_000, 'k'],
      [4, 1_000, 'k'],
      [2, 1_000, 'k'],
    ])
    expect(opened).toEqual(['out', 'out.replay'])
    const again = (await world.letters()).at(-1)!
    expect(again).toMatchObject({ ...first[1], attempts: 2, at: expect.any(Number) })
    const third = encodeReplay({ ...again, node: 3, letter: 5 })
    world.runners[1]!.pause('shop/out.replay/0')
    await world.produceTo(replayTopic, 0, [third])
    await world.simulation.advance(1_000)
    expect(world.report('out.replay')).toMatchObject([{ status: 'paused', lag: 1 }])
    expect(world.runners[1]!.resume('shop/out.replay/0')).toBe(true)
    await world.until(world.delivered('out.replay', 3))
    expect((await world.letters()).at(-1)).toMatchObject({
      ...first[1],
      attempts: 3,
      at: expect.any(Number),
    })
    await world.halt()
    run()
    await world.produce(1, [row(5)])
    await world.until(world.delivered('out', 5))
    expect(sink.rows.map((r) => r['n'])).toEqual([1, 4, 2, 5])
    await world.halt()
  })

  test('with nothing to do neither runner takes any time', async () => {
    const world = new World()
    await world.start()
    const spec = { name: 'shop.out.replay', kind: 'internal', partitions: 1 } as const
    await world.inTime(world.log!.topics.create(spec))
    const options = world.options(world.log!, 'out', memory())
    const runners = [new DeliverRunner(options), replayOf(options)!]
    const { env, log, stop } = world
    let beats = 0
    const onBeat = (): void => void beats++
    world.ended = runWorker({
      env,
      log: log!,
      owner: 'worker',
      runners,
      onBeat,
      signal: stop.signal,
    })
    await world.produce(0, [row(1)])
    await world.simulation.advance(1_000)
    const before = beats
    await world.simulation.advance(10_000)
    expect(beats - before).toBeLessThan(20)
    await world.halt()
  })

  test('a plan without a replay topic, or another worker, has none', () => {
    const world = new World()
    const options = world.options({} as never, 'out', memory())
    const { replay: _, ...plan } = options.plan
    expect(replayOf({ ...options, plan })).toBeUndefined()
    expect(replayOf({ ...options, partitions: [1, 2] })).toBeUndefined()
  })
})

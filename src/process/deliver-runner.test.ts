import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena } from '../core/arena.ts'
import { Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { BlockBuilder, BlockView } from '../log/block.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import type { LocalLog } from '../log/embedded/index.ts'
import type { Log, Writer } from '../log/log.ts'
import type { DeliverPlan } from '../plan/plan.ts'
import { file, memory, sqlite } from '../sinks/index.ts'
import type { MemorySink, Sink, SinkBatch } from '../sinks/index.ts'
import { newOpening } from '../sinks/position.ts'
import { SqliteSession } from '../sinks/sqlite/session.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import type { DeadLetter } from './dead-letters.ts'
import { DeliverRunner } from './deliver-runner.ts'
import type { TaskReport } from './runner.ts'
import { runWorker } from './worker.ts'

const topic = 'shop.sales'
const letters = 'shop.dead-letters'
const encoder = new TextEncoder()

/** A log on a simulated disk, a producer, and workers that deliver. */
class World {
  readonly simulation: Simulation
  env: SimulatedEnv
  log: LocalLog | undefined
  producer: Writer | undefined
  epoch = 0
  stop = new AbortController()
  ended: Promise<unknown> = Promise.resolve()
  runners: DeliverRunner[] = []

  constructor(seed = 1) {
    this.simulation = new Simulation({ seed })
    this.env = this.simulation.env('p')
  }

  async start(
    options: Partial<Parameters<typeof openEmbeddedLog>[0]> & { retentionMs?: number } = {},
  ): Promise<void> {
    const { retentionMs, ...rest } = options
    this.log = await this.inTime(openEmbeddedLog({ env: this.env, directory: '/data', ...rest }))
    const { topics } = this.log
    const kept = retentionMs === undefined ? {} : { retentionMs }
    await this.inTime(topics.create({ name: topic, kind: 'internal', partitions: 3, ...kept }))
    await this.inTime(topics.create({ name: letters, kind: 'internal', partitions: 1 }))
    this.producer = await this.inTime(this.log.open('producer'))
  }

  deliver(sinks: Readonly<Record<string, Sink>>, log: Log = this.log!): void {
    this.epoch++
    this.stop = new AbortController()
    this.runners = Object.entries(sinks).map(([name, sink]) => this.runner(log, name, sink))
    this.ended = runWorker({
      env: this.env,
      log,
      owner: 'worker',
      runners: this.runners,
      signal: this.stop.signal,
    })
  }

  runner(log: Log, name: string, sink: Sink): DeliverRunner {
    const plan: DeliverPlan = {
      id: `shop/${name}`,
      node: 3,
      topic,
      partitions: 3,
      kind: sink.kind,
      describe: sink.describe,
      guarantee: sink.guarantee,
      hold: sink.hold ?? { ms: 1_000_000_000, bytes: 1_000_000_000 },
    }
    const { env, epoch } = this
    return new DeliverRunner({
      env,
      log,
      plan,
      sink,
      pipeline: 'shop',
      planHash: 'h1',
      logId: 'log-a',
      epoch,
      deadLetters: letters,
      partitions: [0, 1, 2],
    })
  }

  async produce(partition: number, values: readonly unknown[]): Promise<void> {
    const block = new BlockBuilder()
    for (const value of values) {
      const bytes = value instanceof Uint8Array ? value : encoder.encode(JSON.stringify(value))
      block.add(1_000, encoder.encode('k'), value === undefined ? undefined : bytes)
    }
    this.producer!.append(topic, partition, block.finish(this.env.clock.now()), values.length)
    expect(await this.inTime(this.producer!.commit())).toMatchObject({ outcome: 'committed' })
  }

  /** Lets virtual time pass until it settles. */
  async inTime<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const watched = promise.finally(() => (done = true))
    watched.catch(() => {})
    await this.simulation.runUntil(() => done)
    return watched
  }

  until(done: () => boolean): Promise<void> {
    return this.simulation.runUntil(done)
  }

  async halt(): Promise<void> {
    this.stop.abort()
    await this.inTime(this.ended)
  }

  /** The process dies; another one starts on what it left. */
  async restart(kind: 'kill' | 'power'): Promise<void> {
    this.env.crash(kind)
    this.env = this.simulation.env('p')
    await this.start()
  }

  report(name: string): readonly TaskReport[] {
    return this.runners.find((runner) => runner.id === `shop/${name}`)!.report()
  }

  get delivered(): (name: string, count: number) => () => boolean {
    return (name, count) => () => sum(this.report(name), (r) => r.counters.read) >= count
  }

  async letters(): Promise<DeadLetter[]> {
    const reader = await this.inTime(
      this.log!.reader([{ topic: letters, partition: 0, offset: 0 }]),
    )
    const arena = new Arena(1 << 20)
    const view = new BlockView()
    const found: DeadLetter[] = []
    for (let read = reader.next(arena); read.result === 'block'; read = reader.next(arena)) {
      expect(view.read(read.bytes)).toBe(true)
      for (let i = 0; i < view.count; i++) {
        const record = decodeLetterRecord(view.value(i)!)
        if (record?.kind === 'letter') found.push(record.letter)
      }
    }
    reader.close()
    return found
  }
}

function sum(reports: readonly TaskReport[], of: (report: TaskReport) => number): number {
  return reports.reduce((total, report) => total + of(report), 0)
}

const row = (n: number): { id: string; n: number } => ({ id: `k${n}`, n })
const rowsOf = (sink: MemorySink, partition: number): unknown[] =>
  sink.records.filter((r) => r.partition === partition).map((r) => r.value?.['n'])
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)

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
    const positions = await world.inTime(world.log!.positions('shop/out'))
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
      message: 'three is too many',
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
    expect(world.env.clock.monotonic() - began).toBeGreaterThan(60_000)
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
    world.deliver({ foreign, ahead, healthy })
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

describe('past its hold', () => {
  test('a task stops alone; resumed, it goes on from the earliest record and counts the loss', async () => {
    const world = new World()
    await world.start({
      segmentBytes: 40_000,
      checkpointBytes: 20_000,
      retentionMs: 1_000,
      retentionCheckMs: 500,
    })
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
    down = false
    await world.simulation.advance(60_000)
    expect(world.report('slow')[0]!.status).toBe('behind-retention')
    expect(world.report('slow')[0]!.error?.code).toBe('MR5008')
    expect(inner.rows.length).toBeLessThanOrEqual(1)
    world.runners[0]!.resume('shop/slow/0')
    await world.until(
      () => world.report('slow')[0]!.lag === 0 && world.report('slow')[0]!.counters.read === 100,
    )
    const { counters } = world.report('slow')[0]!
    expect(counters.expired).toBeGreaterThan(10)
    expect(counters.processed + counters.expired).toBe(100)
    expect(inner.rows.map((r) => r['n'])).toEqual(range(0, 100).slice(-inner.rows.length))
    expect(inner.rows.length).toBe(counters.processed)
    expect(rowsOf(healthy, 0)).toEqual(range(0, 100))
    await world.halt()
    // The log's copy stands where the operator put it, and the sink goes on from there after a restart.
    world.deliver({ slow })
    await world.produce(0, [row(100)])
    await world.until(world.delivered('slow', 101))
    expect(inner.rows.at(-1)).toEqual(row(100))
    await world.halt()
  })
})

/** Wraps a sink so that its answers arrive late, and some are lost although the sink did its work. */
function unreliable(sink: Sink, env: () => SimulatedEnv, chance: () => number): Sink {
  return {
    ...sink,
    open: async (context) => {
      const writer = await sink.open!(context)
      return {
        ...(writer.stored === undefined
          ? {}
          : { stored: (partition: number) => writer.stored!(partition) }),
        close: () => writer.close(),
        deliver: async (batch: SinkBatch) => {
          const { timers } = env()
          await timers.sleep(chance() * 20)
          if (chance() < 0.1) throw new Error('before')
          const rejected = await writer.deliver(batch)
          await timers.sleep(chance() * 20)
          if (chance() < 0.1) throw new Error('after')
          return rejected
        },
      }
    },
  }
}

/** Commits fail now and then: refused, or done although the answer is lost. The worker starts over each time. */
function flakyLog(log: Log, chance: () => number): Log {
  const open = async (owner: string): Promise<Writer> => {
    const inner = await log.open(owner)
    let staged: (() => void)[] = []
    return {
      owner,
      epoch: inner.epoch,
      stagedBytes: 0,
      append: (...args) => void staged.push(() => inner.append(...args)),
      control: (...args) => void staged.push(() => inner.control(...args)),
      position: (...args) => void staged.push(() => inner.position(...args)),
      state: (...args) => void staged.push(() => inner.state(...args)),
      close: () => inner.close(),
      commit: async () => {
        const work = staged
        staged = []
        if (chance() < 0.05)
          return { outcome: 'refused', error: new MillraceError('MR2007', 'Full.') }
        for (const act of work) act()
        const result = await inner.commit()
        return chance() < 0.05
          ? { outcome: 'unknown', error: new MillraceError('MR2008', 'Lost.') }
          : result
      },
    }
  }
  return {
    topics: log.topics,
    open,
    reader: (from) => log.reader(from),
    positions: (group) => log.positions(group),
  }
}

const bad = (n: number): boolean => n % 11 === 5

describe('after crashes at random moments', () => {
  test.each(['memory', 'file', 'sqlite', 'at-least-once'] as const)(
    '%s: nothing lost, nothing twice, each dead letter once',
    async (kind) => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 1e6 }),
          fc.array(
            fc.record({
              rows: fc.integer({ min: 1, max: 30 }),
              ms: fc.nat({ max: 60 }),
              crash: fc.constantFrom('no', 'kill', 'power'),
            }),
            {
              minLength: 1,
              maxLength: 10,
            },
          ),
          async (seed, steps) => {
            const world = new World(seed)
            const random = world.simulation.random('sink')
            await world.start()
            const kept = memory({
              refuse: ({ value }) => (bad(Number(value?.['n'])) ? 'bad' : undefined),
            })
            const database = sqliteInline()
            const base =
              kind === 'file'
                ? file({ path: '/out', roll: { ms: 30 } })
                : kind === 'sqlite'
                  ? database.sink
                  : kept
            const seen: SinkBatch[] = []
            const loose: Sink = {
              ...kept,
              guarantee: 'at-least-once',
              open: async () => ({
                deliver: async (batch) => {
                  seen.push(batch)
                  return batch.records.flatMap(({ value }, index) =>
                    bad(Number(value?.['n'])) ? [{ index, code: 'MR5006', message: 'bad' }] : [],
                  )
                },
                close: async () => {},
              }),
            }
            const sink = unreliable(
              kind === 'at-least-once' ? loose : base,
              () => world.env,
              () => random.float(),
            )
            const flaky = (): Log => flakyLog(world.log!, () => random.float())
            world.deliver({ out: sink }, flaky())
            let n = 0
            for (const step of steps) {
              await world.produce(0, range(n, n + step.rows).map(row))
              n += step.rows
              await world.simulation.advance(step.ms)
              if (step.crash === 'no') continue
              await world.restart(step.crash)
              world.deliver({ out: sink }, flaky())
            }
            await world.until(world.delivered('out', n))
            await world.halt()
            const wanted = range(0, n).filter((i) => kind === 'file' || !bad(i))
            if (kind === 'memory') expect(rowsOf(kept, 0)).toEqual(wanted)
            if (kind === 'sqlite') expect(database.rows()).toEqual(wanted)
            database.remove()
            if (kind === 'file') expect(linesOf(world)).toEqual(wanted)
            if (kind === 'at-least-once') {
              const got = seen.flatMap((batch) =>
                batch.records.map(({ value }) => Number(value?.['n'])),
              )
              expect([...new Set(got)].sort((a, b) => a - b)).toEqual(range(0, n))
            }
            const dead = (await world.letters()).map((letter) => letter.offset)
            expect(dead).toEqual(kind === 'file' ? [] : range(0, n).filter(bad))
            const { counters } = world.report('out')[0] ?? (await committed(world))
            expect(counters.read).toBe(n)
            expect(counters.processed + counters.deadLettered).toBe(n)
          },
        ),
        { numRuns: kind === 'sqlite' ? 20 : 40, endOnFailure: true },
      )
    },
  )
})

/** What the log says after the workers ended. */
async function committed(world: World): Promise<Pick<TaskReport, 'counters'>> {
  const positions = await world.inTime(world.log!.positions('shop/out'))
  return JSON.parse(positions[0]!.meta) as Pick<TaskReport, 'counters'>
}

/** The sqlite sink without its thread, on a real file; a row with `n` of the wrong kind is refused by the table. */
function sqliteInline(): { sink: Sink; rows(): unknown[]; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-deliver-'))
  const path = join(directory, 'out.db')
  const before = new DatabaseSync(path)
  before.exec('CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n % 11 <> 5))')
  before.close()
  const options = { path, table: 't', key: ['id'], columns: {}, busyMs: 100 }
  return {
    sink: {
      ...sqlite(options),
      open: async (context) => {
        const session = new SqliteSession(options, newOpening(context, path))
        return {
          stored: async (partition) => session.stored(partition),
          deliver: async (batch) => session.deliver(batch),
          close: async () => session.close(),
        }
      },
    },
    rows: () => {
      const db = new DatabaseSync(path, { readOnly: true })
      const rows = db.prepare('SELECT n FROM t ORDER BY n').all()
      db.close()
      return rows.map((r) => r['n'])
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

function linesOf(world: World): unknown[] {
  const files = [...world.simulation.disk().contents()]
    .filter(([path]) => path.endsWith('.ndjson'))
    .sort()
  return files.flatMap(([, bytes]) =>
    new TextDecoder()
      .decode(bytes)
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { n: number }).n),
  )
}

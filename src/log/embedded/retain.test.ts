import { describe, expect, test } from 'vitest'
import { Arena } from '../../core/arena.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { DiskFault } from '../../core/env/simulated/index.ts'
import type { TopicSpec } from '../log.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import { openEmbeddedLog, openReadOnly } from './index.ts'
import type { LocalLog } from './index.ts'

const HOUR = 3_600_000
const small = {
  directory: 'data',
  segmentBytes: 8_000,
  checkpointBytes: 20_000,
  reserve: { low: 0, high: 0 },
  retentionCheckMs: 60_000,
}
const start = { partition: 0, offset: 0 }

interface Rig {
  readonly sim: Simulation
  log: LocalLog
  /** Commits `count` records of about 500 bytes. */
  put(name: string, count: number): Promise<void>
  sleep(ms: number): Promise<void>
  segments(): string[]
  earliest(name: string): Promise<number>
  reopen(): Promise<void>
}

async function rig(body: (rig: Rig) => Promise<void>): Promise<void> {
  const sim = new Simulation({ seed: 'retention' })
  const running = (async () => {
    let env = sim.env('engine')
    const r: Rig = {
      sim,
      log: await openEmbeddedLog({ env, ...small }),
      async put(name, count) {
        const writer = await r.log.open('w')
        for (let i = 0; i < count; i++) {
          writer.append(name, 0, blockOf([`${name}${i}`.padEnd(450)]), 1)
          expect((await writer.commit()).outcome).toBe('committed')
        }
      },
      sleep: (ms) => env.timers.sleep(ms),
      segments: () => [...sim.disk().contents().keys()].filter((path) => path.endsWith('.seg')),
      earliest: async (name) => (await r.log.topics.offsets(name))[0]!.earliest,
      async reopen() {
        env.crash('kill')
        env = sim.env('engine')
        r.log = await openEmbeddedLog({ env, ...small })
      },
    }
    await body(r)
  })()
  let ended = false
  running.finally(() => (ended = true)).catch(() => {})
  await sim.runUntil(() => ended, { withinMs: 1e9, turns: 5_000_000 })
  await running
}

const kept = (name: string, spec: Partial<TopicSpec>): TopicSpec => ({ ...topic(name), ...spec })

describe('retention by time', () => {
  test('removes whole segments once everything in them is old, and keeps the rest', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR }))
      await r.put('a', 60)
      const before = r.segments().length
      await r.sleep(HOUR / 2)
      expect(await r.earliest('a')).toBe(0)
      await r.put('a', 10)
      await r.sleep(HOUR * 0.7)
      const earliest = await r.earliest('a')
      expect(earliest).toBeGreaterThan(40)
      expect(earliest).toBeLessThanOrEqual(60)
      expect(r.segments().length).toBeLessThan(before - 1)
      const reader = await r.log.reader([{ topic: 'a', ...start }])
      expect(drain(reader).end).toEqual({ result: 'gone', topic: 'a', partition: 0, earliest })
      reader.seek({ topic: 'a', partition: 0, offset: earliest })
      expect(valuesOf(drain(reader).blocks)).toHaveLength(70 - earliest)
      await r.reopen()
      expect(await r.earliest('a')).toBe(earliest)
      expect(
        drain(await r.log.reader([{ topic: 'a', partition: 0, offset: earliest }])).blocks,
      ).toHaveLength(70 - earliest)
    }))

  test('a segment stays while another topic needs something in it', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR }))
      await r.log.topics.create(topic('forever'))
      await r.put('a', 20)
      await r.put('forever', 1)
      await r.put('a', 60)
      await r.sleep(2 * HOUR)
      expect(await r.earliest('a')).toBeGreaterThan(60)
      expect(await r.earliest('forever')).toBe(0)
      expect(
        valuesOf(drain(await r.log.reader([{ topic: 'forever', ...start }])).blocks),
      ).toHaveLength(1)
      const many = r.segments().length
      await r.log.topics.delete('forever')
      await r.sleep(HOUR)
      expect(r.segments().length).toBeLessThan(many)
    }))

  test('a clock that jumps ahead, or back, removes nothing', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR }))
      await r.put('a', 60)
      for (const skew of [365 * 24 * HOUR, -365 * 24 * HOUR]) {
        r.sim.clockSkewMs = skew
        await r.put('a', 5)
        await r.sleep(HOUR / 10)
        expect(await r.earliest('a')).toBe(0)
        await r.reopen()
        await r.sleep(HOUR / 10)
        expect(await r.earliest('a')).toBe(0)
      }
    }))
})

describe('retention by size', () => {
  test('keeps the newest bytes of each topic', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionBytes: 20_000 }))
      await r.put('a', 200)
      await r.sleep(120_000)
      const earliest = await r.earliest('a')
      const left = 200 - earliest
      expect(left).toBeGreaterThanOrEqual(30)
      expect(left).toBeLessThan(60)
      expect(r.segments().length).toBeLessThan(10)
      await r.reopen()
      await r.put('a', 100)
      await r.sleep(120_000)
      expect((await r.earliest('a')) - earliest).toBeGreaterThan(80)
    }))
})

describe('a hold', () => {
  test('spares what its group has not read, within its bounds, and no longer', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR }))
      await r.log.topics.hold('slow', 'a', 3 * HOUR, 1e9)
      await r.put('a', 40)
      const writer = await r.log.open('slow-writer')
      writer.position('slow', { topic: 'a', partition: 0, offset: 30, meta: '' })
      await writer.commit()
      await r.sleep(2 * HOUR)
      const earliest = await r.earliest('a')
      expect(earliest).toBeLessThanOrEqual(30)
      expect(earliest).toBeGreaterThan(10)
      await r.put('a', 30)
      await r.sleep(2 * HOUR)
      const past = await r.earliest('a')
      expect(past).toBeGreaterThan(30)
      expect(
        drain(await r.log.reader([{ topic: 'a', partition: 0, offset: 30 }])).end,
      ).toMatchObject({ result: 'gone', earliest: past })
    }))

  test('by size lets go of what is more than its bytes', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR }))
      await r.log.topics.hold('slow', 'a', 1000 * HOUR, 15_000)
      await r.put('a', 100)
      await r.sleep(3 * HOUR)
      const left = 100 - (await r.earliest('a'))
      expect(left).toBeGreaterThan(10)
      expect(left).toBeLessThan(45)
    }))
})

test('a trimmed changelog gives its segments back; those that a power cut brings back go again', () =>
  rig(async (r) => {
    await r.log.topics.create(topic('s', 1, 'changelog'))
    const writer = await r.log.open('w')
    for (let i = 0; i < 80; i++) {
      writer.state('s', 0, new Uint8Array(450).fill(i), 1)
      await writer.commit()
    }
    const before = r.segments()
    const contents = r.sim.disk().contents()
    await r.log.topics.trim('s', 0, 70)
    await r.log.host.retain()
    const after = r.segments()
    expect(after.length).toBeLessThan(before.length - 3)
    // As if the names had come back: the removal is in the log, the files are there.
    const env = r.sim.env('tool')
    for (const path of before.filter((name) => !after.includes(name))) {
      const file = env.disk.open(path.slice(1), 'create')
      file.write(contents.get(path)!, 0)
      file.close()
    }
    await r.reopen()
    expect(r.segments()).toEqual(after)
    const { blocks, end } = drain(await r.log.reader([{ topic: 's', partition: 0, offset: 70 }]))
    expect([blocks.length, end.result]).toEqual([10, 'caught-up'])
  }))

test('a log in which everything may go keeps working over many rounds of it', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('a', { retentionBytes: 1 }))
    for (let round = 1; round <= 6; round++) {
      await r.put('a', 40)
      await r.log.host.retain()
      const { earliest, next } = (await r.log.topics.offsets('a'))[0]!
      expect(next).toBe(round * 40)
      expect(
        drain(await r.log.reader([{ topic: 'a', partition: 0, offset: earliest }])).blocks,
      ).toHaveLength(next - earliest)
      expect(r.segments().length).toBeLessThan(5)
      if (round % 2 === 0) await r.reopen()
    }
  }))

test('a retention that is given later counts for what is there already', () =>
  rig(async (r) => {
    await r.log.topics.create(topic('a'))
    await r.put('a', 60)
    await r.log.host.retain()
    await r.log.topics.create(kept('a', { retentionBytes: 1 }), { change: true })
    await r.log.host.retain()
    expect(await r.earliest('a')).toBeGreaterThan(40)
    expect(r.segments().length).toBeLessThan(4)
  }))

test('what cannot be read is left where it is, and the log goes on', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('a', { retentionBytes: 1 }))
    await r.put('a', 60)
    await r.reopen()
    const before = r.segments()
    for (const on of ['read', 'open'] as const) {
      const undo = r.sim.disk().inject({ on, path: 'log', times: 1000, effect: { error: 'EIO' } })
      await r.log.host.retain()
      undo()
      expect(r.segments()).toEqual(before)
    }
    await r.put('a', 1)
    await r.log.host.retain()
    expect(r.segments().length).toBeLessThan(before.length)
  }))

test('a reader whose segment was removed before it heard of it says gone', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('a', { retentionBytes: 1 }))
    await r.log.topics.create(kept('b', { retentionBytes: 1 }))
    await r.put('a', 5)
    await r.put('b', 60)
    await r.put('a', 5)
    // A reader with its own view of the files, which nobody tells anything.
    const alone = openReadOnly(r.sim.env('reader'), 'data')
    const reader = await alone.reader([{ topic: 'a', ...start }])
    await r.log.host.retain()
    const { earliest } = (await r.log.topics.offsets('a'))[0]!
    expect(drain(reader)).toEqual({
      blocks: [],
      end: { result: 'gone', topic: 'a', partition: 0, earliest },
    })
    reader.seek({ topic: 'a', partition: 0, offset: earliest })
    expect(valuesOf(drain(reader).blocks)).toHaveLength(10 - earliest)
  }))

describe('archives', () => {
  const sparse = { ...small, segmentBytes: 20_000, checkpointBytes: 10_000 }

  /** Records kept for ever among many that go at once: one of them in every ten. */
  async function mix(log: LocalLog, from: number, count: number): Promise<void> {
    const writer = await log.open('w')
    for (let i = from; i < from + count; i++) {
      const name = i % 10 === 0 ? 'forever' : 'passing'
      writer.append(name, 0, blockOf([`${i}`.padEnd(name === 'forever' ? 10 : 600)]), 1)
      expect((await writer.commit()).outcome).toBe('committed')
    }
  }

  async function topics(log: LocalLog): Promise<void> {
    await log.topics.create(topic('forever'))
    await log.topics.create(kept('passing', { retentionBytes: 1 }))
  }

  const numbers = (values: readonly string[]): number[] => values.map(Number)
  const tens = (count: number): number[] =>
    Array.from({ length: Math.ceil(count / 10) }, (_, i) => i * 10)

  async function readForever(log: LocalLog): Promise<number[]> {
    const { blocks, end } = drain(await log.reader([{ topic: 'forever', ...start }]))
    expect(end.result).toBe('caught-up')
    return numbers(valuesOf(blocks))
  }

  /** Bytes of the files that hold frames. */
  function size(sim: Simulation): number {
    const files = [...sim.disk().contents()].filter(([path]) => /\.(seg|arc)$/.test(path))
    return files.reduce((sum, [, bytes]) => sum + bytes.length, 0)
  }

  async function simulate(sim: Simulation, body: () => Promise<void>): Promise<void> {
    const running = body()
    let ended = false
    running.finally(() => (ended = true)).catch(() => {})
    await sim.runUntil(() => ended, { withinMs: 1e9 })
    await running
  }

  test('keep what is kept for ever without the segments it lay in', async () => {
    const sim = new Simulation({ seed: 'archives' })
    await simulate(sim, async () => {
      let log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse, segmentBytes: 40_000 })
      await topics(log)
      for (let round = 0; round < 4; round++) {
        await mix(log, round * 400, 400)
        const reader = await log.reader([{ topic: 'forever', ...start }])
        const arena = new Arena(256)
        // It stands in the middle of a segment that goes.
        for (let i = 0; i < 5;) {
          const result = reader.next(arena)
          expect(['block', 'arena-full']).toContain(result.result)
          if (result.result === 'block') i++
          else arena.reset()
        }
        for (let i = 0; i < 10; i++) await log.host.retain()
        // Some 35 KB of each round are kept, beside the newest segments.
        expect(size(sim)).toBeLessThan(130_000 + round * 50_000)
        const rest = drain(reader)
        expect(rest.end.result).toBe('caught-up')
        const all = tens((round + 1) * 400)
        expect(numbers(valuesOf(rest.blocks))).toEqual(all.slice(5))
        expect(await readForever(log)).toEqual(all)
        const { earliest, next } = (await log.topics.offsets('passing'))[0]!
        expect(
          drain(await log.reader([{ topic: 'passing', partition: 0, offset: earliest }])).blocks,
        ).toHaveLength(next - earliest)
        expect(await log.topics.offsetAt('forever', 0, 0)).toBe(0)
        if (round % 2 === 1) {
          await log.stop()
          log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse, segmentBytes: 40_000 })
          expect(await readForever(log)).toEqual(all)
        }
      }
    })
    expect([...sim.disk().contents().keys()].some((path) => path.endsWith('.arc'))).toBe(true)
  })

  /** Makes a log with 110 records of which 11 are kept, lets `fault` hit its retention, and looks at what is left. */
  async function stopped(seed: string, fault: DiskFault): Promise<boolean> {
    const sim = new Simulation({ seed })
    const env = sim.env('engine')
    let log: LocalLog | undefined
    await simulate(sim, async () => {
      log = await openEmbeddedLog({ env, ...sparse })
      await topics(log)
      await mix(log, 0, 110)
    })
    const undo = sim.disk().inject(fault)
    let ended = false
    const retaining = (async () => {
      for (let i = 0; i < 4; i++) await log!.host.retain()
    })()
    const end = (): void => void (ended = true)
    retaining.then(end, end)
    await sim.runUntil(() => ended || !env.alive)
    undo()
    const hit = !env.alive || log!.host.engine.failure !== undefined
    if (env.alive) env.crash('kill')
    for (const then of ['power', 'kill'] as const) {
      const next = sim.env('engine')
      await simulate(sim, async () => {
        const again = await openEmbeddedLog({ env: next, ...sparse })
        expect(await readForever(again)).toEqual(tens(110))
        for (let i = 0; i < 2; i++) await again.host.retain()
        expect(await readForever(again)).toEqual(tens(110))
        const { earliest, next: offset } = (await again.topics.offsets('passing'))[0]!
        const from = { topic: 'passing', partition: 0, offset: earliest }
        expect(drain(await again.reader([from])).blocks).toHaveLength(offset - earliest)
        expect(offset).toBe(99)
      })
      next.crash(then)
    }
    return hit
  }

  test.each(['kill', 'power', 'EIO'] as const)(
    'lose nothing when it stops at any operation (%s)',
    async (how) => {
      const effect = how === 'EIO' ? { error: 'EIO' } : { crash: how }
      let hits = 0
      for (let nth = 1; nth <= 32; nth++) {
        const fault = { on: 'change', path: 'data', nth, effect } as const
        if (await stopped(`archive ${how} ${nth}`, fault)) hits++
      }
      expect(hits).toBeGreaterThan(20)
    },
  )

  test('are durable, name included, before what they stand for goes', async () => {
    for (let seed = 0; seed < 24; seed++) {
      const nth = 1 + (seed % 3)
      const effect = { crash: seed % 4 === 0 ? 'kill' : 'power', moment: 'after' } as const
      expect(await stopped(`names ${seed}`, { on: 'unlink', nth, effect })).toBe(true)
    }
  })

  test('whose name may not be durable do not count, as long as what they stand for is there', async () => {
    for (let nth = 1; nth <= 6; nth++) {
      const fault = { on: 'fsyncDir', path: 'log', nth, effect: { error: 'EIO' } } as const
      expect(await stopped(`phantom ${nth}`, fault)).toBe(true)
    }
  })

  test('never take the place of what recovery would read', async () => {
    const sim = new Simulation({ seed: 'checkpoint' })
    const options = { ...sparse, checkpointBytes: 1e9 }
    const env = sim.env('engine')
    await simulate(sim, async () => {
      const log = await openEmbeddedLog({ env, ...options })
      await topics(log)
      await mix(log, 0, 150)
      for (let i = 0; i < 3; i++) await log.host.retain()
      env.crash('kill')
      const again = await openEmbeddedLog({ env: sim.env('engine'), ...options })
      expect(await readForever(again)).toEqual(tens(150))
    })
  })

  test('with a flipped bit are refused or reported, never read otherwise', async () => {
    const sim = new Simulation({ seed: 'flip' })
    await simulate(sim, async () => {
      const log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse })
      await topics(log)
      await mix(log, 0, 150)
      for (let i = 0; i < 4; i++) await log.host.retain()
      await log.stop()
    })
    const path = [...sim.disk().contents().keys()].find((name) => name.endsWith('.arc'))!
    const { length } = sim.disk().contents().get(path)!
    const said: string[] = []
    for (let at = 0; at < length; at += at < 64 || (at > 4090 && at < 4600) ? 3 : 97) {
      sim.disk().flipBit(path.slice(1), at, at % 8)
      await simulate(sim, async () => {
        const log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse }).catch(
          (error: unknown) => String(error),
        )
        if (typeof log === 'string') {
          expect(log).toMatch(/MR200[234]/)
          said.push('refused')
          return
        }
        const { blocks, end } = drain(await log.reader([{ topic: 'forever', ...start }]))
        said.push(end.result)
        const read = numbers(valuesOf(blocks))
        expect(read).toEqual(tens(150).slice(0, read.length))
        if (end.result === 'caught-up') expect(read).toEqual(tens(150))
        await log.stop()
      })
      sim.disk().flipBit(path.slice(1), at, at % 8)
    }
    expect(said).toContain('refused')
    expect(said).toContain('corrupt')
  })
})

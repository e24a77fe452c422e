import { describe, expect, test } from 'vitest'
import { Arena } from '../../core/arena.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { DiskFault } from '../../core/env/simulated/index.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import { openEmbeddedLog } from './index.ts'
import type { LocalLog } from './index.ts'

const sparse = {
  directory: 'data',
  segmentBytes: 20_000,
  checkpointBytes: 10_000,
  reserve: { low: 0, high: 0 },
  retentionCheckMs: 60_000,
}
const start = { partition: 0, offset: 0 }

describe('archives', () => {
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
    await log.topics.create({ ...topic('passing'), retentionBytes: 1 })
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

  test('count for a thread that stood idle since before they were made', async () => {
    const sim = new Simulation({ seed: 'idle' })
    await simulate(sim, async () => {
      const log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse })
      await topics(log)
      await mix(log, 0, 35)
      const idle = await log.connect()
      const reader = await idle.reader([{ topic: 'forever', ...start }])
      drain(reader)
      await mix(log, 35, 16)
      // From here on nothing that is kept: what is, lies in an archive.
      for (let from = 51; from < 110; from += 10) await mix(log, from, 9)
      for (let i = 0; i < 6; i++) await log.host.retain()
      const names = [...sim.disk().contents().keys()].filter((path) => path.endsWith('.arc'))
      expect(names.length).toBeGreaterThan(0)
      const { next } = (await log.topics.offsets('forever'))[0]!
      expect(next).toBe(6)
      expect(reader.end('forever', 0)).toBe(next)
      expect(numbers(valuesOf(drain(reader).blocks))).toEqual([40, 50])
    })
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

  test('never take over a section that does not match its hash: it stays, and is reported', async () => {
    const sim = new Simulation({ seed: 'rot' })
    await simulate(sim, async () => {
      const log = await openEmbeddedLog({ env: sim.env('engine'), ...sparse })
      await topics(log)
      await mix(log, 0, 150)
      const [first] = [...sim.disk().contents().keys()].filter((path) => path.endsWith('.seg'))
      const at = Buffer.from(sim.disk().contents().get(first!)!).indexOf('10        ')
      sim.disk().flipBit(first!.slice(1), at + 5, 0)
      for (let i = 0; i < 4; i++) await log.host.retain()
      expect([...sim.disk().contents().keys()]).toContain(first)
      const { blocks, end } = drain(await log.reader([{ topic: 'forever', ...start }]))
      expect(numbers(valuesOf(blocks))).toEqual([0])
      expect(end.result).toBe('corrupt')
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

import { describe, expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
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

async function rig(body: (rig: Rig) => Promise<void>, segmentBytes = 8_000): Promise<void> {
  const options = { ...small, segmentBytes }
  const sim = new Simulation({ seed: 'retention' })
  const running = (async () => {
    let env = sim.env('engine')
    const r: Rig = {
      sim,
      log: await openEmbeddedLog({ env, ...options }),
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
        r.log = await openEmbeddedLog({ env, ...options })
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

describe('the newest segment', () => {
  test('lets go of what is too old although it is not full, and of nothing else', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR, retentionBytes: 1e9 }))
      await r.log.topics.create(kept('b', { retentionMs: 3 * HOUR }))
      await r.log.topics.create(topic('forever'))
      for (const name of ['a', 'b', 'forever']) await r.put(name, 2)
      await r.sleep(HOUR / 2)
      await r.put('a', 1)
      expect(r.segments()).toHaveLength(1)
      await r.sleep(HOUR * 0.6)
      const earliest = async (): Promise<number[]> =>
        Promise.all(['a', 'b', 'forever'].map((name) => r.earliest(name)))
      expect(await earliest()).toEqual([2, 0, 0])
      expect(drain(await r.log.reader([{ topic: 'a', ...start }])).end).toMatchObject({
        result: 'gone',
        earliest: 2,
      })
      // What is known of ages is known after a restart as well.
      await r.reopen()
      await r.sleep(HOUR)
      expect(await earliest()).toEqual([3, 0, 0])
      await r.sleep(HOUR)
      expect(await earliest()).toEqual([3, 2, 0])
      expect(r.segments()).toHaveLength(1)
    }, 100_000))

  test('keeps what is too much, whatever its size', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionBytes: 1 }))
      await r.put('a', 3)
      await r.sleep(2 * HOUR)
      expect(await r.earliest('a')).toBe(0)
    }))

  test('that gave up records counts their bytes once, also when it is full later', () =>
    rig(async (r) => {
      await r.log.topics.create(kept('a', { retentionMs: HOUR, retentionBytes: 25_000 }))
      for (let round = 0; round < 24; round++) {
        await r.put('a', 2)
        await r.sleep(HOUR * 0.7)
      }
      const { earliest, next } = (await r.log.topics.offsets('a'))[0]!
      const { state } = r.log.host.engine
      const left = drain(await r.log.reader([{ topic: 'a', partition: 0, offset: earliest }]))
      const bytes = left.blocks.reduce((sum, block) => sum + block.bytes.length, 0)
      expect([next, left.blocks.length]).toEqual([48, next - earliest])
      expect([...state.topics.values()].map((t) => t.bytes)).toEqual([bytes])
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

test('space is given back although other threads had the files open', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('a', { retentionBytes: 1 }))
    const readers = []
    for (let i = 0; i < 3; i++)
      readers.push(await (await r.log.connect()).reader([{ topic: 'a', ...start }]))
    for (let round = 0; round < 5; round++) {
      await r.put('a', 20)
      for (const reader of readers) drain(reader)
    }
    await r.log.host.retain()
    await r.sleep(1)
    const disk = r.sim.disk()
    const named = [...disk.contents().values()].reduce((sum, { length }) => sum + length, 0)
    expect(r.segments().length).toBeLessThan(4)
    expect(disk.usedBytes).toBe(named)
  }))

test('space is given back where there is none left to write that down', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('a', { retentionMs: HOUR }))
    await r.put('a', 60)
    const disk = r.sim.disk()
    disk.capacityBytes = disk.usedBytes
    const writer = await r.log.open('w').catch((error: unknown) => error)
    expect(writer).toMatchObject({ code: 'MR2007' })
    await r.sleep(2 * HOUR)
    expect(await r.earliest('a')).toBe(60)
    expect(r.segments().length).toBeLessThan(3)
    await r.put('a', 5)
    await r.reopen()
    const from = { topic: 'a', partition: 0, offset: 60 }
    expect(drain(await r.log.reader([from])).blocks).toHaveLength(5)
  }))

test('a pass looks only into segments of which something may go, and into a few at once', () =>
  rig(async (r) => {
    await r.log.topics.create(kept('long', { retentionMs: 1000 * HOUR }))
    await r.log.topics.create(kept('short', { retentionMs: HOUR }))
    await r.log.topics.create(kept('never', { retentionMs: HOUR }))
    for (let round = 0; round < 12; round++) {
      await r.put('long', 30)
      await r.put('short', 5)
      await r.sleep(HOUR)
    }
    await r.sleep(2 * HOUR)
    const reads = async (passes: number): Promise<number> => {
      let count = 0
      r.sim.disk().hook = (operation, path) => {
        if (operation === 'open' && path.endsWith('.idx')) count++
        return undefined
      }
      for (let i = 0; i < passes; i++) await r.log.host.retain()
      r.sim.disk().hook = undefined
      return count
    }
    expect(await r.earliest('short')).toBeGreaterThan(50)
    expect(r.segments().length).toBeGreaterThan(70)
    expect(await reads(10)).toBeLessThan(100)
    await r.reopen()
    expect(await reads(1)).toBeLessThan(50)
    expect(await reads(9)).toBeGreaterThan(20)
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

test('a reader that stands in a removed segment, of which its thread has a map, goes on behind others that are gone', () =>
  rig(async (r) => {
    await r.log.topics.create(topic('a'))
    await r.log.topics.create(topic('b'))
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) => r.log.reader([{ topic: name, ...start }])),
    )
    await r.put('a', 2)
    expect(drain(a!).blocks).toHaveLength(2)
    await r.put('b', 40)
    // It is the other one that sees the segment sealed.
    expect(drain(b!).blocks).toHaveLength(40)
    await r.log.topics.trim('a', 0, 2)
    await r.log.topics.trim('b', 0, 30)
    const before = r.segments().length
    await r.log.host.retain()
    expect(r.segments().length).toBeLessThan(before - 2)
    expect(drain(a!)).toEqual({ blocks: [], end: { result: 'caught-up' } })
    await r.put('a', 1)
    expect(valuesOf(drain(a!).blocks)).toHaveLength(1)
  }))

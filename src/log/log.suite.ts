/**
 * The promises of `Log` (L1 to L6), as tests that every implementation passes. Offsets may have gaps: nothing here
 * computes one. `run` drives whatever needs driving (a simulator) until the body is done.
 */
import { describe, expect, test } from 'vitest'
import { Arena } from '../core/arena.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { BlockBuilder, BlockView, readControl } from './block.ts'
import type { Block, Log, Reader, ReadFrom, ReadResult, TopicSpec, Writer } from './log.ts'

export interface LogHarness {
  readonly log: Log
  /** The same log as another thread has it. */
  connect(): Promise<Log>
  /** Closes the log and opens it again; returns the new one. Undefined where that has no meaning. */
  readonly reopen: (() => Promise<Log>) | undefined
  /** Lets time pass (ms). */
  advance(ms: number): Promise<void>
  now(): number
}

export type RunLog = (body: (harness: LogHarness) => Promise<void>) => Promise<void>

const utf8 = new TextEncoder()
const text = new TextDecoder()

export const topic = (
  name: string,
  partitions = 1,
  kind: TopicSpec['kind'] = 'user',
): TopicSpec => ({ name, kind, partitions })
export const from = (name: string, partition = 0, offset = 0): ReadFrom => ({
  topic: name,
  partition,
  offset,
})

export function blockOf(values: readonly string[], time = 0): Uint8Array {
  const builder = new BlockBuilder()
  for (const value of values) builder.add(time, undefined, utf8.encode(value))
  return builder.finish(time)
}

/** All that can be read now: blocks until something else comes, and what that is. */
export function drain(reader: Reader): {
  readonly blocks: readonly Block[]
  readonly end: ReadResult
} {
  const blocks: Block[] = []
  const arena = new Arena(256)
  for (;;) {
    const result = reader.next(arena)
    if (result.result === 'block') blocks.push({ ...result, bytes: result.bytes.slice() })
    else if (result.result === 'arena-full') arena.reset()
    else return { blocks, end: result }
  }
}

export function valuesOf(blocks: readonly Block[], name?: string, partition?: number): string[] {
  const view = new BlockView()
  const mine = blocks.filter(
    (b) => (name ?? b.topic) === b.topic && (partition ?? b.partition) === b.partition,
  )
  return mine.flatMap((block) => {
    expect(view.read(block.bytes)).toBe(true)
    expect(view.count).toBe(block.count)
    return Array.from({ length: view.count }, (_, i) => text.decode(view.value(i)))
  })
}

async function refusalOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  return error instanceof MillraceError ? error.code : `not refused: ${String(error)}`
}

export async function put(writer: Writer, name: string, partition: number, ...values: string[]) {
  writer.append(name, partition, blockOf(values), values.length)
  const result = await writer.commit()
  if (result.outcome !== 'committed') throw result.error
  return result
}

const spot = async (log: Log, name: string, offset = 0): Promise<ReadFrom> => {
  const earliest = (await log.topics.offsets(name))[0]!.earliest
  return from(name, 0, Math.max(offset, earliest))
}

export function describeLog(name: string, run: RunLog): void {
  describe(`${name} keeps the promises of Log`, () => {
    commits(run)
    fencing(run)
    reading(run)
    positions(run)
    catalog(run)
  })
}

function commits(run: RunLog): void {
  test('L1, L2: what is committed can be read as it was written, whole, from all its partitions', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a', 2))
      await log.topics.create(topic('s', 1, 'changelog'))
      await log.topics.create(topic('i', 1, 'internal'))
      const writer = await log.open('w')
      writer.append('a', 0, blockOf(['x', 'y']), 2)
      writer.append('a', 1, blockOf(['z']), 1)
      writer.state('s', 0, utf8.encode('changes'), 3)
      writer.control('i', 0, 7, -Infinity)
      writer.append('a', 0, blockOf(['again']), 1)
      expect(writer.stagedBytes).toBeGreaterThan(0)
      const result = await writer.commit()
      expect(writer.stagedBytes).toBe(0)
      if (result.outcome !== 'committed') throw result.error
      expect(result.appended.map((a) => `${a.topic}/${a.partition}`)).toEqual([
        'a/0',
        'a/1',
        's/0',
        'i/0',
        'a/0',
      ])
      for (const a of result.appended) expect(a.nextOffset).toBeGreaterThan(a.baseOffset)

      const reader = await log.reader([from('a', 0), from('a', 1), from('s'), from('i')])
      const { blocks, end } = drain(reader)
      expect(end).toEqual({ result: 'caught-up' })
      expect(new Set(blocks.map((b) => b.lsn))).toEqual(new Set([result.lsn]))
      expect(valuesOf(blocks, 'a', 0)).toEqual(['x', 'y', 'again'])
      expect(valuesOf(blocks, 'a', 1)).toEqual(['z'])
      const state = blocks.find((b) => b.kind === 'state')
      expect([state?.topic, state?.count, text.decode(state?.bytes)]).toEqual(['s', 3, 'changes'])
      const control = blocks.find((b) => b.kind === 'control')
      expect(readControl(control!.bytes)).toEqual({ upstream: 7, watermark: -Infinity })
      for (const a of result.appended) {
        const same = (b: Block): boolean =>
          b.topic === a.topic && b.baseOffset === a.baseOffset && b.partition === a.partition
        expect(blocks.filter(same)).toHaveLength(1)
      }
    }))

  test('L1: a refused commit leaves nothing, and the writer goes on', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a', 2))
      const writer = await log.open('w')
      for (const [bad, partition] of [
        ['none', 0],
        ['a', 2],
      ] as const) {
        writer.append('a', 0, blockOf(['lost']), 1)
        writer.append(bad, partition, blockOf(['lost']), 1)
        writer.position('g', { topic: 'a', partition: 0, offset: 0, meta: 'lost' })
        const result = await writer.commit()
        expect(result.outcome === 'refused' && result.error.code).toBe('MR2011')
      }
      await put(writer, 'a', 0, 'kept')
      expect(valuesOf(drain(await log.reader([from('a')])).blocks)).toEqual(['kept'])
      expect(await log.positions('g')).toEqual([])
    }))

  test('L1: kinds of topics keep to themselves; positions and sizes have limits', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      await log.topics.create(topic('s', 1, 'changelog'))
      const writer = await log.open('w')
      const refused = async (): Promise<string> => {
        const result = await writer.commit()
        return result.outcome === 'refused' ? result.error.code : result.outcome
      }
      writer.append('s', 0, blockOf(['x']), 1)
      expect(await refused()).toBe('MR2011')
      writer.state('a', 0, blockOf(['x']), 1)
      expect(await refused()).toBe('MR2011')
      writer.control('a', 0, 0, 0)
      expect(await refused()).toBe('MR2011')
      writer.position('g', { topic: 'a', partition: 0, offset: 0, meta: 'm'.repeat(16 * 1024 + 1) })
      expect(await refused()).toBe('MR2016')
      writer.append('a', 0, new Uint8Array(limits.commitBytes), 1)
      expect(await refused()).toBe('MR2013')
      expect(drain(await log.reader([from('a')])).blocks).toEqual([])
    }))

  test('an empty commit is committed at once; a closed writer is refused', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      expect(await writer.commit()).toMatchObject({ outcome: 'committed', appended: [] })
      await writer.close()
      writer.append('a', 0, blockOf(['x']), 1)
      expect(await writer.commit()).toMatchObject({ outcome: 'refused', error: { code: 'MR2009' } })
    }))

  test('commit numbers of an owner go up by one, over all its writers', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const first = await log.open('w')
      const one = await put(first, 'a', 0, 'x')
      const two = await put(first, 'a', 0, 'x')
      const second = await log.open('w')
      const three = await put(second, 'a', 0, 'x')
      expect([two.commitNumber, three.commitNumber]).toEqual([
        one.commitNumber + 1,
        one.commitNumber + 2,
      ])
      expect(three.lsn).toBeGreaterThan(two.lsn)
    }))
}

function fencing(run: RunLog): void {
  test('L3: opening an owner again fences the older writer, and no other', () =>
    run(async ({ log, connect }) => {
      await log.topics.create(topic('a'))
      const older = await log.open('w')
      const other = await log.open('other')
      await put(older, 'a', 0, '1')
      older.append('a', 0, blockOf(['never']), 1)
      const newer = await (await connect()).open('w')
      expect(newer.epoch).toBeGreaterThan(older.epoch)
      expect(await older.commit()).toMatchObject({
        outcome: 'refused',
        error: { code: 'MR2006', kind: 'fenced' },
      })
      older.append('a', 0, blockOf(['never']), 1)
      expect((await older.commit()).outcome).toBe('refused')
      await put(other, 'a', 0, '2')
      await put(newer, 'a', 0, '3')
      expect(valuesOf(drain(await log.reader([from('a')])).blocks)).toEqual(['1', '2', '3'])
    }))
}

function reading(run: RunLog): void {
  test('L5: a reader sees nothing that is not committed, and wakes when it is', () =>
    run(async ({ log, connect }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      const readers = [await log.reader([from('a')]), await (await connect()).reader([from('a')])]
      for (const reader of readers) expect(drain(reader).end.result).toBe('caught-up')
      writer.append('a', 0, blockOf(['x']), 1)
      for (const reader of readers) expect(drain(reader).end.result).toBe('caught-up')
      const woken = readers.map((reader) => reader.wait())
      await writer.commit()
      await Promise.all(woken)
      for (const reader of readers) expect(valuesOf(drain(reader).blocks)).toEqual(['x'])
    }))

  test('a wait ends when it is aborted, before or while it waits', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const reader = await log.reader([from('a')])
      drain(reader)
      const abort = new AbortController()
      const waiting = reader.wait(abort.signal)
      abort.abort()
      await waiting
      await reader.wait(abort.signal)
    }))

  test('L4: reading goes on from any nextOffset; from within a block the whole block comes', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      const values = Array.from({ length: 12 }, (_, i) => `${i}`)
      for (let i = 0; i < 12; i += 3) await put(writer, 'a', 0, ...values.slice(i, i + 3))
      const { blocks } = drain(await log.reader([from('a')]))
      expect(blocks).toHaveLength(4)
      for (const [i, block] of blocks.entries()) {
        const rest = drain(await log.reader([from('a', 0, block.nextOffset)])).blocks
        expect(valuesOf(rest)).toEqual(values.slice(3 * i + 3))
        const whole = drain(await log.reader([from('a', 0, block.baseOffset + 2)])).blocks
        expect(valuesOf(whole)).toEqual(values.slice(3 * i))
        expect(block.baseOffset).toBeGreaterThanOrEqual(blocks[i - 1]?.nextOffset ?? 0)
      }
    }))

  test('lag is an upper bound and 0 at the end', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a', 2))
      const writer = await log.open('w')
      await put(writer, 'a', 0, 'x', 'y', 'z')
      await put(writer, 'a', 1, 'x')
      const reader = await log.reader([from('a', 0), from('a', 1)])
      expect(reader.lag()).toBeGreaterThanOrEqual(4)
      expect(reader.end('a', 0)).toBeGreaterThanOrEqual(3)
      drain(reader)
      expect(reader.lag()).toBe(0)
      const before = reader.end('a', 1)
      await put(writer, 'a', 1, 'x', 'y')
      expect(reader.end('a', 1)).toBeGreaterThanOrEqual(before + 2)
      expect(reader.lag()).toBeGreaterThanOrEqual(2)
      reader.close()
    }))

  test('readers do not disturb one another; a block larger than the arena is read alone', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      await put(writer, 'a', 0, 'x'.repeat(1000))
      await put(writer, 'a', 0, 'y'.repeat(1000))
      const [one, two] = [await log.reader([from('a')]), await log.reader([from('a')])]
      const arena = new Arena(64)
      expect(one.next(arena).result).toBe('block')
      expect(one.next(arena).result).toBe('arena-full')
      expect(valuesOf(drain(two).blocks)).toHaveLength(2)
      arena.reset()
      expect(one.next(arena)).toMatchObject({ result: 'block', count: 1 })
    }))

  test('a position beyond the end belongs to another log and is refused', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const { next } = (await log.topics.offsets('a'))[0]!
      expect(await refusalOf(log.reader([from('a', 0, next + 100)]))).toBe('MR2014')
      expect(await refusalOf(log.reader([from('none')]))).toBe('MR2011')
      expect(await refusalOf(log.reader([from('a', 1)]))).toBe('MR2011')
    }))

  test('what was trimmed is gone, is said to be, and a seek goes on behind it', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      await put(writer, 'a', 0, '1')
      const { appended } = await put(writer, 'a', 0, '2')
      await put(writer, 'a', 0, '3')
      const early = await log.reader([await spot(log, 'a')])
      const late = await log.reader([from('a', 0, appended[0]!.nextOffset)])
      await log.topics.trim('a', 0, appended[0]!.nextOffset)
      await log.topics.trim('a', 0, appended[0]!.baseOffset)
      const { earliest } = (await log.topics.offsets('a'))[0]!
      expect(earliest).toBe(appended[0]!.nextOffset)
      const gone = { result: 'gone', topic: 'a', partition: 0, earliest }
      for (const reader of [early, await log.reader([from('a')])]) {
        expect(drain(reader)).toEqual({ blocks: [], end: gone })
        expect(drain(reader).end).toEqual(gone)
        reader.seek(from('a', 0, earliest))
        expect(valuesOf(drain(reader).blocks)).toEqual(['3'])
      }
      expect(valuesOf(drain(late).blocks)).toEqual(['3'])
    }))
}

function positions(run: RunLog): void {
  test('I2: positions move with the records of their commit, per group, the last one wins', () =>
    run(async ({ log, reopen }) => {
      await log.topics.create(topic('a', 2))
      const writer = await log.open('w')
      const { appended } = await put(writer, 'a', 1, 'x', 'y')
      const at = { topic: 'a', partition: 1, offset: appended[0]!.nextOffset }
      writer.position('g', { ...at, meta: 'first' })
      writer.position('g', { ...at, meta: '{"last":"ünï"}' })
      writer.position('h', { ...at, partition: 0, offset: appended[0]!.nextOffset, meta: '' })
      expect(await log.positions('g')).toEqual([])
      await writer.commit()
      const expected = [{ ...at, meta: '{"last":"ünï"}' }]
      expect(await log.positions('g')).toEqual(expected)
      expect(await log.positions('h')).toMatchObject([{ partition: 0, meta: '' }])
      expect(await log.positions('none')).toEqual([])
      if (reopen !== undefined) expect(await (await reopen()).positions('g')).toEqual(expected)
    }))

  test('a new life of the log keeps records, topics, epochs and commit numbers', () =>
    run(async ({ log, reopen }) => {
      if (reopen === undefined) return
      await log.topics.create({
        ...topic('a', 2),
        labels: { schema: { type: 'object' } },
        retentionMs: 1e9,
      })
      const writer = await log.open('w')
      const before = await put(writer, 'a', 0, 'x')
      await log.topics.hold('g', 'a', 5, 6)
      const topics = await log.topics.list()
      const again = await reopen()
      expect(await again.topics.list()).toEqual(topics)
      const next = await again.open('w')
      expect(next.epoch).toBe(writer.epoch + 1)
      const after = await put(next, 'a', 0, 'y')
      expect(after.commitNumber).toBe(before.commitNumber + 1)
      expect(after.appended[0]!.baseOffset).toBeGreaterThanOrEqual(before.appended[0]!.nextOffset)
      expect(valuesOf(drain(await again.reader([from('a')])).blocks)).toEqual(['x', 'y'])
    }))
}

function catalog(run: RunLog): void {
  test('creating a topic twice is one topic; with another specification it is a conflict', () =>
    run(async ({ log, connect }) => {
      const spec = { ...topic('a', 3), retentionMs: 1000, labels: { b: [1], a: null } }
      const created = await log.topics.create(spec)
      expect(created).toMatchObject(spec)
      expect(
        await (await connect()).topics.create({ ...spec, labels: { a: null, b: [1] } }),
      ).toEqual(created)
      const second = await log.topics.create(topic('b'))
      expect(await log.topics.list()).toEqual([created, second])
      expect(await log.topics.list('a')).toEqual([created])
      expect(await log.topics.list('c')).toEqual([])
      for (const other of [
        { ...spec, partitions: 4 },
        { ...spec, labels: {} },
        { ...spec, kind: 'internal' as const },
      ]) {
        expect(await refusalOf(log.topics.create(other))).toBe('MR2010')
      }
    }))

  test('names, partitions and retention are checked', () =>
    run(async ({ log }) => {
      const bad: TopicSpec[] = [
        ...['', '.', '..', 'a/b', 'ä', 'a b', 'a\n', 'x'.repeat(201)].map((name) => topic(name)),
        ...[0, 1025, 1.5, NaN].map((partitions) => topic('a', partitions)),
        { ...topic('a'), retentionMs: -1 },
        { ...topic('a', 1, 'changelog'), retentionBytes: 5 },
        { ...topic('a'), labels: { big: 'x'.repeat(70_000) } },
      ]
      for (const spec of bad) expect(await refusalOf(log.topics.create(spec))).toBe('MR2012')
      await log.topics.create(topic('x'.repeat(200), 1024))
      expect(await log.topics.offsets('x'.repeat(200))).toHaveLength(1024)
    }))

  test('a deleted topic is gone with its positions; a new one of the same name begins anew', () =>
    run(async ({ log }) => {
      const first = await log.topics.create(topic('a'))
      const writer = await log.open('w')
      await put(writer, 'a', 0, 'old')
      const { earliest } = (await log.topics.offsets('a'))[0]!
      writer.position('g', { topic: 'a', partition: 0, offset: earliest, meta: '' })
      await writer.commit()
      const reader = await log.reader([from('a')])
      await log.topics.delete('a')
      expect(await refusalOf(log.topics.delete('a'))).toBe('MR2011')
      expect(drain(reader).end).toMatchObject({ result: 'corrupt' })
      writer.append('a', 0, blockOf(['x']), 1)
      expect((await writer.commit()).outcome).toBe('refused')
      const second = await log.topics.create(topic('a'))
      expect(second.id).not.toBe(first.id)
      expect(await log.positions('g')).toEqual([])
      await put(writer, 'a', 0, 'new')
      expect(valuesOf(drain(await log.reader([from('a')])).blocks)).toEqual(['new'])
    }))

  test('offsetAt finds the first block appended at or after a time', () =>
    run(async ({ log, advance, now }) => {
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      const start = now()
      const times: { time: number; base: number }[] = []
      for (let i = 0; i < 5; i++) {
        const { appended } = await put(writer, 'a', 0, `${i}`, 'more')
        times.push({ time: now(), base: appended[0]!.baseOffset })
        await advance(1000)
      }
      const { next } = (await log.topics.offsets('a'))[0]!
      expect(await log.topics.offsetAt('a', 0, start)).toBe(times[0]!.base)
      for (const [i, { time }] of times.entries()) {
        expect(await log.topics.offsetAt('a', 0, time + 500)).toBe(times[i + 1]?.base ?? next)
      }
      expect(await log.topics.offsetAt('a', 0, Infinity)).toBe(next)
    }))

  test('a topic may change what it says of itself, and keeps its records; its shape may not change', () =>
    run(async ({ log }) => {
      const writer = await log.open('w')
      const { id } = await log.topics.create(topic('a', 2))
      await put(writer, 'a', 0, 'x')
      const before = await log.topics.offsets('a')
      const spec = { ...topic('a', 2), retentionMs: 1e9, labels: { schema: 2 } }
      expect(await refusalOf(log.topics.create(spec))).toBe('MR2010')
      await log.topics.create(spec, { change: true })
      expect(await log.topics.list()).toContainEqual({ ...spec, id })
      expect(await log.topics.offsets('a')).toEqual(before)
      expect(await refusalOf(log.topics.create(topic('a', 4), { change: true }))).toBe('MR2010')
    }))

  test('a hold is for topics that are there, and twice the same is once', () =>
    run(async ({ log }) => {
      await log.topics.create(topic('a'))
      await log.topics.hold('g', 'a', 1000, 1000)
      await log.topics.hold('g', 'a', 1000, 1000)
      expect(await refusalOf(log.topics.hold('g', 'none', 1, 1))).toBe('MR2011')
    }))
}

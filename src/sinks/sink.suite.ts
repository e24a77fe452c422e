/** The promises of a Sink (K1–K6 of sink.ts), held against every implementation. */
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Env } from '../core/env/env.ts'
import type { Sink, SinkBatch, SinkContext, SinkRecord, SinkWriter } from './sink.ts'

export interface SinkSubject {
  readonly sink: Sink
  readonly env: Env
  /** What another program finds in the sink: values by partition, in the order it shows them. Tombstones are undefined. */
  contents(partition: number): Promise<readonly unknown[]>
  /** `append`: every record shows. `upsert`: the last record of each key shows. */
  readonly keeps: 'append' | 'upsert'
  close(): Promise<void>
}

export interface SinkSuite {
  readonly name: string
  make(): Promise<SinkSubject>
  /** A record's value that the sink must refuse for good, not the others beside it; absent where it refuses none. */
  readonly bad?: Readonly<Record<string, unknown>>
}

export function good(n: number, partition = 0): Record<string, unknown> {
  return {
    id: `k${partition}-${n % 7}`,
    partition,
    n,
    text: `line\n"${n}" ü ${'\u2028'}`,
    nested: { a: [n, null] },
    flag: n % 2 === 0,
  }
}

export function batchOf(
  partition: number,
  from: number,
  values: readonly (Record<string, unknown> | undefined)[],
): SinkBatch {
  const records = values.map((value, i): SinkRecord => ({
    offset: from + i,
    timestamp: 1_700_000_000_000 + from + i,
    key: value === undefined ? `k${partition}-${(from + i) % 7}` : String(value['id']),
    value,
  }))
  return { partition, from, to: from + values.length, records }
}

export function goodBatch(partition: number, from: number, count: number): SinkBatch {
  return batchOf(
    partition,
    from,
    Array.from({ length: count }, (_, i) => good(from + i, partition)),
  )
}

export function contextFor(env: Env, changes: Partial<SinkContext> = {}): SinkContext {
  return {
    env,
    logId: 'log-a/1',
    pipeline: 'shop',
    name: 'out',
    epoch: 1,
    partitions: [0, 1],
    ...changes,
  }
}

/** What contents() must give after these records. */
export function expected(records: readonly SinkRecord[], keeps: SinkSubject['keeps']): unknown[] {
  if (keeps === 'append') return records.map((record) => record.value)
  const rows = new Map<string | undefined, unknown>()
  for (const { key, value } of records) {
    if (value === undefined) rows.delete(key)
    else rows.set(key, value)
  }
  return [...rows.values()]
}

export function byId(rows: readonly unknown[]): unknown[] {
  return [...rows].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
}

export function sinkSuite(suite: SinkSuite): void {
  const start = async (): Promise<SinkSubject> => {
    const subject = await suite.make()
    onTestFinished(() => subject.close())
    return subject
  }
  const open = async (
    subject: SinkSubject,
    changes: Partial<SinkContext> = {},
  ): Promise<SinkWriter> => {
    const writer = await subject.sink.open!(contextFor(subject.env, changes))
    onTestFinished(() => writer.close().catch(() => {}))
    return writer
  }
  const same = async (
    subject: SinkSubject,
    partition: number,
    records: readonly SinkRecord[],
  ): Promise<void> => {
    const found = await subject.contents(partition)
    const wanted = expected(records, subject.keeps)
    if (subject.keeps === 'append') expect(found).toEqual(wanted)
    else expect(byId(found)).toEqual(byId(wanted))
  }

  describe(`sink: ${suite.name}`, () => {
    test('what was delivered is there for others, in order of offset (K1, K2)', async () => {
      const subject = await start()
      const writer = await open(subject)
      const batches = [goodBatch(0, 0, 40), goodBatch(1, 5, 3), goodBatch(0, 40, 1)]
      for (const batch of batches) expect(await writer.deliver(batch)).toEqual([])
      await writer.close()
      await same(subject, 0, [...batches[0]!.records, ...batches[2]!.records])
      await same(subject, 1, batches[1]!.records)
    })

    test('a batch without records is a delivery like any other', async () => {
      const subject = await start()
      const writer = await open(subject)
      expect(await writer.deliver(batchOf(0, 0, []))).toEqual([])
      expect(await writer.deliver({ ...batchOf(0, 0, []), to: 900 })).toEqual([])
      expect(await writer.deliver(goodBatch(0, 900, 2))).toEqual([])
      await writer.close()
      await same(subject, 0, goodBatch(0, 900, 2).records)
    })

    test.runIf(suite.bad !== undefined)(
      'a row that can never be stored comes back, the others are stored',
      async () => {
        const subject = await start()
        const writer = await open(subject)
        const values = [good(0), suite.bad, good(2), suite.bad, suite.bad, good(5)]
        const batch = batchOf(0, 0, values)
        const rejected = await writer.deliver(batch)
        expect(rejected.map((r) => r.index)).toEqual([1, 3, 4])
        for (const { code, message } of rejected) {
          expect(code).toMatch(/^MR5\d{3}$/)
          expect(message.length).toBeGreaterThan(5)
        }
        const next = goodBatch(0, 6, 2)
        expect(await writer.deliver(next)).toEqual([])
        await writer.close()
        await same(subject, 0, [
          ...batch.records.filter((_, i) => values[i] !== suite.bad),
          ...next.records,
        ])
      },
    )

    test('a batch of nothing but bad rows moves on', async () => {
      const subject = await start()
      const writer = await open(subject)
      if (suite.bad === undefined) return
      expect(
        (await writer.deliver(batchOf(0, 0, [suite.bad, suite.bad]))).map((r) => r.index),
      ).toEqual([0, 1])
      expect(await writer.deliver(goodBatch(0, 2, 1))).toEqual([])
    })
  })
}

/** What transactional sinks promise beyond. */
export function transactionalSuite(suite: SinkSuite): void {
  const start = async (): Promise<SinkSubject> => {
    const subject = await suite.make()
    onTestFinished(() => subject.close())
    return subject
  }
  const code = (wanted: string): object => expect.objectContaining({ code: wanted })

  describe(`transactional sink: ${suite.name}`, () => {
    test('the position is stored with the rows, per partition, and survives', async () => {
      const { sink, env } = await start()
      const first = await sink.open!(contextFor(env))
      expect(await first.stored!(0)).toBeUndefined()
      await first.deliver(goodBatch(0, 3, 4))
      expect((await first.stored!(0))?.offset).toBe(7)
      await first.close()
      const second = await sink.open!(contextFor(env, { epoch: 2 }))
      expect((await second.stored!(0))?.offset).toBe(7)
      expect(await second.stored!(1)).toBeUndefined()
      await second.close()
    })

    test('a newer opening fences the older writer: it changes nothing (K4, I8)', async () => {
      const subject = await start()
      const { sink, env } = subject
      const old = await sink.open!(contextFor(env, { epoch: 1 }))
      await old.deliver(goodBatch(0, 0, 2))
      const newer = await sink.open!(contextFor(env, { epoch: 2 }))
      await expect(old.deliver(goodBatch(0, 2, 2))).rejects.toEqual(code('MR5003'))
      const late = sink.open!(contextFor(env, { epoch: 1 }))
      await expect(late).rejects.toEqual(code('MR5003'))
      await expect(late).rejects.toThrow(/ deletes the stored position\. /)
      await newer.deliver(goodBatch(0, 2, 1))
      const again = await sink.open!(contextFor(env, { epoch: 2 }))
      await expect(newer.deliver(goodBatch(0, 3, 1))).rejects.toEqual(code('MR5003'))
      for (const writer of [old, newer, again]) await writer.close()
      const found = await subject.contents(0)
      expect(byId(found)).toEqual(byId(goodBatch(0, 0, 3).records.map((r) => r.value)))
    })

    test('a delivery that does not begin where the sink stands is refused, and nothing of it stored (K4)', async () => {
      const subject = await start()
      const writer = await subject.sink.open!(contextFor(subject.env))
      await writer.deliver(goodBatch(0, 0, 3))
      for (const from of [0, 2, 4]) {
        await expect(writer.deliver(goodBatch(0, from, 3))).rejects.toEqual(code('MR5004'))
      }
      expect((await writer.stored!(0))?.offset).toBe(3)
      await writer.close()
      expect((await subject.contents(0)).length).toBe(3)
    })

    test("another log's position is refused, never skipped over", async () => {
      const { sink, env } = await start()
      const writer = await sink.open!(contextFor(env))
      await writer.deliver(goodBatch(0, 0, 3))
      await writer.close()
      const foreign = sink.open!(contextFor(env, { logId: 'log-b/1', epoch: 5 }))
      await expect(foreign).rejects.toEqual(code('MR5002'))
      await expect(foreign).rejects.toThrow(/ deletes the stored position\. /)
      const back = await sink.open!(contextFor(env, { epoch: 2 }))
      expect((await back.stored!(0))?.offset).toBe(3)
      await back.close()
    })

    test('two sinks, and two pipelines, on one target have positions of their own', async () => {
      const { sink, env } = await start()
      const a = await sink.open!(contextFor(env))
      const b = await sink.open!(contextFor(env, { name: 'other' }))
      const c = await sink.open!(contextFor(env, { pipeline: 'lager' }))
      await a.deliver(goodBatch(0, 0, 3))
      expect(await b.stored!(0)).toBeUndefined()
      expect(await c.stored!(0)).toBeUndefined()
      for (const writer of [a, b, c]) await writer.close()
    })

    test.runIf(suite.bad !== undefined)(
      'what was rejected is known to the next opening, until the next delivery (K5)',
      async () => {
        const { sink, env } = await start()
        const first = await sink.open!(contextFor(env))
        await first.deliver(batchOf(0, 10, [good(0), suite.bad, good(2)]))
        await first.close()
        const second = await sink.open!(contextFor(env, { epoch: 2 }))
        const stored = await second.stored!(0)
        expect(stored).toMatchObject({ offset: 13, rejected: [{ offset: 11, code: 'MR5006' }] })
        await second.deliver(goodBatch(0, 13, 1))
        expect(await second.stored!(0)).toMatchObject({ offset: 14, rejected: [] })
        await second.close()
      },
    )

    test('rows equal a model under random crashes, redeliveries and openings', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              do: fc.constantFrom('deliver', 'deliver', 'deliver', 'forget', 'reopen', 'old'),
              partition: fc.nat({ max: 1 }),
              count: fc.nat({ max: 5 }),
              tombstone: fc.boolean(),
            }),
            { maxLength: 12 },
          ),
          async (steps) => {
            const subject = await suite.make()
            const delivered: SinkRecord[][] = [[], []]
            const position = [0, 0]
            let epoch = 1
            let writer = await subject.sink.open!(contextFor(subject.env, { epoch }))
            const old: SinkWriter[] = []
            try {
              for (const step of steps) {
                const { partition } = step
                const from = position[partition]!
                const values = goodBatch(partition, from, step.count).records.map((r) => r.value)
                if (step.tombstone && subject.keeps === 'upsert' && values.length > 0)
                  values[0] = undefined
                const batch = batchOf(partition, from, values)
                if (step.do === 'reopen') {
                  old.push(writer)
                  writer = await subject.sink.open!(contextFor(subject.env, { epoch: ++epoch }))
                } else if (step.do === 'old') {
                  // A writer that was fenced tries what it can.
                  await old
                    .at(-1)
                    ?.deliver(batch)
                    .then(
                      () => expect.fail('a fenced writer wrote'),
                      () => {},
                    )
                } else {
                  await writer.deliver(batch)
                  delivered[partition]!.push(...batch.records)
                  position[partition] = batch.to
                  // We crashed before our commit and deliver again what the sink has: it must not take it.
                  if (step.do === 'forget' && batch.to > from)
                    await expect(writer.deliver(batch)).rejects.toThrow(/MR5004/)
                }
                const stored = (await writer.stored!(partition))?.offset
                expect(stored ?? 0).toBe(position[partition])
              }
              for (const open of [...old, writer]) await open.close()
              for (const partition of [0, 1]) {
                const found = await subject.contents(partition)
                expect(byId(found)).toEqual(byId(expected(delivered[partition]!, subject.keeps)))
              }
            } finally {
              for (const open of [...old, writer]) await open.close()
              await subject.close()
            }
          },
        ),
        { numRuns: suite.name.startsWith('sqlite') ? 15 : 60 },
      )
    })
  })
}

import { expect, test } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import { call, memory } from './memory.ts'
import type { SinkBatch } from './sink.ts'
import { contextFor, goodBatch, sinkSuite, transactionalSuite } from './sink.suite.ts'
import type { SinkSuite } from './sink.suite.ts'

const suite: SinkSuite = {
  name: 'memory',
  bad: { id: 'bad', bad: true },
  make: async () => {
    const sink = memory({
      refuse: (record) => (record.value?.['bad'] === true ? 'it says that it is bad' : undefined),
    })
    return {
      sink,
      env: new Simulation({ seed: 1 }).env('p'),
      contents: async (partition) =>
        sink.records.filter((r) => r.partition === partition).map((r) => r.value),
      keeps: 'append',
      close: async () => {},
    }
  },
}
sinkSuite(suite)
transactionalSuite(suite)

test('a full memory sink takes no more until it is cleared, and loses nothing', async () => {
  const sink = memory({ maxRecords: 3 })
  const writer = await sink.open!(contextFor(new Simulation({ seed: 1 }).env('p')))
  await writer.deliver(goodBatch(0, 0, 2))
  await expect(writer.deliver(goodBatch(0, 2, 2))).rejects.toMatchObject({
    code: 'MR5007',
    kind: 'unavailable',
  })
  sink.clear()
  await writer.deliver(goodBatch(0, 2, 2))
  expect(sink.rows.map((row) => row['n'])).toEqual([2, 3])
})

test('a function gets whole batches, and one that throws is asked again', async () => {
  const seen: SinkBatch[] = []
  const sink = call(async (batch) => {
    if (seen.push(batch) === 1) throw new Error('not yet')
  })
  const writer = await sink.open!(contextFor(new Simulation({ seed: 1 }).env('p')))
  await expect(writer.deliver(goodBatch(0, 0, 2))).rejects.toThrow('not yet')
  expect(await writer.deliver(goodBatch(0, 0, 2))).toEqual([])
  expect(seen).toHaveLength(2)
})

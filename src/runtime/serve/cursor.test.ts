import { expect, test } from 'vitest'
import { BlockBuilder } from '../../log/block.ts'
import { MemoryLog } from '../../../tests/support/memory-log.ts'
import { TopicCursor } from './cursor.ts'

async function logWith(records: number): Promise<MemoryLog> {
  const log = new MemoryLog()
  await log.topics.create({ name: 'sales', kind: 'user', partitions: 1 })
  const writer = await log.open('w')
  const block = new BlockBuilder()
  for (let n = 0; n < records; n++) block.add(n, undefined, Buffer.from(`{"n":${n}}`))
  writer.append('sales', 0, block.finish(0), records)
  await writer.commit()
  return log
}

test.each([1, 2, 3, 7])(
  'a client that takes %i records and comes back goes on with the next one, also within a block',
  async (most) => {
    const log = await logWith(7)
    const seen: number[] = []
    let from = 'earliest'
    for (let visits = 0; visits < 10; visits++) {
      const cursor = await TopicCursor.open(log, { topic: 'sales', partition: undefined, from })
      const piece = cursor.next(1e6, most)
      if (piece.kind !== 'records') break
      for (const text of piece.records) seen.push((JSON.parse(text) as { offset: number }).offset)
      from = cursor.resume
      cursor.close()
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6])
  },
)

/** A data directory with a stored topic, and an engine that works through it: what the throughput cases share. */
import { partitionOf } from '../src/core/hash.ts'
import { realEnv } from '../src/core/env/real/index.ts'
import { openEmbeddedLog } from '../src/log/embedded/index.ts'
import { BlockBuilder, BlockView } from '../src/log/block.ts'
import { Arena } from '../src/core/arena.ts'
import { openReadOnly } from '../src/log/embedded/index.ts'
import type { PipelineDefinition, StreamNode, TableNode } from '../src/pipeline/definition.ts'
import { planOf } from '../src/plan/of.ts'

/** One record to store. */
export interface Stored {
  readonly key: string
  readonly json: string
  readonly time: number
}

const commitBytes = 1 * 2 ** 20

/**
 * Stores records of a topic as ingest would: validated, keyed, in commits of 4 MB. `everywhere` is stored in each partition,
 * last. Gives the number of records.
 */
export async function store(
  directory: string,
  definition: PipelineDefinition,
  topic: string,
  records: Iterable<Stored>,
  everywhere?: Stored,
): Promise<number> {
  const log = await openEmbeddedLog({ env: realEnv(), directory })
  for (const { role: _, ...spec } of planOf(definition).topics) await log.topics.create(spec)
  const node = definition.nodes.find(
    (one): one is StreamNode | TableNode =>
      'topic' in one && 'schema' in one && one.topic === topic,
  )
  if (node === undefined) throw new Error(`the pipeline has no ${topic}`)
  const builders = Array.from({ length: node.partitions }, () => new BlockBuilder())
  const writer = await log.open('bench')
  let bytes = 0
  let latest = 0
  let stored = 0
  const commit = async (): Promise<void> => {
    for (const [partition, builder] of builders.entries()) {
      if (builder.count === 0) continue
      const { count } = builder
      writer.append(
        topic,
        partition,
        builder.finish(Math.max(Date.now(), latest), node.schema.version),
        count,
      )
    }
    const result = await writer.commit()
    if (result.outcome !== 'committed') throw result.error
    bytes = 0
  }
  const scratch = Buffer.alloc(65_536)
  const add = (partition: number, { time, key, json }: Stored): void => {
    const keyLength = scratch.write(key, 0)
    const length = scratch.write(json, keyLength)
    builders[partition]!.add(
      time,
      scratch.subarray(0, keyLength),
      scratch.subarray(keyLength, keyLength + length),
    )
    bytes += length + keyLength + 16
    latest = Math.max(latest, time)
    stored++
  }
  for (const record of records) {
    const keyBytes = scratch.subarray(0, scratch.write(record.key, 0))
    add(partitionOf(keyBytes, node.partitions), record)
    if (bytes >= commitBytes) await commit()
  }
  if (everywhere !== undefined) for (let p = 0; p < node.partitions; p++) add(p, everywhere)
  await commit()
  await log.stop()
  return stored
}

/** All values of a topic, in the order of the log. */
export async function readAll(directory: string, topic: string): Promise<unknown[]> {
  const log = openReadOnly(realEnv(), directory)
  const [info] = await log.topics.list(topic)
  const from = Array.from({ length: info?.partitions ?? 0 }, (_, partition) => ({
    topic,
    partition,
    offset: 0,
  }))
  const reader = await log.reader(from)
  const arena = new Arena(4 * 2 ** 20)
  const values: unknown[] = []
  const view = new BlockView()
  for (let next = reader.next(arena); next.result !== 'caught-up'; next = reader.next(arena)) {
    if (next.result === 'arena-full') arena.reset()
    else if (next.result !== 'block') throw new Error(next.result)
    else if (next.kind === 'records' && view.read(next.bytes)) {
      for (let i = 0; i < view.count; i++)
        values.push(JSON.parse(Buffer.from(view.value(i)!).toString()))
    }
  }
  log.close()
  return values
}

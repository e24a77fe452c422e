/** What a data directory says when it is opened: what the golden directories are compared by. */
import { Arena } from '../../src/core/arena.ts'
import type { Env } from '../../src/core/env/env.ts'
import { BlockView, readControl } from '../../src/log/block.ts'
import type { Block, Log } from '../../src/log/log.ts'
import { Paused } from '../../src/runtime/paused.ts'
import { jsonCodec } from '../../src/state/codecs.ts'
import { MemoryStore } from '../../src/state/memory.ts'
import { restoreStores } from '../../src/state/restore.ts'

export const changelog = 'shop.main.counts.changelog'

export const newStore = () =>
  new MemoryStore<{ n: number }>({
    name: 'counts',
    codec: jsonCodec<{ n: number }>(),
    partitionKey: (key) => key,
    maxBytes: 1e9,
  })

export interface Contents {
  readonly topics: readonly unknown[]
  readonly records: Readonly<Record<string, readonly string[]>>
  readonly positions: readonly unknown[]
  readonly state: Readonly<Record<string, number>>
  /** Where the changelog took over from the snapshot. */
  readonly snapshotTo: number
  readonly paused: readonly string[]
}

export async function contentsOf(env: Env, log: Log, directory: string): Promise<Contents> {
  const topics = await log.topics.list()
  const records: Record<string, readonly string[]> = {}
  const spans: unknown[] = []
  for (const { name, kind, partitions, retentionBytes } of topics) {
    const offsets = await log.topics.offsets(name)
    spans.push({ name, kind, partitions, retentionBytes, offsets })
    for (const [partition, { earliest }] of offsets.entries())
      records[`${name}/${partition}`] = await readAll(log, name, partition, earliest)
  }
  const store = newStore()
  const target = { changelog, partition: 0, store }
  const [snapshotTo = -1] = await restoreStores(env, log, `${directory}/state`, [target])
  const state: Record<string, number> = {}
  for (let i = 0; i < 8; i++) {
    const value = store.get(`k${i}`)
    if (value !== undefined) state[`k${i}`] = value.n
  }
  const paused = new Paused(env, directory).tasks
  return {
    topics: spans,
    records,
    positions: await log.positions('shop/main'),
    state,
    snapshotTo,
    paused,
  }
}

async function readAll(log: Log, topic: string, partition: number, offset: number) {
  const reader = await log.reader([{ topic, partition, offset }])
  const arena = new Arena(1 << 16)
  const lines: string[] = []
  for (;;) {
    const next = reader.next(arena)
    if (next.result === 'arena-full') arena.reset()
    else if (next.result === 'block') lines.push(`${next.lsn} ${next.baseOffset} ${textOf(next)}`)
    else if (next.result === 'caught-up') {
      reader.close()
      return lines
    } else throw new Error(JSON.stringify(next))
  }
}

const view = new BlockView()

function textOf(block: Block): string {
  if (block.kind === 'state') return Buffer.from(block.bytes).toString('base64')
  if (block.kind === 'control') return JSON.stringify(readControl(block.bytes))
  if (!view.read(block.bytes)) throw new Error('a block that is none')
  const text = (bytes: Uint8Array | undefined): string =>
    bytes === undefined ? 'none' : Buffer.from(bytes).toString()
  const records = Array.from(
    { length: view.count },
    (_, i) =>
      `${view.timestamps[i]} ${text(view.key(i))}=${text(view.value(i))} ${view.watermarks?.[i] ?? ''}`,
  )
  return records.join('; ')
}

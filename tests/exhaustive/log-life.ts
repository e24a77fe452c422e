/** A small life of the embedded log, what producers outside know of it, and what must be found of it afterwards. */
import type { SimulatedEnv } from '../../src/core/env/simulated/index.ts'
import { Arena } from '../../src/core/arena.ts'
import { BlockBuilder, BlockView } from '../../src/log/block.ts'
import { openEmbeddedLog } from '../../src/log/embedded/index.ts'
import type { LocalLog } from '../../src/log/embedded/index.ts'
import type { Log, Writer } from '../../src/log/log.ts'

export const directory = 'data'
export const options = {
  directory,
  segmentBytes: 7_000,
  checkpointBytes: 3_000,
  reserve: { low: 0, high: 0 },
  retentionCheckMs: 1e9,
}
const places = [
  { topic: 'events', partition: 0 },
  { topic: 'events', partition: 1 },
  { topic: 'kept', partition: 0 },
  { topic: 'store', partition: 0 },
]
const utf8 = new TextEncoder()
const text = new TextDecoder()

interface Entry {
  readonly id: number
  readonly writer: string
  readonly places: readonly number[]
  lsn: number | undefined
  refused?: boolean
}

/** What the outside knows at one moment: which commits were acknowledged, and from where offsets may be gone. */
export interface Known {
  readonly acked: number
  readonly topics: boolean
  readonly gone: readonly number[]
}

export class Ledger {
  readonly entries: Entry[] = []
  readonly earliest: number[] = places.map(() => 0)
  topics = false
  acked = 0
  /** Tries again what was refused because the disk is full, as often as this. */
  patience = 0

  known(): Known {
    return { acked: this.acked, topics: this.topics, gone: [...this.earliest] }
  }

  /** In the order in which the log took them. */
  get order(): readonly Entry[] {
    const not = this.entries.filter((entry) => entry.refused !== true)
    return not.toSorted((a, b) => (a.lsn ?? Infinity) - (b.lsn ?? Infinity))
  }

  copy(): Ledger {
    const copy = new Ledger()
    for (const entry of this.entries) copy.entries.push({ ...entry })
    copy.earliest.splice(0, copy.earliest.length, ...this.earliest)
    copy.topics = this.topics
    copy.acked = this.acked
    return copy
  }
}

export async function openLog(
  env: SimulatedEnv,
  segmentBytes = options.segmentBytes,
  stepped = true,
): Promise<LocalLog> {
  return await openEmbeddedLog({ env, ...options, segmentBytes, stepped })
}

export async function createTopics(log: Log, ledger?: Ledger): Promise<void> {
  await log.topics.create({ name: 'events', kind: 'user', partitions: 2, retentionBytes: 1_500 })
  await log.topics.create({ name: 'kept', kind: 'internal', partitions: 1 })
  await log.topics.create({ name: 'store', kind: 'changelog', partitions: 1 })
  if (ledger !== undefined) ledger.topics = true
}

/** One commit: records in two partitions, state, sometimes a record that is kept for ever, and a position. */
export async function commit(
  writer: Writer,
  ledger: Ledger,
  how: { readonly bytes?: number; readonly keep?: boolean } = {},
): Promise<void> {
  const id = ledger.entries.length + 1
  const builder = new BlockBuilder()
  builder.add(id, utf8.encode(`${id}`), utf8.encode(`${id} `.repeat((how.bytes ?? 60) / 3)))
  const block = builder.finish(id)
  const at = how.keep === true ? [0, 1, 2, 3] : [0, 1, 3]
  const entry: Entry = { id, writer: writer.owner, places: at, lsn: undefined }
  ledger.entries.push(entry)
  for (const index of at) {
    const { topic, partition } = places[index]!
    if (topic === 'store') writer.state(topic, partition, block, 1)
    else writer.append(topic, partition, block, 1)
  }
  writer.position('group', {
    topic: 'events',
    partition: writer.owner === 'w0' ? 0 : 1,
    offset: id,
    meta: `${id}`,
  })
  const result = await writer.commit()
  if (result.outcome === 'refused') entry.refused = true
  if (result.outcome === 'refused' && ledger.patience-- > 0)
    return await commit(writer, ledger, how)
  if (result.outcome !== 'committed') throw result.error
  entry.lsn = result.lsn
  ledger.acked++
}

/** Notes what is gone by now. */
export async function noteEarliest(log: Log, ledger: Ledger): Promise<void> {
  for (const [i, { topic, partition }] of places.entries())
    ledger.earliest[i] = (await log.topics.offsets(topic))[partition]!.earliest
}

export interface Found<Records = readonly string[]> {
  readonly topics: number
  readonly earliest: readonly number[]
  /** Per place, `lsn:id` of each record. */
  readonly records: readonly Records[]
  readonly positions: readonly string[]
}

export async function look(log: Log): Promise<Found>
export async function look<T>(
  log: Log,
  readWith: (topic: string, partition: number, offset: number) => Promise<T>,
): Promise<Found<T>>
export async function look(
  log: Log,
  readWith?: (topic: string, partition: number, offset: number) => Promise<unknown>,
): Promise<Found<unknown>> {
  const names = new Set((await log.topics.list()).map(({ name }) => name))
  const positions = (await log.positions('group')).map(
    (p) => `${p.partition}@${p.offset} ${p.meta}`,
  )
  const earliest: number[] = []
  const records: unknown[] = []
  const all = readWith ?? ((...at: [string, number, number]) => read(log, ...at))
  for (const { topic, partition } of places) {
    const offset = names.has(topic) ? (await log.topics.offsets(topic))[partition]!.earliest : 0
    earliest.push(offset)
    records.push(names.has(topic) ? await all(topic, partition, offset) : [])
  }
  return { topics: names.size, earliest, records, positions: positions.toSorted() }
}

/** Appends to `found` what can be read, and returns it. Throws what the reader reports. */
export async function read(
  log: Log,
  topic: string,
  partition: number,
  offset: number,
  found: string[] = [],
): Promise<string[]> {
  const reader = await log.reader([{ topic, partition, offset }])
  const arena = new Arena(8192)
  const view = new BlockView()
  try {
    for (;;) {
      const next = reader.next(arena)
      if (next.result === 'arena-full') arena.reset()
      else if (next.result === 'block') found.push(`${next.lsn}:${idOf(view, next.bytes)}`)
      else if (next.result === 'caught-up') return found
      else if (next.result === 'corrupt') throw next.error
      else throw new Error(`${topic}/${partition}: ${JSON.stringify(next)}`)
    }
  } finally {
    reader.close()
  }
}

function idOf(view: BlockView, bytes: Uint8Array): number {
  if (!view.read(bytes)) throw new Error('a block that is none')
  const id = view.timestamps[0]!
  const value = text.decode(view.value(0))
  if (value !== `${id} `.repeat(value.length / `${id} `.length)) throw new Error(`${id}: ${value}`)
  return id
}

/** Throws where what was found breaks a promise. Returns how many commits are there. */
export function judge(found: Found, ledger: Ledger, known: Known, most: readonly number[]): number {
  const { order } = ledger
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`${what}: ${JSON.stringify({ found, known, most, order })}`)
  }
  must(!known.topics || found.topics === 3, 'topics are lost')
  // Every commit moves a position, so the newest of them says how many commits there are.
  const ids = found.positions.map((position) => Number(position.split(' ')[1]))
  const count = Math.max(0, ...ids.map((id) => order.findIndex((entry) => entry.id === id) + 1))
  const there = order.slice(0, count)
  must(
    ids.every((id) => order.some((entry) => entry.id === id)),
    'a refused commit is there (L1)',
  )
  must(count >= known.acked, 'an acknowledged commit is lost (I1)')
  for (const [i, records] of found.records.entries()) {
    const earliest = found.earliest[i]!
    must(earliest >= known.gone[i]! && earliest <= most[i]!, 'earliest went back or too far')
    const all = there.filter((entry) => entry.places.includes(i))
    const expected = all.slice(all.length - records.length)
    must(all.length - records.length === Math.min(earliest, all.length), 'records are missing (I1)')
    must(
      expected.every((entry, at) => {
        const [lsn, id] = records[at]!.split(':').map(Number)
        return entry.id === id && (entry.lsn === undefined || entry.lsn === lsn)
      }),
      'a commit is there in part (I5)',
    )
  }
  const last = new Map<number, number>()
  for (const entry of there) last.set(entry.writer === 'w0' ? 0 : 1, entry.id)
  const positions = [...last].map(([partition, id]) => `${partition}@${id} ${id}`).toSorted()
  must(positions.join() === found.positions.join(), 'positions are not those of the commits (I2)')
  return count
}

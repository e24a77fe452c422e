import { MillraceError } from '../../errors.ts'
import { BlockBuilder } from '../../log/block.ts'
import type { Log, Writer } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import { decodeLetterRecord, encodeReplay, encodeResolution } from '../../process/dead-letters.ts'
import type { DeadLetter, Resolution } from '../../process/dead-letters.ts'
import { partitionOf } from '../../core/hash.ts'
import { scan } from './scan.ts'
import type { Reading } from './scan.ts'

/** A letter nobody has replayed or dropped, with its offset: the name that commands use. */
export interface OpenLetter {
  readonly offset: number
  readonly letter: DeadLetter
}

export interface LetterQuery {
  /** Only letters from this offset on. */
  readonly from: number
  /** Only letters below this offset; undefined = up to the end. */
  readonly before?: number
  /** At most this many, and fewer where they are large. */
  readonly limit: number
  /** Only these offsets. */
  readonly offsets?: readonly number[]
}

/** Records of letters that are held at once; with their JSON around them they fit into one commit. */
const answerBytes = 2 * 1024 * 1024

/** Offsets of the letters that were replayed or dropped. Read first, alone: letters may be more than fits in memory. */
export async function resolvedLetters(reading: Reading, plan: Plan): Promise<ReadonlySet<number>> {
  const resolved = new Set<number>()
  await scan(reading, { topic: plan.deadLetters, partition: 0, from: 0 }, ({ value }) => {
    const record = value === undefined ? undefined : decodeLetterRecord(value)
    if (record?.kind === 'resolution') resolved.add(record.resolution.resolves)
    return true
  })
  return resolved
}

/** The open letters that are asked for, in order of offset, without looking further. */
export async function nextLetters(
  reading: Reading,
  plan: Plan,
  resolved: ReadonlySet<number>,
  query: LetterQuery,
): Promise<OpenLetter[]> {
  const batch = new Batch(query)
  await eachOpen(reading, plan, resolved, query.from, (found) => batch.take(found))
  return batch.letters
}

/** The same, and how many are open in all. */
export async function openLetters(
  reading: Reading,
  plan: Plan,
  query: LetterQuery,
): Promise<{ readonly letters: OpenLetter[]; readonly open: number }> {
  const batch = new Batch(query)
  let open = 0
  await eachOpen(reading, plan, await resolvedLetters(reading, plan), 0, (found) => {
    open++
    batch.take(found)
    return true
  })
  return { letters: batch.letters, open }
}

/** Throws MR6010 where one of these is no open letter. */
export async function checkOpen(
  reading: Reading,
  plan: Plan,
  resolved: ReadonlySet<number>,
  offsets: readonly number[],
): Promise<void> {
  const missing = new Set(offsets)
  await eachOpen(reading, plan, resolved, Math.min(...offsets), ({ offset }) => {
    missing.delete(offset)
    return missing.size > 0
  })
  for (const offset of missing) throw notOpen(plan, offset)
}

/** Calls `visit` for every open letter from an offset on, until it returns false. */
function eachOpen(
  reading: Reading,
  plan: Plan,
  resolved: ReadonlySet<number>,
  from: number,
  visit: (found: OpenLetter) => boolean,
): Promise<void> {
  return scan(reading, { topic: plan.deadLetters, partition: 0, from }, ({ offset, value }) => {
    if (value === undefined || resolved.has(offset)) return true
    const record = decodeLetterRecord(value)
    return record?.kind === 'letter' ? visit({ offset, letter: record.letter }) : true
  })
}

/** Gathers what a query asks for. */
class Batch {
  readonly letters: OpenLetter[] = []
  readonly #query: LetterQuery
  readonly #wanted: ReadonlySet<number> | undefined
  #bytes = 0

  constructor(query: LetterQuery) {
    this.#query = query
    this.#wanted = query.offsets === undefined ? undefined : new Set(query.offsets)
  }

  /** False when there is no more to come. */
  take(found: OpenLetter): boolean {
    const { from, before = Infinity, limit } = this.#query
    const { offset, letter } = found
    if (offset >= before || this.letters.length >= limit || this.#bytes >= answerBytes) return false
    if (offset < from || this.#wanted?.has(offset) === false) return true
    this.letters.push(found)
    this.#bytes += letter.raw.length
    return true
  }
}

const utf8 = new TextDecoder()

/** A letter for people and programs: `letter` is its own offset, `offset` where the failed record was read. */
export function letterJson({ offset, letter }: OpenLetter): {
  readonly letter: number
  readonly [field: string]: unknown
} {
  const { raw, ...rest } = letter
  return { letter: offset, ...rest, raw: utf8.decode(raw) }
}

/** The one open letter at `offset`. Throws MR6010 where there is none. */
export async function openLetter(
  reading: Reading,
  plan: Plan,
  offset: number,
): Promise<OpenLetter> {
  if (!Number.isSafeInteger(offset)) throw notOpen(plan, offset)
  const resolved = await resolvedLetters(reading, plan)
  const query = { from: offset, before: offset + 1, limit: 1 }
  const [letter] = await nextLetters(reading, plan, resolved, query)
  if (letter === undefined) throw notOpen(plan, offset)
  return letter
}

function notOpen(plan: Plan, offset: number): MillraceError {
  const what = `${plan.pipeline} has no open dead letter at offset ${offset}.`
  return new MillraceError('MR6010', what)
}

export interface ResolveContext {
  readonly log: Log
  readonly writer: Writer
  readonly plan: Plan
  readonly now: number
}

/**
 * Sends letters back to the operator that failed, and marks them as replayed, in one commit. A letter whose stage has no
 * replay topic (a sink's, an ingest's) is refused with MR6011.
 */
export async function replayLetters(
  context: ResolveContext,
  letters: readonly OpenLetter[],
): Promise<number> {
  const byTopic = new Map<string, OpenLetter[]>()
  for (const letter of letters) {
    const topic = replayTopicOf(context.plan, letter.letter)
    if (topic === undefined) throw notReplayed(letter)
    byTopic.set(topic, [...(byTopic.get(topic) ?? []), letter])
  }
  for (const [topic, group] of byTopic) await stageReplay(context, topic, group)
  return resolve(context, letters, 'replayed')
}

/** Marks letters as dropped: they stay in the topic, and no list shows them again. */
export function dropLetters(
  context: ResolveContext,
  letters: readonly OpenLetter[],
): Promise<number> {
  return resolve(context, letters, 'dropped')
}

/** Whether there is an operator to send the letter back to: what was refused on its way in never reached one. */
export function isReplayable(plan: Plan, { letter }: OpenLetter): boolean {
  return replayTopicOf(plan, letter) !== undefined
}

function replayTopicOf(plan: Plan, letter: DeadLetter): string | undefined {
  const name = `${letter.stage.replace('/', '.')}.replay`
  const topic = plan.topics.find((one) => one.role === 'replay' && one.name === name)
  return letter.node === undefined ? undefined : topic?.name
}

function notReplayed({ offset, letter }: OpenLetter): MillraceError {
  return new MillraceError(
    'MR6011',
    `Letter ${offset} of ${letter.stage} (${letter.operator}) cannot be replayed: send its record again, or drop the letter.`,
  )
}

async function stageReplay(
  context: ResolveContext,
  topic: string,
  letters: readonly OpenLetter[],
): Promise<void> {
  const partitions = (await context.log.topics.offsets(topic)).length
  const blocks = new Map<number, BlockBuilder>()
  for (const { offset, letter } of letters) {
    // The partition it was read from keeps the order among the letters of a key.
    const key = letter.key === undefined ? undefined : new TextEncoder().encode(letter.key)
    const partition = letter.partition ?? (key === undefined ? 0 : partitionOf(key, partitions))
    const block = blocks.get(partition) ?? new BlockBuilder()
    blocks.set(partition, block)
    const { operator, node, raw, timestamp, watermark, upstream, typedKey, attempts } = letter
    const value = encodeReplay({
      operator,
      node: node ?? 0,
      raw,
      topic: letter.topic,
      partition: letter.partition,
      offset: letter.offset,
      timestamp,
      watermark,
      upstream,
      key: letter.key,
      typedKey,
      letter: offset,
      attempts,
    })
    block.add(timestamp ?? context.now, key, value)
  }
  for (const [partition, block] of blocks) {
    const { count } = block
    context.writer.append(topic, partition % partitions, block.finish(context.now), count)
  }
}

async function resolve(
  context: ResolveContext,
  letters: readonly OpenLetter[],
  how: Resolution['how'],
): Promise<number> {
  const { plan, writer, now } = context
  if (letters.length === 0) return 0
  const block = new BlockBuilder()
  for (const { offset } of letters) {
    block.add(now, undefined, encodeResolution({ resolves: offset, how, at: now }))
  }
  writer.append(plan.deadLetters, 0, block.finish(now), letters.length)
  const result = await writer.commit()
  if (result.outcome !== 'committed') throw result.error
  return letters.length
}

import { MillraceError } from '../../errors.ts'
import { BlockBuilder } from '../../log/block.ts'
import type { Log, Writer } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import { decodeLetterRecord, encodeReplay, encodeResolution } from '../../process/dead-letters.ts'
import type { DeadLetter, Resolution } from '../../process/dead-letters.ts'
import { partitionOf } from '../../core/hash.ts'
import { scan } from './scan.ts'

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

/** Open letters of one pipeline in order of offset, and how many are open in all. */
export async function openLetters(
  log: Log,
  plan: Plan,
  query: LetterQuery,
): Promise<{ readonly letters: OpenLetter[]; readonly open: number }> {
  const whole = { topic: plan.deadLetters, partition: 0, from: 0 }
  // Offsets alone first: the letters themselves may be many times what fits in memory.
  const resolved = new Set<number>()
  await scan(log, whole, ({ value }) => {
    const record = value === undefined ? undefined : decodeLetterRecord(value)
    if (record?.kind === 'resolution') resolved.add(record.resolution.resolves)
    return true
  })
  const wanted = query.offsets === undefined ? undefined : new Set(query.offsets)
  const letters: OpenLetter[] = []
  let open = 0
  let bytes = 0
  await scan(log, whole, ({ offset, value }) => {
    const record = value === undefined ? undefined : decodeLetterRecord(value)
    if (record?.kind !== 'letter' || resolved.has(offset)) return true
    open++
    const asked =
      offset >= query.from && offset < (query.before ?? Infinity) && (wanted?.has(offset) ?? true)
    if (asked && letters.length < query.limit && bytes < answerBytes) {
      letters.push({ offset, letter: record.letter })
      bytes += record.letter.raw.length
    }
    return true
  })
  return { letters, open }
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
export async function openLetter(log: Log, plan: Plan, offset: number): Promise<OpenLetter> {
  const { letters } = await openLetters(log, plan, { from: offset, limit: 1, offsets: [offset] })
  const letter = letters[0]
  if (letter !== undefined) return letter
  throw new MillraceError('MR6010', `${plan.pipeline} has no open dead letter at offset ${offset}.`)
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
    const { node, raw, timestamp, watermark, upstream, attempts } = letter
    const value = encodeReplay({
      node: node ?? 0,
      raw,
      timestamp,
      watermark,
      upstream,
      key: letter.key,
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

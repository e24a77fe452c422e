/** Decides whether a commit may enter the log, and completes its frame: topic ids, offsets, positions. Pure but for the head, which it fills in. */
import { xxh64 } from '../../core/hash.ts'
import { mark } from '../../core/mark.ts'
import { MillraceError } from '../../errors.ts'
import type { Position } from '../log.ts'
import { align8, placeEntry, putEntry, readEntries, sectionKinds } from './format.ts'
import type { Section } from './format.ts'
import { encodePositions } from './payloads.ts'
import { placeOf } from './state.ts'
import type { LogState, TopicState } from './state.ts'

export interface StagedPosition extends Position {
  readonly group: string
}

/** A commit as a writer laid it out. Topics are named: the entries' topic is an index into `topics`. */
export interface CommitRequest {
  readonly writer: number
  readonly epoch: number
  /** The head; its last entry is free for positions when there are any. */
  readonly head: Uint8Array
  readonly payload: Uint8Array
  readonly topics: readonly string[]
  readonly positions: readonly StagedPosition[]
  /** Whether it holds more than positions. */
  readonly appends: boolean
}

export interface PlannedCommit {
  readonly head: Uint8Array
  readonly pieces: readonly Uint8Array[]
  readonly payloadBytes: number
  readonly writer: number
  readonly writerEpoch: number
  readonly commitNumber: number
  /** Base and next offset of each appended section, in order. */
  readonly offsets: readonly number[]
  /** The encoded positions section. */
  readonly positions: Uint8Array
}

const NOTHING = new Uint8Array(0)

/** `nexts` carries offsets from one commit of a group to the next; it changes only when the commit is planned. */
export function planCommit(
  state: LogState,
  nexts: Map<number, number>,
  request: CommitRequest,
): PlannedCommit | MillraceError {
  const writer = state.writerById(request.writer)
  if (writer === undefined || writer.epoch !== request.epoch) {
    mark('commit: an old owner is refused (I8)')
    return new MillraceError(
      'MR2006',
      `The writer has epoch ${request.epoch}, the newest is ${writer?.epoch ?? 0}.`,
    )
  }
  const entries = readEntries(request.head)
  if (entries === undefined)
    return new MillraceError('MR6000', 'A commit came with a head that is none.')
  const { head, payload } = request
  const appended = request.positions.length > 0 ? entries.slice(0, -1) : entries
  const places: {
    readonly id: number
    readonly base: number
    readonly next: number
    readonly place: number
  }[] = []
  const own = new Map<number, number>()
  for (const entry of appended) {
    const topic = topicOf(state, request.topics[entry.topic], entry)
    if (topic instanceof MillraceError) return topic
    const place = placeOf(topic.info.id, entry.partition)
    const base = own.get(place) ?? nexts.get(place) ?? topic.next[entry.partition]!
    const next = base + entry.count
    own.set(place, next)
    places.push({ id: topic.info.id, base, next, place })
  }
  const positions =
    request.positions.length > 0 ? positionsSection(state, request.positions) : NOTHING
  if (positions instanceof MillraceError) return positions
  for (const [i, { id, base, next, place }] of places.entries()) {
    placeEntry(head, i, id, base, next)
    nexts.set(place, next)
  }
  const pieces = payload.length > 0 ? [payload] : []
  if (positions.length > 0) {
    const section = {
      kind: sectionKinds.positions,
      topic: 0,
      partition: 0,
      baseOffset: 0,
      nextOffset: 0,
    }
    putEntry(head, entries.length - 1, {
      ...section,
      count: request.positions.length,
      length: positions.length,
      hash: xxh64(positions),
    })
    const padded = new Uint8Array(align8(positions.length))
    padded.set(positions)
    pieces.push(padded)
  }
  const payloadBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const offsets = places.flatMap(({ base, next }) => [base, next])
  const stamp = {
    writer: request.writer,
    writerEpoch: request.epoch,
    commitNumber: writer.commits + 1,
  }
  return { head, pieces, payloadBytes, offsets, positions, ...stamp }
}

function topicOf(
  state: LogState,
  name: string | undefined,
  entry: Section,
): TopicState | MillraceError {
  const id = name === undefined ? undefined : state.names.get(name)
  const topic = id === undefined ? undefined : state.topics.get(id)
  if (topic === undefined) return new MillraceError('MR2011', `Topic "${name}" is not there.`)
  const { info } = topic
  if (entry.partition >= info.partitions) {
    return new MillraceError(
      'MR2011',
      `Topic "${name}" has ${info.partitions} partitions; there is no partition ${entry.partition}.`,
    )
  }
  const wrong =
    (entry.kind === sectionKinds.state) !== (info.kind === 'changelog') ||
    (entry.kind === sectionKinds.control && info.kind !== 'internal')
  if (wrong)
    return new MillraceError(
      'MR2011',
      `Topic "${name}" is of kind ${info.kind}; it takes no such section (${entry.kind}).`,
    )
  return topic
}

const META_BYTES = 16 * 1024

function positionsSection(
  state: LogState,
  positions: readonly StagedPosition[],
): Uint8Array | MillraceError {
  const entries = []
  for (const { group, topic, partition, offset, meta } of positions) {
    const id = state.names.get(topic)
    const known = id === undefined ? undefined : state.topics.get(id)
    if (id === undefined || known === undefined || !(partition < known.info.partitions)) {
      return new MillraceError(
        'MR2011',
        `Group "${group}" has a position in ${topic}/${partition}, which is not there.`,
      )
    }
    if (!Number.isSafeInteger(offset) || offset < 0) {
      return new MillraceError(
        'MR2016',
        `Group "${group}" has the offset ${offset} in ${topic}/${partition}.`,
      )
    }
    if (Buffer.byteLength(meta) > META_BYTES) {
      return new MillraceError(
        'MR2016',
        `The metadata of "${group}" in ${topic}/${partition} has ${Buffer.byteLength(meta)} bytes.`,
      )
    }
    entries.push({ group, topic: id, partition, offset, meta })
  }
  return encodePositions(entries)
}

/** Questions about the committed state, asked by the host for its clients and by a read-only log for itself. */
import { MillraceError } from '../../errors.ts'
import type { PartitionOffsets, Position, ReadFrom, TopicInfo } from '../log.ts'
import { checkPartition, topicNamed } from './catalog.ts'
import { fileName } from './format.ts'
import type { Place } from './reader.ts'
import type { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import type { LogState } from './state.ts'

export function listTopics(state: LogState, name: string | undefined): readonly TopicInfo[] {
  const all = [...state.topics.values()].map((topic) => topic.info)
  return name === undefined ? all : all.filter((topic) => topic.name === name)
}

export function offsetsOf(state: LogState, name: string): readonly PartitionOffsets[] {
  const { earliest, next } = topicNamed(state, name)
  return Array.from(next, (n, i) => ({ earliest: earliest[i]!, next: n }))
}

export function positionsOf(state: LogState, group: string): readonly Position[] {
  const positions: Position[] = []
  for (const { topic, partition, offset, meta } of state.positions.get(group)?.values() ?? []) {
    const name = state.topics.get(topic)?.info.name
    if (name !== undefined) positions.push({ topic: name, partition, offset, meta })
  }
  return positions
}

/**
 * Where a reader would begin; `tail` is the newest segment. A position beyond the end belongs to another log, or to another
 * life of this one.
 */
export function placeFor(state: LogState, tail: number, from: ReadFrom): Place {
  const { topic, partition, offset } = from
  const found = topicNamed(state, topic)
  checkPartition(found, partition)
  const earliest = found.earliest[partition]!
  const next = found.next[partition]!
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > next) {
    const details = { topic, partition, offset, next }
    throw new MillraceError(
      'MR2014',
      `${topic}/${partition} ends at ${next}; nothing is at ${offset}.`,
      { details },
    )
  }
  return { topicId: found.info.id, topic, partition, offset, earliest, next, tail }
}

export function findOffsetAt(
  state: LogState,
  segments: Segments,
  name: string,
  partition: number,
  timeMs: number,
): number {
  const topic = topicNamed(state, name)
  checkPartition(topic, partition)
  const place = placeOf(topic.info.id, partition)
  const earliest = topic.earliest[partition]!
  const next = topic.next[partition]!
  segments.advance()
  const ids = segments.list()
  const base = segments.locate(place, earliest)
  const first = ids.findIndex((id) => id.baseLsn === base)
  for (const { baseLsn } of ids.slice(Math.max(0, first))) {
    const map = segments.map(baseLsn)
    if (map === undefined || (map.broken === undefined && map.maxTime < timeMs)) continue
    for (let i = 0; i < map.sections; i++) {
      if (map.places[i] !== place || map.nexts[i]! <= earliest) continue
      if (map.times[i]! >= timeMs) return Math.max(map.bases[i]!, earliest)
    }
    // What lies behind the damage may be just what is asked for.
    if (map.broken !== undefined)
      throw new MillraceError('MR2005', `In ${fileName(map.id)} at byte ${map.end}: ${map.broken}.`)
  }
  return next
}

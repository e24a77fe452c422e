/**
 * What may go: pure decisions over the state and the segments. The unit is what one segment holds of one partition;
 * it goes as a whole, the oldest first, and a partition never gets a hole.
 */
import type { Change } from './payloads.ts'
import type { Range } from './segment-map.ts'
import { placeParts } from './state.ts'
import type { HoldState, LogState, TopicState } from './state.ts'

export type EarliestChange = Extract<Change, { type: 'earliest' }>

/** A segment, or of the newest one what was appended within a few minutes. */
export interface SegmentSummary {
  /** The log time of its newest frame (ms). */
  readonly maxLogTime: number
  /** Of the newest segment only what is too old goes, whatever its size: it is what a topic keeps. */
  readonly newest: boolean
  /** Topics of which it may hold records that retention takes; undefined when only its ranges tell. */
  readonly topics: ReadonlySet<number> | undefined
  /** What it holds that may still be read; undefined when it cannot be looked at, and then nothing from it on may go. */
  ranges(): ReadonlyMap<number, Range> | undefined
}

interface Held extends HoldState {
  /** Bytes of the topic that the group has not read, about. */
  unread: number
}

/**
 * Moves of earliest offsets, from the oldest sealed segment on. `segments` is read only as far as something may go.
 * `now` is log time, which never jumps, so that no clock that does can remove anything.
 */
export function decideRetention(
  state: LogState,
  segments: Iterable<SegmentSummary>,
  now: number,
): EarliestChange[] {
  const open = new Map([...state.topics].filter(([, topic]) => isRetained(topic)))
  const holds = heldTopics(state)
  const bytes = new Map([...open].map(([id, topic]) => [id, topic.bytes]))
  const moves: EarliestChange[] = []
  const blocked = new Set<number>()
  for (const segment of segments) {
    if (open.size === 0) break
    if (segment.topics !== undefined && ![...segment.topics].some((id) => open.has(id))) continue
    const ranges = segment.ranges()
    if (ranges === undefined) break
    const seen = new Map<number, boolean>()
    for (const [place, range] of ranges) {
      const { topic: id, partition } = placeParts(place)
      const topic = open.get(id)
      if (topic === undefined) continue
      const size = segment.newest ? 0 : bytes.get(id)!
      const expired = isExpired(topic, size, segment.maxLogTime, now)
      const held = (holds.get(id) ?? []).filter((h) =>
        isHeld(state, h, partition, range, now - segment.maxLogTime),
      )
      const goes = expired && held.length === 0 && !blocked.has(place)
      seen.set(id, (seen.get(id) ?? false) || goes)
      if (!goes) {
        blocked.add(place)
        continue
      }
      moves.push({ type: 'earliest', topic: id, partition, offset: range.next, bytes: range.bytes })
      bytes.set(id, bytes.get(id)! - range.bytes)
      for (const hold of holds.get(id) ?? []) {
        if ((state.positionOf(hold.group, id, partition) ?? 0) < range.next)
          hold.unread -= range.bytes
      }
    }
    // Later segments are younger, so a topic that keeps all of this one keeps those too.
    for (const [id, some] of seen) if (!some) open.delete(id)
  }
  return moves
}

/** Whether the topic says what may go of it. */
function isRetained({ info }: TopicState): boolean {
  return info.retentionMs !== undefined || info.retentionBytes !== undefined
}

/** The topics of these places that retention takes from. */
export function retainedTopics(state: LogState, places: Iterable<number>): Set<number> {
  const ids = new Set<number>()
  for (const place of places) {
    const { topic } = placeParts(place)
    const there = state.topics.get(topic)
    if (there !== undefined && isRetained(there)) ids.add(topic)
  }
  return ids
}

function isExpired(topic: TopicState, bytes: number, maxLogTime: number, now: number): boolean {
  const { retentionMs, retentionBytes } = topic.info
  if (retentionMs !== undefined && now - maxLogTime > retentionMs) return true
  return retentionBytes !== undefined && bytes > retentionBytes
}

function isHeld(
  state: LogState,
  hold: Held,
  partition: number,
  range: Range,
  age: number,
): boolean {
  const position = state.positionOf(hold.group, hold.topic, partition) ?? 0
  return position < range.next && age <= hold.ms && hold.unread <= hold.bytes
}

function heldTopics(state: LogState): Map<number, Held[]> {
  const holds = new Map<number, Held[]>()
  for (const hold of state.holds.values()) {
    const topic = state.topics.get(hold.topic)
    if (topic === undefined) continue
    const list = holds.get(hold.topic) ?? []
    list.push({ ...hold, unread: unreadBytes(state, topic, hold.group) })
    holds.set(hold.topic, list)
  }
  return holds
}

/** Bytes are known per topic, not per offset, so unread ones are counted at the topic's mean. */
function unreadBytes(state: LogState, topic: TopicState, group: string): number {
  let unread = 0
  let all = 0
  for (const [partition, next] of topic.next.entries()) {
    const earliest = topic.earliest[partition]!
    const position = Math.max(earliest, state.positionOf(group, topic.info.id, partition) ?? 0)
    unread += Math.max(0, next - position)
    all += next - earliest
  }
  return all === 0 ? 0 : (topic.bytes * unread) / all
}

/** A place in the segment that may still be read; undefined when the segment may be removed. */
export function livePlace(state: LogState, ranges: ReadonlyMap<number, Range>): number | undefined {
  for (const [place, range] of ranges) if (isLive(state, place, range.next)) return place
  return undefined
}

export function isLive(state: LogState, place: number, next: number): boolean {
  const topic = state.topics.get(Math.floor(place / 2048))
  return topic !== undefined && topic.earliest[place % 2048]! < next
}

export interface ArchiveCandidate {
  readonly archive: boolean
  readonly bytes: number
  /** Bytes it would take with only what may still be read. */
  readonly live: number
}

/** As many segments as one archive may stand for; bounds the work of one pass. */
const MEMBERS = 64

/**
 * The first run of segments worth an archive: what is left of them fits into `most` bytes, is less than half of what
 * they are, and frees at least `gain`. An archive alone is never made again: its name would be the same.
 */
export function decideArchive(
  candidates: readonly ArchiveCandidate[],
  most: number,
  gain: number,
): { readonly from: number; readonly count: number } | undefined {
  for (let from = 0; from < candidates.length; from++) {
    let live = 0
    let bytes = 0
    let count = 0
    for (let i = from; i < Math.min(candidates.length, from + MEMBERS); i++) {
      const candidate = candidates[i]!
      live += candidate.live
      bytes += candidate.bytes
      if (live > most) break
      const alone = i === from && candidate.archive
      if (!alone && bytes - live >= gain && live * 2 <= bytes) count = i - from + 1
    }
    if (count > 0) return { from, count }
  }
  return undefined
}

/**
 * What the log knows besides its records: topics with their next and earliest offsets, positions, writers and their
 * epochs, holds, removed segments. It is a function of the frames: `apply` in order gives it, at run time and after a
 * restart alike; a checkpoint is nothing but this object.
 */
import type { TopicInfo } from '../log.ts'
import { sectionKinds } from './format.ts'
import type { FrameHead, Section } from './format.ts'
import {
  decodeChanges,
  decodeJson,
  decodePositions,
  encodeJson,
  isObject,
  isTopicInfo,
  isWhole,
  positionsFrom,
} from './payloads.ts'
import type { Change, PositionEntry } from './payloads.ts'

export interface TopicState {
  readonly info: TopicInfo
  readonly next: Float64Array
  readonly earliest: Float64Array
  /** Bytes of its sections that retention has not freed. */
  bytes: number
}

export interface WriterState {
  readonly id: number
  epoch: number
  commits: number
}

export interface HoldState {
  readonly group: string
  readonly topic: number
  readonly ms: number
  readonly bytes: number
}

/** One number for (topic, partition): partitions are below 2^11, topic ids below 2^32. */
export const placeOf = (topic: number, partition: number): number => topic * 2048 + partition

export const placeParts = (
  place: number,
): { readonly topic: number; readonly partition: number } => ({
  topic: Math.floor(place / 2048),
  partition: place % 2048,
})

export class LogState {
  lsn = 0
  group = 0
  /** The log time of the last frame. */
  logTime = 0
  nextTopic = 1
  /** Goes up whenever a topic comes, changes or goes; not part of a checkpoint. */
  catalogVersion = 0
  readonly topics = new Map<number, TopicState>()
  readonly names = new Map<string, number>()
  readonly writers = new Map<string, WriterState>()
  readonly holds = new Map<string, HoldState>()
  readonly positions = new Map<string, Map<number, PositionEntry>>()
  /** Segments that end at or below this LSN are removed. */
  removedTo = 0
  readonly #owners = new Map<number, WriterState>()

  /** Applies a frame. False when a section the log must understand does not decode. */
  apply(head: FrameHead, payload: (section: Section) => Uint8Array): boolean {
    for (const section of head.sections) {
      if (section.kind === sectionKinds.positions) {
        const positions = decodePositions(payload(section))
        if (positions === undefined) return false
        for (const position of positions) this.#position(position)
      } else if (section.kind === sectionKinds.changes) {
        const changes = decodeChanges(payload(section))
        if (changes === undefined) return false
        for (const change of changes) this.#change(change)
      } else if (section.kind !== sectionKinds.checkpoint) {
        this.#records(section)
      }
    }
    this.lsn = head.lsn
    this.group = head.group
    this.logTime = Math.max(this.logTime, head.logTime)
    const writer = this.#owners.get(head.writer)
    if (writer !== undefined) writer.commits = head.commitNumber
    return true
  }

  writerById(id: number): WriterState | undefined {
    return this.#owners.get(id)
  }

  /** Where a group stands; undefined when it never committed a position there. */
  positionOf(group: string, topic: number, partition: number): number | undefined {
    return this.positions.get(group)?.get(placeOf(topic, partition))?.offset
  }

  #records(section: Section): void {
    const topic = this.topics.get(section.topic)
    // A commit to a topic that a later frame deletes is applied before it; after the deletion nothing is written to it.
    if (topic === undefined || section.partition >= topic.next.length) return
    topic.next[section.partition] = section.nextOffset
    topic.bytes += section.length
  }

  #position(position: PositionEntry): void {
    if (!this.topics.has(position.topic)) return
    let places = this.positions.get(position.group)
    if (places === undefined) this.positions.set(position.group, (places = new Map()))
    places.set(placeOf(position.topic, position.partition), position)
  }

  #change(change: Change): void {
    switch (change.type) {
      case 'epoch':
        return
      case 'topic':
        return this.#addTopic(change.info)
      case 'topic-deleted':
        return this.#deleteTopic(change.topic)
      case 'writer':
        return this.#openWriter(change.owner, change.id, change.epoch)
      case 'hold':
        this.holds.set(`${change.group}\n${change.topic}`, change)
        return
      case 'earliest': {
        const topic = this.topics.get(change.topic)
        if (topic === undefined || change.partition >= topic.earliest.length) return
        topic.earliest[change.partition] = Math.max(
          topic.earliest[change.partition]!,
          change.offset,
        )
        topic.bytes = Math.max(0, topic.bytes - change.bytes)
        return
      }
      case 'removed':
        this.removedTo = Math.max(this.removedTo, change.to)
    }
  }

  #addTopic(info: TopicInfo): void {
    this.catalogVersion++
    const { partitions } = info
    const there = this.topics.get(info.id)
    // Of a topic that is there already, only what it says of itself changes.
    if (there !== undefined) {
      this.topics.set(info.id, { ...there, info })
      return
    }
    this.topics.set(info.id, {
      info,
      next: new Float64Array(partitions),
      earliest: new Float64Array(partitions),
      bytes: 0,
    })
    this.names.set(info.name, info.id)
    this.nextTopic = Math.max(this.nextTopic, info.id + 1)
  }

  #deleteTopic(id: number): void {
    this.catalogVersion++
    const topic = this.topics.get(id)
    if (topic === undefined) return
    this.topics.delete(id)
    this.names.delete(topic.info.name)
    for (const [key, hold] of this.holds) if (hold.topic === id) this.holds.delete(key)
    for (const [group, places] of this.positions) {
      for (let p = 0; p < topic.next.length; p++) places.delete(placeOf(id, p))
      if (places.size === 0) this.positions.delete(group)
    }
  }

  #openWriter(owner: string, id: number, epoch: number): void {
    const writer = this.writers.get(owner) ?? { id, epoch, commits: 0 }
    writer.epoch = epoch
    this.writers.set(owner, writer)
    this.#owners.set(id, writer)
  }

  toCheckpoint(): Uint8Array {
    return encodeJson({
      lsn: this.lsn,
      group: this.group,
      logTime: this.logTime,
      nextTopic: this.nextTopic,
      removedTo: this.removedTo,
      topics: [...this.topics.values()].map((t) => ({
        info: t.info,
        next: [...t.next],
        earliest: [...t.earliest],
        bytes: t.bytes,
      })),
      writers: [...this.writers].map(([owner, w]) => [owner, w.id, w.epoch, w.commits]),
      holds: [...this.holds.values()].map((h) => [h.group, h.topic, h.ms, h.bytes]),
      positions: [...this.positions.values()].flatMap((places) =>
        [...places.values()].map((p) => [p.group, p.topic, p.partition, p.offset, p.meta]),
      ),
    })
  }

  /** The state a checkpoint holds; undefined when the bytes are not one. */
  static fromCheckpoint(bytes: Uint8Array): LogState | undefined {
    const json = decodeJson(bytes)
    if (!isObject(json)) return undefined
    const { lsn, group, logTime, nextTopic, removedTo, topics, writers, holds, positions } = json
    if (typeof logTime !== 'number' || !Number.isFinite(logTime)) return undefined
    if (!isWhole(lsn) || !isWhole(group) || !isWhole(nextTopic) || !isWhole(removedTo))
      return undefined
    if (![topics, writers, holds, positions].every(Array.isArray)) return undefined
    const state = new LogState()
    const done =
      (topics as unknown[]).every((topic) => state.#restoreTopic(topic)) &&
      (writers as unknown[]).every((w) => Array.isArray(w) && state.#restoreWriter(w)) &&
      (holds as unknown[]).every((h) => Array.isArray(h) && state.#restoreHold(h))
    const entries = positionsFrom(positions)
    if (!done || entries === undefined) return undefined
    for (const entry of entries) state.#position(entry)
    state.removedTo = removedTo
    state.lsn = lsn
    state.group = group
    state.logTime = logTime
    state.nextTopic = nextTopic
    return state
  }

  #restoreTopic(value: unknown): boolean {
    if (!isObject(value) || !isTopicInfo(value['info']) || !isWhole(value['bytes'])) return false
    const { next, earliest } = value
    const info = value['info']
    const fits = (list: unknown): list is number[] =>
      Array.isArray(list) && list.length === info.partitions && list.every(isWhole)
    if (!fits(next) || !fits(earliest)) return false
    this.topics.set(info.id, {
      info,
      next: Float64Array.from(next),
      earliest: Float64Array.from(earliest),
      bytes: value['bytes'],
    })
    this.names.set(info.name, info.id)
    return true
  }

  #restoreWriter(value: readonly unknown[]): boolean {
    const [owner, id, epoch, commits] = value
    if (typeof owner !== 'string' || !isWhole(id) || !isWhole(epoch) || !isWhole(commits))
      return false
    this.#openWriter(owner, id, epoch)
    this.writers.get(owner)!.commits = commits
    return true
  }

  #restoreHold(value: readonly unknown[]): boolean {
    const [group, topic, ms, bytes] = value
    if (typeof group !== 'string' || !isWhole(topic) || !isWhole(ms) || !isWhole(bytes))
      return false
    this.holds.set(`${group}\n${topic}`, { group, topic, ms, bytes })
    return true
  }
}

/**
 * Writes a new log with everything that can be read of a damaged one: every sound section that may still be read, at its
 * own offsets, in archives that stand for the old files, and behind them a checkpoint with the state of the log. The
 * old directory is only read. The new log has an identity of its own, so that sinks notice.
 */
import type { Disk } from '../../core/env/env.ts'
import { xxh64 } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import { archiveBytes } from './archive.ts'
import type { LogReport, Lost } from './report.ts'
import { checkTarget, discard, seal, writeDurably } from './copy.ts'
import { stoodFor } from './decide.ts'
import {
  align8,
  encodeSegmentHeader,
  fileName,
  FORMAT_VERSION,
  headBytes,
  newHead,
  putEntry,
  SEGMENT_HEADER,
  sectionKinds,
  stampHead,
} from './format.ts'
import { isLive } from './retention.ts'
import { SegmentMap } from './segment-map.ts'
import type { MappedSection } from './segment-map.ts'
import { placeOf, placeParts } from './state.ts'
import type { LogState } from './state.ts'
import { verifyState } from './verify.ts'
import { listUnits, walkUnit } from './walk.ts'
import type { Unit } from './walk.ts'

export interface SalvageOptions {
  readonly disk: Disk
  readonly source: string
  /** Does not exist, or is empty. */
  readonly target: string
  /** 16 bytes. */
  readonly uuid: Uint8Array
  /** Wall clock (ms). */
  readonly now: number
  /** The offsets that whole snapshots of a changelog's partition reach to. */
  readonly snapshots: (changelog: string, partition: number) => readonly number[]
}

export interface Salvaged {
  /** What was found in the old directory, and so what is lost. */
  readonly report: LogReport
  /** Records that were taken over. */
  readonly records: number
  /** Where each partition ends now. */
  readonly ends: readonly {
    readonly topic: string
    readonly partition: number
    readonly next: number
  }[]
  /** Changes of stores that only snapshots held, of which none is readable. */
  readonly forgotten: readonly Lost[]
  readonly lsn: number
  /** Makes the directory one that can be opened, when everything else in it is durable. */
  seal(): void
}

interface Kept {
  readonly section: MappedSection
  readonly bytes: Uint8Array
}

/** Runs to its end. Throws MR2017 where the target holds something, MR2020 where nothing can be read, or DiskError. */
export function* salvageLog(
  options: SalvageOptions,
): Generator<{ readonly done: number; readonly total: number }, Salvaged> {
  const { disk, source, target } = options
  checkTarget(disk, target)
  const { report, state } = yield* verifyState(disk, source)
  if (state.topics.size === 0)
    throw new MillraceError('MR2020', `Of ${source} not even the list of its topics can be read.`)
  const all = listUnits(disk, source)
  const stood = stoodFor(all)
  const units = all.filter((unit, i) => !stood.has(unit) && largest(unit, all, i))
  const made: string[] = []
  const salvage = new Salvage(options, state, made)
  try {
    disk.mkdir(`${target}/log`)
    let done = 0
    for (const [i, unit] of units.entries()) {
      salvage.take(unit, units[i + 1]?.id.baseLsn)
      yield { done: (done += unit.size), total: report.bytes }
    }
    return { report, ...salvage.finish(units) }
  } catch (error) {
    discard(disk, made)
    throw error
  }
}

/** Of several attempts at one LSN the one that was used. */
function largest(unit: Unit, units: readonly Unit[], index: number): boolean {
  const twins = units.filter((u) => u.id.baseLsn === unit.id.baseLsn)
  const most = Math.max(...twins.map(({ size }) => size))
  return (
    unit.size === most &&
    units.findIndex((u) => u.id.baseLsn === unit.id.baseLsn && u.size === most) === index
  )
}

class Salvage {
  readonly #options: SalvageOptions
  readonly #state: LogState
  readonly #made: string[]
  /** Changelogs that begin behind every readable snapshot, with where. Now they begin with what is there of them. */
  readonly #unreached = new Map<number, number>()
  readonly #forgotten: Lost[] = []
  /** Per place, the offset that its next section has if nothing is missing. */
  readonly #next = new Map<number, number>()
  #records = 0
  #lsn = 0
  #firstLsn: number | undefined

  constructor(options: SalvageOptions, state: LogState, made: string[]) {
    this.#options = options
    this.#state = state
    this.#made = made
    for (const [id, topic] of state.topics) {
      if (topic.info.kind !== 'changelog') continue
      for (const [partition, earliest] of topic.earliest.entries()) {
        if (this.#reached(topic.info.name, partition, earliest, topic.next[partition]!)) continue
        this.#unreached.set(placeOf(id, partition), earliest)
        topic.earliest[partition] = 0
      }
    }
  }

  /** Whether a start can make the store again. */
  #reached(changelog: string, partition: number, earliest: number, next: number): boolean {
    const snapshots = this.#options.snapshots(changelog, partition)
    return earliest === 0 || snapshots.some((offset) => offset >= earliest && offset <= next)
  }

  /** Puts what is readable of a unit into an archive that reaches to the next unit. */
  take(unit: Unit, following: number | undefined): void {
    const { disk } = this.#options
    const kept: Kept[] = []
    let logTime = 0
    const walk = walkUnit(disk, unit, unit.size)
    let step = walk.next()
    for (; step.done !== true; step = walk.next()) {
      const found = step.value
      if (found.found === 'flaw') continue
      logTime = Math.max(logTime, found.head?.logTime ?? this.#state.logTime)
      for (const { section, bytes } of found.sections)
        if (bytes !== undefined) this.#keep(section, bytes, kept)
    }
    const toLsn = Math.max(step.value.nextLsn, following ?? 0)
    const { epoch } = unit.id
    const baseLsn = Math.max(unit.id.baseLsn, this.#lsn)
    if (toLsn <= baseLsn) return
    this.#firstLsn ??= baseLsn
    this.#lsn = toLsn
    this.#write({ epoch, baseLsn, toLsn }, unit.name, kept, logTime)
  }

  #keep(section: MappedSection, bytes: Uint8Array, kept: Kept[]): void {
    const { kind, topic, partition, baseOffset, nextOffset } = section
    if (kind > sectionKinds.state) return
    const place = placeOf(topic, partition)
    const there = this.#state.topics.get(topic)
    const end = there?.next[partition] ?? 0
    if (!isLive(this.#state, place, nextOffset) || nextOffset > end) return
    const expected = this.#next.get(place) ?? there?.earliest[partition] ?? 0
    if (nextOffset <= expected) return
    this.#forget(place, expected, baseOffset)
    this.#next.set(place, nextOffset)
    if (kind === sectionKinds.records) this.#records += section.count
    // A store can only be made again from a changelog without holes. What is missing in it is in the report.
    const base = kind === sectionKinds.state ? Math.min(expected, baseOffset) : baseOffset
    kept.push({ section: { ...section, baseOffset: base }, bytes })
  }

  /** What lies behind the beginning of its changelog, verification has named already. */
  #forget(place: number, from: number, to: number): void {
    const end = Math.min(to, this.#unreached.get(place) ?? 0)
    if (from >= end) return
    const { topic, partition } = placeParts(place)
    this.#forgotten.push({
      topic: this.#state.topics.get(topic)!.info.name,
      partition,
      from,
      to: end,
    })
  }

  #write(
    id: { readonly epoch: number; readonly baseLsn: number; readonly toLsn: number },
    member: string,
    kept: readonly Kept[],
    logTime: number,
  ): void {
    const { uuid } = this.#options
    const size = archiveBytes(
      kept.length,
      kept.reduce((sum, { bytes }) => sum + align8(bytes.length), 0),
    )
    const out = new Uint8Array(size)
    const map = new SegmentMap(id, 0n)
    let at = archiveBytes(kept.length, 0)
    for (const { section, bytes } of kept) {
      out.set(bytes, at)
      map.addSection({ ...section, at })
      map.maxTime = Math.max(map.maxTime, section.time)
      at += align8(bytes.length)
    }
    map.maxLogTime = logTime
    map.nextLsn = id.toLsn
    map.end = size
    const header = { version: FORMAT_VERSION, uuid, members: [member], prevHash: 0n, ...id }
    out.set(encodeSegmentHeader(header, 'archive'))
    out.set(map.encode(uuid), SEGMENT_HEADER)
    this.#file(fileName(id), out)
  }

  /** The state as a checkpoint, in a segment of its own: a start begins there. */
  finish(units: readonly Unit[]): Omit<Salvaged, 'report'> {
    const { disk, target, uuid, now } = this.#options
    const lsn = Math.max(this.#lsn, 1)
    const state = this.#state
    this.#endChangelogs()
    state.removedTo = (this.#firstLsn ?? lsn) - 1
    state.lsn = lsn - 1
    const epoch = Math.max(0, ...units.map(({ id }) => id.epoch)) + 1
    const bytes = state.toCheckpoint()
    const head = newHead(1)
    const none = { topic: 0, partition: 0, count: 0, baseOffset: 0, nextOffset: 0 }
    const kind = sectionKinds.checkpoint
    putEntry(head, 0, { kind, ...none, length: bytes.length, hash: xxh64(bytes) })
    const own = { writer: 0, writerEpoch: 0, commitNumber: 0, payloadBytes: align8(bytes.length) }
    const { logTime } = state
    stampHead(head, {
      lsn,
      epoch,
      group: state.group + 1,
      prevHash: 0n,
      time: now,
      logTime,
      ...own,
    })
    const out = new Uint8Array(SEGMENT_HEADER + headBytes(1) + align8(bytes.length))
    const version = FORMAT_VERSION
    out.set(encodeSegmentHeader({ version, uuid, members: [], prevHash: 0n, epoch, baseLsn: lsn }))
    out.set(head, SEGMENT_HEADER)
    out.set(bytes, SEGMENT_HEADER + head.length)
    this.#file(fileName({ epoch, baseLsn: lsn }), out)
    const features = { incompat: 0, roCompat: 0 }
    const checkpoint = {
      checkpointLsn: lsn,
      checkpointSegment: lsn,
      checkpointPosition: SEGMENT_HEADER,
    }
    const s = { version, ...features, epoch, uuid, sequence: 1, ...checkpoint }
    const mark = {
      uuid,
      epoch,
      segmentEpoch: epoch,
      lsn,
      segmentBase: lsn,
      end: out.length,
      sequence: 1,
    }
    const layout = { super: { result: 'super', ...s }, mark: { result: 'mark', ...mark } } as const
    const forgotten = this.#forgotten
    const ends = [...state.topics.values()].flatMap(({ info, next }) =>
      Array.from(next, (offset, partition) => ({ topic: info.name, partition, next: offset })),
    )
    return { records: this.#records, ends, forgotten, lsn, seal: () => seal(disk, target, layout) }
  }

  /** A changelog ends where it can be read to, or where a snapshot reaches: else its store could not be made again. */
  #endChangelogs(): void {
    for (const [id, topic] of this.#state.topics) {
      if (topic.info.kind !== 'changelog') continue
      for (const [partition, next] of topic.next.entries()) {
        const place = placeOf(id, partition)
        const read = this.#next.get(place) ?? topic.earliest[partition]!
        this.#forget(place, read, Infinity)
        const reached = this.#options.snapshots(topic.info.name, partition)
        topic.next[partition] = Math.max(read, ...reached.filter((offset) => offset <= next))
      }
    }
  }

  #file(name: string, bytes: Uint8Array): void {
    const path = `${this.#options.target}/log/${name}`
    this.#made.push(path)
    writeDurably(this.#options.disk, path, bytes)
  }
}

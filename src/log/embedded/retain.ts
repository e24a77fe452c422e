/**
 * Carries retention out: moves earliest offsets, durably; removes the oldest segments once nothing in them is left to
 * read; puts archives in the place of others of which little is left.
 */
import { DiskError } from '../../core/env/env.ts'
import { mark } from '../../core/mark.ts'
import { MillraceError } from '../../errors.ts'
import type { Engine } from './engine.ts'
import { archiveBytes, liveOf } from './archive.ts'
import { decideArchive, decideRetention, isLive, livePlace, retainedTopics } from './retention.ts'
import type { ArchiveCandidate, SegmentSummary } from './retention.ts'
import type { Range, SegmentMap } from './segment-map.ts'
import type { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import type { Steps } from './steps.ts'

export interface RetentionOptions {
  /** An archive holds at most this many bytes. */
  readonly archiveBytes: number
  /** What an archive must free to be worth its making. */
  readonly archiveGain: number
}

/** What was seen of a sealed segment when it was looked at. Less is left of it meanwhile, never more. */
interface Seen {
  /** Topics with retention of which it holds something. */
  readonly topics: ReadonlySet<number>
  /** What it would take as an archive. */
  readonly live: number
}

/** So many segments a pass looks into, because commits wait meanwhile; the next one goes on behind them. */
const LOOKS = 32
/** Of what is left so many indexes go where there is no room at all: enough to write a little. */
const INDEXES = 16
/** So many segments a pass looks at again although none of their topics lets anything go: stores let go as well. */
const AGAIN = 8

export class Retention {
  readonly #engine: Engine
  readonly #segments: Segments
  readonly #options: RetentionOptions
  /** By segment, so that a pass does not look into every segment there is. */
  readonly #seen = new Map<number, Seen>()
  /** Per segment, a place that was seen to be still needed: while it is, the segment stays. */
  readonly #witness = new Map<number, { readonly place: number; readonly next: number }>()
  /** How many of the oldest segments this pass came to; behind them nothing is old enough. */
  #reached = 0
  /** Where looking again goes on. */
  #again = 0
  #catalog = 0

  constructor(engine: Engine, segments: Segments, options: RetentionOptions) {
    this.#engine = engine
    this.#segments = segments
    this.#options = options
  }

  /** Returns the earliest offsets that moved. Throws MillraceError when the log can write nothing. */
  *run(): Steps<readonly (readonly [place: number, offset: number])[]> {
    try {
      return yield* this.#pass()
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'MR2007') throw error
      mark('retention: indexes go for space')
      // Giving space back takes a little of it: that of some indexes, which are made again where they are missed.
      const count = Math.min(INDEXES, this.#reached)
      yield* this.#engine.guarded(this.#engine.log.removeIndexes(count))
      return yield* this.#pass()
    }
  }

  *#pass(): Steps<readonly (readonly [place: number, offset: number])[]> {
    const { state, log } = this.#engine
    // Another retention, or a deleted topic, changes what may go of any segment.
    if (this.#catalog !== state.catalogVersion) this.#seen.clear()
    this.#catalog = state.catalogVersion
    this.#reached = 0
    const looked: number[] = []
    const moves = decideRetention(state, this.#summaries(looked), this.#engine.clock.now())
    if (moves.length > 0) {
      yield* this.#engine.change(moves)
      for (const base of looked) this.#look(base)
    }
    for (let i = 0; i < Math.min(AGAIN, this.#reached); i++)
      this.#look(log.sealed[this.#again++ % this.#reached]!.id.baseLsn)
    yield* this.#remove()
    yield* this.#archive()
    const newest = new Map(moves.map((move) => [placeOf(move.topic, move.partition), move.offset]))
    return [...newest]
  }

  *#remove(): Steps<void> {
    const { log } = this.#engine
    const removable = this.#removable()
    if (removable === 0) return
    mark('retention: segments are removed')
    const last = log.sealed[removable - 1]!
    // Recovery starts at the checkpoint, so it must lie behind what is removed.
    if (log.checkpointSegment <= last.id.baseLsn) {
      mark('retention: a checkpoint first')
      yield* this.#engine.checkpoint(true)
    }
    yield* this.#engine.change([{ type: 'removed', to: last.lastLsn }])
    for (const { id } of log.sealed.slice(0, removable)) this.#forget(id.baseLsn)
    yield* this.#engine.guarded(log.remove(removable))
    this.#reached -= removable
  }

  /** At most one archive per pass: commits wait meanwhile. */
  *#archive(): Steps<void> {
    const { log } = this.#engine
    const facts = log.sealed
      .slice(0, Math.max(0, this.#reached))
      .filter(({ id }) => id.baseLsn < log.checkpointSegment)
    const candidates: ArchiveCandidate[] = []
    for (const { id, bytes } of facts) {
      if (!this.#seen.has(id.baseLsn)) this.#look(id.baseLsn)
      const seen = this.#seen.get(id.baseLsn)
      // What cannot be read stays as it is, and nothing behind it is looked at.
      if (seen === undefined) break
      candidates.push({ archive: id.toLsn !== undefined, bytes, live: seen.live })
    }
    const run = decideArchive(candidates, this.#options.archiveBytes, this.#options.archiveGain)
    if (run === undefined) return
    const members = facts.slice(run.from, run.from + run.count)
    const maps = members.map(({ id }) => this.#map(id.baseLsn)).filter((map) => map !== undefined)
    if (maps.length !== members.length) return
    mark('retention: segments are rewritten as an archive')
    yield* this.#engine.guarded(log.archive(run.from, maps, this.#isLive))
    for (const { id } of members) this.#forget(id.baseLsn)
  }

  #forget(base: number): void {
    this.#seen.delete(base)
    this.#witness.delete(base)
    try {
      this.#segments.forget(base)
    } catch (error) {
      // It could not look which files there are. Whoever needs one of them looks again.
      if (!(error instanceof DiskError)) throw error
    }
  }

  /** Sealed segments, then the newest one by age. Those whose content was asked for are noted in `looked`. */
  *#summaries(looked: number[]): Generator<SegmentSummary, void, void> {
    for (const { id, maxLogTime } of this.#engine.log.sealed) {
      this.#reached++
      const ranges = (): ReadonlyMap<number, Range> | undefined => {
        if (looked.push(id.baseLsn) > LOOKS) return undefined
        return this.#look(id.baseLsn)
      }
      const topics = this.#seen.get(id.baseLsn)?.topics
      yield { maxLogTime, newest: false, topics, ranges }
    }
    const tail = this.#map(this.#segments.tailBase)
    let from = 0
    for (const { until, to } of tail?.ages ?? []) {
      const start = from
      const ranges = () => tail?.rangesOf(start, to, this.#isLive)
      yield { maxLogTime: until, newest: true, topics: undefined, ranges }
      from = to
    }
  }

  readonly #isLive = (place: number, next: number): boolean =>
    isLive(this.#engine.state, place, next)

  /** What a sealed segment holds that may still be read; undefined when it cannot be looked at. */
  #look(base: number): ReadonlyMap<number, Range> | undefined {
    const map = this.#map(base)
    if (map === undefined) return undefined
    const ranges = map.rangesOf(0, map.sections, this.#isLive)
    const { sections, bytes } = liveOf(map, this.#isLive)
    const topics = retainedTopics(this.#engine.state, ranges.keys())
    this.#seen.set(base, { topics, live: archiveBytes(sections, bytes) })
    return ranges
  }

  /** How many of the oldest segments hold nothing that may still be read. */
  #removable(): number {
    const { state, log } = this.#engine
    let count = 0
    for (const { id } of log.sealed) {
      const known = this.#witness.get(id.baseLsn)
      if (known !== undefined && isLive(state, known.place, known.next)) break
      const ranges = this.#map(id.baseLsn)?.ranges()
      if (ranges === undefined) break
      const place = livePlace(state, ranges)
      if (place !== undefined) {
        this.#witness.set(id.baseLsn, { place, next: ranges.get(place)!.next })
        break
      }
      count++
    }
    return count
  }

  /** Undefined when the segment cannot be read; then nothing from it on may go. */
  #map(base: number): SegmentMap | undefined {
    try {
      const map = this.#segments.map(base)
      return map?.broken === undefined ? map : undefined
    } catch (error) {
      // A reader that comes here reports it; retention only leaves alone what it cannot read.
      if (!(error instanceof DiskError)) throw error
      return undefined
    }
  }
}

/**
 * Carries retention out: moves earliest offsets, durably; removes the oldest segments once nothing in them is left to
 * read; puts archives in the place of others of which little is left.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Engine } from './engine.ts'
import { archiveBytes, liveOf } from './archive.ts'
import { decideArchive, decideRetention, isLive, isSettled, livePlace } from './retention.ts'
import type { ArchiveCandidate, SegmentSummary } from './retention.ts'
import type { SegmentMap } from './segment-map.ts'
import type { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import type { Steps } from './steps.ts'

export interface RetentionOptions {
  /** An archive holds at most this many bytes. */
  readonly archiveBytes: number
  /** What an archive must free to be worth its making. */
  readonly archiveGain: number
}

export class Retention {
  readonly #engine: Engine
  readonly #segments: Segments
  readonly #options: RetentionOptions
  /** Segments of which nothing goes by itself any more, with what they would take as an archive. */
  readonly #settled = new Map<number, number>()
  /** Per segment, a place that was seen to be still needed: while it is, the segment stays. */
  readonly #witness = new Map<number, { readonly place: number; readonly next: number }>()
  /** How many of the oldest segments the last pass looked at; behind them nothing is old enough. */
  #reached = 0
  #catalog = 0

  constructor(engine: Engine, segments: Segments, options: RetentionOptions) {
    this.#engine = engine
    this.#segments = segments
    this.#options = options
  }

  /** Returns the earliest offsets that moved. Throws MillraceError when the log can write nothing. */
  *run(): Steps<readonly (readonly [place: number, offset: number])[]> {
    const { state } = this.#engine
    // Another retention, or a deleted topic, changes what may go of any segment.
    if (this.#catalog !== state.catalogVersion) this.#settled.clear()
    this.#catalog = state.catalogVersion
    this.#reached = 0
    const moves = decideRetention(state, this.#summaries(), this.#engine.clock.now())
    if (moves.length > 0) yield* this.#engine.change(moves)
    yield* this.#remove()
    yield* this.#archive()
    const newest = new Map(moves.map((move) => [placeOf(move.topic, move.partition), move.offset]))
    return [...newest]
  }

  *#remove(): Steps<void> {
    const { log } = this.#engine
    const removable = this.#removable()
    if (removable === 0) return
    const last = log.sealed[removable - 1]!
    // Recovery starts at the checkpoint, so it must lie behind what is removed.
    if (log.checkpointSegment <= last.id.baseLsn) yield* this.#engine.checkpoint(true)
    yield* this.#engine.change([{ type: 'removed', to: last.lastLsn }])
    for (const { id } of log.sealed.slice(0, removable)) this.#forget(id.baseLsn)
    yield* this.#engine.guarded(log.remove(removable))
    this.#reached -= removable
  }

  /** At most one archive per pass: commits wait meanwhile. */
  *#archive(): Steps<void> {
    const { log, state } = this.#engine
    const facts = log.sealed
      .slice(0, Math.max(0, this.#reached))
      .filter(({ id }) => id.baseLsn < log.checkpointSegment)
    const candidates: ArchiveCandidate[] = []
    for (const { id, bytes } of facts) {
      const live = this.#settled.get(id.baseLsn) ?? this.#live(this.#map(id.baseLsn))
      // What cannot be read stays as it is, and nothing behind it is looked at.
      if (live === undefined) break
      candidates.push({ archive: id.toLsn !== undefined, bytes, live })
    }
    const run = decideArchive(candidates, this.#options.archiveBytes, this.#options.archiveGain)
    if (run === undefined) return
    const members = facts.slice(run.from, run.from + run.count)
    const maps = members.map(({ id }) => this.#map(id.baseLsn)).filter((map) => map !== undefined)
    if (maps.length !== members.length) return
    const live = (place: number, next: number): boolean => isLive(state, place, next)
    yield* this.#engine.guarded(log.archive(run.from, maps, live))
    for (const { id } of members) this.#forget(id.baseLsn)
  }

  #forget(base: number): void {
    this.#settled.delete(base)
    this.#witness.delete(base)
    try {
      this.#segments.forget(base)
    } catch (error) {
      // It could not look which files there are. Whoever needs one of them looks again.
      if (!(error instanceof DiskError)) throw error
    }
  }

  *#summaries(): Generator<SegmentSummary, void, void> {
    for (const { id, maxLogTime } of this.#engine.log.sealed) {
      this.#reached++
      if (this.#settled.has(id.baseLsn)) continue
      const map = this.#map(id.baseLsn)
      if (map === undefined) return
      const ranges = map.ranges()
      const live = this.#live(map)
      if (isSettled(this.#engine.state, ranges) && live !== undefined)
        this.#settled.set(id.baseLsn, live)
      else yield { baseLsn: id.baseLsn, maxLogTime, ranges }
    }
  }

  #live(map: SegmentMap | undefined): number | undefined {
    if (map === undefined) return undefined
    const { state } = this.#engine
    const { sections, bytes } = liveOf(map, (place, next) => isLive(state, place, next))
    return archiveBytes(sections, bytes)
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

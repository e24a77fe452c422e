/** Carries retention out: moves earliest offsets, durably, then removes segments in which nothing is left to read. */
import type { Engine } from './engine.ts'
import { decideRetention, isLive, isSettled, livePlace } from './retention.ts'
import type { SegmentSummary } from './retention.ts'
import type { Range } from './segment-map.ts'
import type { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import type { Steps } from './steps.ts'

export class Retention {
  readonly #engine: Engine
  readonly #segments: Segments
  /** Segments that retention need not look at again: nothing is left in them of a topic that has any. */
  readonly #settled = new Set<number>()
  /** Per segment, a place that was seen to be still needed: while it is, the segment stays. */
  readonly #witness = new Map<number, { readonly place: number; readonly next: number }>()

  constructor(engine: Engine, segments: Segments) {
    this.#engine = engine
    this.#segments = segments
  }

  /** Returns the earliest offsets that moved. Throws MillraceError when the log can write nothing. */
  *run(): Steps<readonly (readonly [place: number, offset: number])[]> {
    const { state, log } = this.#engine
    const moves = decideRetention(state, this.#summaries(), this.#engine.clock.now())
    if (moves.length > 0) yield* this.#engine.change(moves)
    const removable = this.#removable()
    if (removable > 0) {
      const last = log.sealed[removable - 1]!
      // Recovery starts at the checkpoint, so it must lie behind what is removed.
      if (log.checkpointSegment <= last.id.baseLsn) yield* this.#engine.checkpoint(true)
      yield* this.#engine.change([{ type: 'removed', to: last.lastLsn }])
      for (const { id } of log.sealed.slice(0, removable)) {
        this.#settled.delete(id.baseLsn)
        this.#witness.delete(id.baseLsn)
      }
      yield* this.#engine.guarded(log.remove(removable))
    }
    const newest = new Map(moves.map((move) => [placeOf(move.topic, move.partition), move.offset]))
    return [...newest]
  }

  *#summaries(): Generator<SegmentSummary, void, void> {
    for (const { id, maxLogTime } of this.#engine.log.sealed) {
      if (this.#settled.has(id.baseLsn)) continue
      const ranges = this.#ranges(id.baseLsn)
      if (ranges === undefined) return
      if (isSettled(this.#engine.state, ranges)) this.#settled.add(id.baseLsn)
      else yield { baseLsn: id.baseLsn, maxLogTime, ranges }
    }
  }

  /** How many of the oldest segments hold nothing that may still be read. */
  #removable(): number {
    const { state, log } = this.#engine
    let count = 0
    for (const { id } of log.sealed) {
      const known = this.#witness.get(id.baseLsn)
      if (known !== undefined && isLive(state, known.place, known.next)) break
      const ranges = this.#ranges(id.baseLsn)
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
  #ranges(base: number): ReadonlyMap<number, Range> | undefined {
    const map = this.#segments.map(base)
    return map === undefined || map.broken !== undefined ? undefined : map.ranges()
  }
}

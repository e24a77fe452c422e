/**
 * Reads committed blocks of some partitions out of the segment files, in the reader's own thread, up to the published
 * end. Every section it hands out was verified against its hash.
 */
import type { Arena } from '../../core/arena.ts'
import { assert, must } from '../../core/assert.ts'
import { DiskError } from '../../core/env/env.ts'
import { xxh64 } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import type { Block, ReadFrom, Reader, ReadResult } from '../log.ts'
import { fileName, sectionKinds } from './format.ts'
import type { SegmentMap } from './segment-map.ts'
import { isMissing, notAfter } from './segments.ts'
import type { Segments } from './segments.ts'
import { placeOf } from './state.ts'

/** What the log's owner knows about a place when a reader is opened there. */
export interface Place {
  readonly topicId: number
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly earliest: number
  readonly next: number
  /** The newest segment at that moment: no older one has anything at or behind `next`. */
  readonly tail: number
}

/** The earliest offsets that this thread was told of; Infinity for a place of a deleted topic. */
export class EarliestOffsets {
  readonly #offsets = new Map<number, number>()
  /** Goes up with every change, so that a reader looks only then. */
  version = 0

  of(place: number): number | undefined {
    return this.#offsets.get(place)
  }

  note(place: number, offset: number): void {
    if (offset <= (this.#offsets.get(place) ?? 0)) return
    this.#offsets.set(place, offset)
    this.version++
  }
}

/** What the thread's client tells its readers. */
export interface ReaderHost {
  readonly segments: Segments
  readonly earliest: EarliestOffsets
  wait(seenLsn: number, signal?: AbortSignal): Promise<void>
  publishedLsn(): number
}

interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly next: number
  readonly tail: number
  offset: number
}

const kindNames = new Map<number, Block['kind']>([
  [sectionKinds.records, 'records'],
  [sectionKinds.control, 'control'],
  [sectionKinds.state, 'state'],
])

export class SegmentReader implements Reader {
  readonly #host: ReaderHost
  readonly #wanted = new Map<number, Wanted>()
  readonly #places = new Map<string, number>()
  /** Where it stands: the segment (undefined: to be located), its map, and the index of the next section in that. */
  #base: number | undefined
  #map: SegmentMap | undefined
  #index = 0
  #seenLsn = -1
  /** Version of the earliest offsets that all positions were compared with. */
  #checked = -1
  #corrupt: ReadResult | undefined

  constructor(host: ReaderHost, places: readonly Place[]) {
    this.#host = host
    for (const place of places) {
      const key = placeOf(place.topicId, place.partition)
      const { topic, partition, offset, next, tail } = place
      this.#wanted.set(key, { topic, partition, offset, next, tail })
      this.#places.set(`${topic}/${partition}`, key)
      const { latest } = host.segments
      latest.set(key, Math.max(latest.get(key) ?? 0, next))
    }
  }

  next(arena: Arena): ReadResult {
    if (this.#corrupt !== undefined) return this.#corrupt
    try {
      return this.#next(arena)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      return this.#fail(`Reading ${error.path} failed with ${error.code}.`, error)
    }
  }

  wait(signal?: AbortSignal): Promise<void> {
    return this.#host.wait(this.#seenLsn, signal)
  }

  seek(from: ReadFrom): void {
    const key = must(
      this.#places.get(`${from.topic}/${from.partition}`),
      'a reader seeks only in its own partitions',
    )
    must(this.#wanted.get(key), 'every place has its position').offset = from.offset
    this.#base = undefined
    this.#checked = -1
  }

  lag(): number {
    this.#host.segments.tryAdvance()
    let lag = 0
    for (const [place, wanted] of this.#wanted) {
      lag += Math.max(0, (this.#host.segments.latest.get(place) ?? 0) - wanted.offset)
    }
    return lag
  }

  end(topic: string, partition: number): number {
    this.#host.segments.tryAdvance()
    const place = this.#places.get(`${topic}/${partition}`)
    return place === undefined ? 0 : (this.#host.segments.latest.get(place) ?? 0)
  }

  close(): void {
    this.#wanted.clear()
  }

  #next(arena: Arena): ReadResult {
    const { segments } = this.#host
    const lsn = this.#host.publishedLsn()
    segments.advance()
    const gone = this.#goneByRetention()
    if (gone !== undefined) return gone
    for (let turns = 0; ; turns++) {
      assert(turns < 1_000_000, 'a reader gets on from segment to segment')
      const base = (this.#base ??= this.#locate())
      const map = segments.map(base)
      if (map === undefined) {
        // Removed or archived under us. What was removed of ours shows as a jump in the offsets further on.
        this.#base = segments.at(base)?.baseLsn ?? segments.tailBase
        continue
      }
      const section = this.#find(map)
      if (section !== undefined) {
        const taken = this.#take(map, section, arena)
        if (taken === undefined) continue
        const shown = taken.result === 'block' ? taken.lsn : 0
        assert(
          shown <= lsn || shown <= this.#host.publishedLsn(),
          'I3, I9: a reader sees nothing before it is published',
        )
        return taken
      }
      if (map.broken !== undefined) return this.#flawed(map, map.end, map.broken)
      if (base === segments.tailBase) {
        this.#seenLsn = lsn
        return this.#missingAtEnd() ?? { result: 'caught-up' }
      }
      const next = segments.at(map.nextLsn)
      const flaw = notAfter(map, next)
      // Retention takes the oldest first: where this one is gone, what followed it may be, too.
      if (flaw !== undefined && !segments.list().some(({ baseLsn }) => baseLsn === base)) {
        this.#base = next?.baseLsn ?? segments.tailBase
        continue
      }
      if (flaw !== undefined || next === undefined)
        return this.#flawed(map, map.end, flaw ?? 'it is cut off')
      this.#base = next.baseLsn
    }
  }

  #locate(): number {
    const { segments } = this.#host
    segments.refresh()
    let base = segments.tailBase
    // Who begins at the end of a partition that little is written to would look through all segments for its records.
    for (const [place, { offset, next, tail }] of this.#wanted)
      base = Math.min(base, offset >= next ? tail : segments.locate(place, offset))
    this.#map = undefined
    return base
  }

  /** The next section that is ours and not read yet. */
  #find(map: SegmentMap): number | undefined {
    if (this.#map !== map) {
      // Another segment, or an archive in the place of the one we were in: what was read is left out by its offsets.
      this.#map = map
      this.#index = 0
    }
    for (; this.#index < map.sections; this.#index++) {
      const wanted = this.#wanted.get(map.places[this.#index]!)
      if (wanted !== undefined && map.nexts[this.#index]! > wanted.offset) return this.#index
    }
    return undefined
  }

  /** Undefined when the segment's file is gone: archived, or removed. */
  #take(map: SegmentMap, i: number, arena: Arena): ReadResult | undefined {
    const wanted = must(this.#wanted.get(map.places[i]!), 'found sections are wanted')
    const baseOffset = map.bases[i]!
    // The embedded log hands out offsets without gaps, so a jump means that what lay between was removed.
    if (baseOffset > wanted.offset) return goneAt(wanted, baseOffset)
    const length = map.lengths[i]!
    if (!arena.fits(length)) return { result: 'arena-full' }
    const bytes = arena.take(length)
    const at = map.ats[i]!
    const read = this.#read(map, bytes, at)
    if (read === undefined) return undefined
    if (read < length) return this.#flawed(map, at, `only ${read} of ${length} bytes are there`)
    if (xxh64(bytes) !== map.hashes[i])
      return this.#flawed(map, at, 'a section does not match its hash', i)
    this.#index = i + 1
    const { topic, partition } = wanted
    const nextOffset = (wanted.offset = map.nexts[i]!)
    const kind = must(kindNames.get(map.kinds[i]!), 'only readable sections are mapped')
    const count = map.counts[i]!
    return {
      result: 'block',
      kind,
      topic,
      partition,
      baseOffset,
      nextOffset,
      count,
      lsn: map.lsns[i]!,
      bytes,
    }
  }

  #read(map: SegmentMap, into: Uint8Array, at: number): number | undefined {
    const { segments } = this.#host
    try {
      return segments.readSection(map, into, at)
    } catch (error) {
      if (!isMissing(error)) throw error
      segments.forget(map.id.baseLsn)
      return undefined
    }
  }

  #goneByRetention(): ReadResult | undefined {
    const { version } = this.#host.earliest
    if (version === this.#checked) return undefined
    for (const [place, wanted] of this.#wanted) {
      const earliest = this.#host.earliest.of(place)
      if (earliest === Infinity) return this.#fail(`Topic "${wanted.topic}" was deleted.`)
      if (earliest !== undefined && wanted.offset < earliest) return goneAt(wanted, earliest)
    }
    this.#checked = version
    return undefined
  }

  /** At the end of the log nothing of ours can be ahead: if offsets say there was something, it was removed. */
  #missingAtEnd(): ReadResult | undefined {
    for (const [place, wanted] of this.#wanted) {
      const latest = this.#host.segments.latest.get(place) ?? 0
      if (wanted.offset < latest) return goneAt(wanted, latest)
    }
    return undefined
  }

  /** Committed data that cannot be read: said once and at every call from then on, never passed over (I6). */
  #flawed(map: SegmentMap, at: number, why: string, section?: number): ReadResult {
    const lsn = section === undefined ? map.nextLsn : map.lsns[section]!
    const file = fileName(map.id)
    const details = { file, offset: at, lsn }
    return this.#fail(`In ${file} at byte ${at} (LSN ${lsn}): ${why}.`, undefined, details)
  }

  #fail(what: string, cause?: unknown, details: Record<string, unknown> = {}): ReadResult {
    this.#corrupt = {
      result: 'corrupt',
      error: new MillraceError('MR2005', what, { cause, details }),
    }
    return this.#corrupt
  }
}

function goneAt(wanted: Wanted, earliest: number): ReadResult {
  return { result: 'gone', topic: wanted.topic, partition: wanted.partition, earliest }
}

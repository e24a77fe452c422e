/**
 * The segment files as readers of one thread see them: which there are, their maps, open files. Shared by all readers
 * of the thread, so that a frame's head is read once per thread. Memory is bounded: the map of the newest segment,
 * and a few of sealed ones.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import {
  decodeSegmentHeader,
  fileName,
  indexName,
  parseFileName,
  sameBytes,
  SEGMENT_HEADER,
} from './format.ts'
import type { SegmentId } from './format.ts'
import type { Published } from './published.ts'
import {
  decodeIndexHeader,
  extendMap,
  INDEX_HEADER,
  indexBytes,
  SegmentMap,
} from './segment-map.ts'
import type { Range } from './segment-map.ts'
import { closeFile, readFully, readUpTo } from './steps.ts'

const OPEN_FILES = 16
const SEALED_MAP_BYTES = 8 * 1024 * 1024
const KEPT_RANGES = 64 * 1024
const WINDOW = 16 * 1024
const SMALL = 4 * 1024

/** The segment that is being written, and its index as it stands. */
export interface NewestSegment {
  readonly id: SegmentId
  readonly index: Uint8Array
}

interface Holding {
  readonly toLsn: number | undefined
  readonly ranges: ReadonlyMap<number, Range>
}

export class Segments {
  readonly #disk: Disk
  readonly #directory: string
  readonly #uuid: Uint8Array
  readonly #published: () => Published
  /** The published end as `advance()` last saw it. Everything else here goes by it, so that one call sees one log. */
  #now: Published
  #ids: readonly SegmentId[] = []
  /** The newest segment this thread knows; its map grows. */
  #tail: SegmentMap | undefined
  readonly #sealed = new Map<number, SegmentMap>()
  #lastUsed: SegmentMap | undefined
  /** What sealed segments hold of each place: small beside their maps, and asked for at every look-up. */
  readonly #ranges = new Map<number, Holding>()
  /** The part of a segment that was read last, for small sections: neighbours are asked for one after the other. */
  readonly #window = new Uint8Array(WINDOW)
  #windowOf: SegmentMap | undefined
  #windowAt = 0
  #windowEnd = 0
  /** By name, the least recently used first. */
  readonly #files = new Map<string, DiskFile>()
  /** Per place, the offset after the last one committed, as far as this thread has looked. */
  readonly latest = new Map<number, number>()

  /** `newest`, where it is given, need not be walked; nothing in it may be beyond the published end. */
  constructor(
    disk: Disk,
    directory: string,
    uuid: Uint8Array,
    published: () => Published,
    newest?: NewestSegment,
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#uuid = uuid
    this.#published = published
    this.#now = published()
    if (newest === undefined) return
    this.#tail = SegmentMap.decode(newest.index, newest.id, uuid)
    for (const [place, { next }] of this.#tail?.ranges() ?? []) this.#note(place, next)
  }

  /** The newest segment a reader may read; what it holds beyond the published end is not in its map. */
  get tailBase(): number {
    return this.#now.segmentBase
  }

  /** Brings the newest map up to the published end. Throws DiskError. */
  advance(): void {
    const published = (this.#now = this.#published())
    const newest = { epoch: published.segmentEpoch, baseLsn: published.segmentBase }
    const tail = this.#tail
    if (tail !== undefined && tail.id.baseLsn !== newest.baseLsn) this.#leave(tail)
    this.#tail ??= this.#begin(newest)
    if (this.#tail.end < published.end) this.#extend(this.#tail, published.end)
  }

  /** The same for who needs no more than is known. False where the disk did not let it look; the next one does. */
  tryAdvance(): boolean {
    try {
      this.advance()
      return true
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      return false
    }
  }

  /** The segment that was the newest is sealed now; others may have come and been sealed since. Can be done again. */
  #leave(tail: SegmentMap): void {
    try {
      this.#extend(tail, undefined)
      this.#keep(tail)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    this.refresh()
    for (const { baseLsn, toLsn } of this.#ids) {
      // An archive may begin before it and hold what came into it unseen by this thread.
      const seen = toLsn === undefined ? baseLsn <= tail.id.baseLsn : toLsn <= tail.nextLsn
      if (seen || baseLsn === this.tailBase) continue
      for (const [place, range] of this.map(baseLsn)?.ranges() ?? []) this.#note(place, range.next)
    }
    this.#tail = undefined
  }

  /** The map of a segment; undefined when its file is gone. Sealed ones come from their index, or from a walk. */
  map(base: number): SegmentMap | undefined {
    if (this.#tail?.id.baseLsn === base) return this.#tail
    const kept = this.#sealed.get(base)
    if (kept !== undefined) {
      // Readers ask for each section, and go through one segment after the other.
      if (kept !== this.#lastUsed) this.#keep(kept)
      return kept
    }
    const id = this.#find(base)
    if (id === undefined) return undefined
    try {
      const map = this.#stored(id) ?? this.#walked(id)
      this.#keep(map)
      return map
    } catch (error) {
      if (!isMissing(error)) throw error
      this.forget(base)
      return undefined
    }
  }

  /** The segment that holds, or held, the frame with this LSN; else the first one behind it. */
  at(lsn: number): SegmentId | undefined {
    const known = this.#covering(lsn)
    if (known?.baseLsn === lsn || known?.toLsn !== undefined) return known
    this.refresh()
    return this.#covering(lsn) ?? this.#ids.find((id) => id.baseLsn > lsn)
  }

  #covering(lsn: number): SegmentId | undefined {
    const id = this.#ids.findLast((other) => other.baseLsn <= lsn)
    return id?.toLsn !== undefined && id.toLsn <= lsn ? undefined : id
  }

  /** All segments that readers may read, oldest first. */
  list(): readonly SegmentId[] {
    this.refresh()
    return this.#ids
  }

  /** Closes files that are gone, because their space is free only then. A disk that does not let us look is left alone. */
  letGo(): void {
    try {
      this.refresh()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
    }
  }

  refresh(): void {
    const { segmentBase, segmentEpoch } = this.#now
    const names = this.#disk.list(this.#directory).map((entry) => entry.name)
    this.#closeAllBut(new Set(names))
    const ids = names
      .map((name) => parseFileName(name))
      .filter((id) => id !== undefined)
      .filter(
        ({ baseLsn: b, epoch }) => b < segmentBase || (b === segmentBase && epoch === segmentEpoch),
      )
    // An archive comes before what it stands for, the widest first; what it stands for is left out.
    const sorted = ids.toSorted((a, b) => a.baseLsn - b.baseLsn || (b.toLsn ?? 0) - (a.toLsn ?? 0))
    const kept: SegmentId[] = []
    for (const id of sorted) if (id.baseLsn >= (kept.at(-1)?.toLsn ?? 0)) kept.push(id)
    this.#ids = kept
    // A map kept from before may be of a segment that has become the beginning of an archive.
    for (const { baseLsn, toLsn } of kept) {
      if (this.#sealed.get(baseLsn)?.id.toLsn !== toLsn) this.#sealed.delete(baseLsn)
    }
  }

  /** Reads bytes of a segment. Fewer than asked for when the file ends. Throws DiskError. */
  read(id: SegmentId, into: Uint8Array, position: number): number {
    return readFully(this.#file(id), into, position)
  }

  /** Reads a section that a map names, like `read`. */
  readSection(map: SegmentMap, into: Uint8Array, at: number): number {
    const { length } = into
    if (length > SMALL || at + length > map.end) return this.read(map.id, into, at)
    if (this.#windowOf !== map || at < this.#windowAt || at + length > this.#windowEnd) {
      // Never beyond the map: what is written there may still change.
      this.#windowOf = undefined
      const window = this.#window.subarray(0, Math.min(WINDOW, map.end - at))
      this.#windowEnd = at + this.read(map.id, window, at)
      this.#windowAt = at
      this.#windowOf = map
    }
    const start = at - this.#windowAt
    const end = Math.min(start + length, this.#windowEnd - this.#windowAt)
    into.set(this.#window.subarray(start, end))
    return end - start
  }

  /**
   * The base of the first segment that holds records of `place` at or after `offset`; else that of the newest. Goes by the
   * list of segments as it was last refreshed.
   */
  locate(place: number, offset: number): number {
    const ids = this.#ids
    let low = 0
    let high = ids.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      // Segments without records of this place say nothing: look at the next that has some. Beginning too early is
      // harmless (the reader walks on), beginning too late would skip records.
      let probe = middle
      while (probe < high && this.#range(ids[probe]!, place) === undefined) probe++
      const range = probe < high ? this.#range(ids[probe]!, place) : undefined
      if (range !== undefined && range.next <= offset) low = probe + 1
      else high = middle
    }
    return ids[low]?.baseLsn ?? this.tailBase
  }

  /** Lets go of a segment whose file turned out to be gone. */
  forget(base: number): void {
    this.#sealed.delete(base)
    this.refresh()
  }

  close(): void {
    for (const file of this.#files.values()) closeFile(file)
    this.#files.clear()
    this.#sealed.clear()
    this.#lastUsed = undefined
    this.#ranges.clear()
    this.#tail = undefined
    this.#windowOf = undefined
  }

  /** Undefined too where the map does not reach the segment's end: what it lacks may be just what is asked for. */
  #range(id: SegmentId, place: number): Range | undefined {
    const kept = this.#ranges.get(id.baseLsn)
    if (kept !== undefined && kept.toLsn === id.toLsn) return kept.ranges.get(place)
    const map = this.map(id.baseLsn)
    if (map === undefined || map.broken !== undefined) return undefined
    const ranges = map.ranges()
    if (map !== this.#tail) {
      if ((this.#ranges.size + 1) * ranges.size > KEPT_RANGES) this.#ranges.clear()
      this.#ranges.set(id.baseLsn, { toLsn: map.id.toLsn, ranges })
    }
    return ranges.get(place)
  }

  #closeAllBut(names: ReadonlySet<string>): void {
    for (const [name, file] of this.#files) {
      if (names.has(name)) continue
      this.#files.delete(name)
      closeFile(file)
    }
  }

  #find(base: number): SegmentId | undefined {
    const known = this.#ids.find((id) => id.baseLsn === base)
    if (known !== undefined) return known
    this.refresh()
    return this.#ids.find((id) => id.baseLsn === base)
  }

  #stored(id: SegmentId): SegmentMap | undefined {
    if (id.toLsn !== undefined) return this.#archived(id)
    const path = `${this.#directory}/${indexName(id)}`
    if (!this.#disk.exists(path)) return undefined
    const file = this.#disk.open(path, 'read')
    try {
      return SegmentMap.decode(readUpTo(file, 0, file.size()), id, this.#uuid)
    } finally {
      file.close()
    }
  }

  #archived(id: SegmentId): SegmentMap {
    const head = new Uint8Array(INDEX_HEADER)
    this.read(id, head, SEGMENT_HEADER)
    const said = indexBytes(decodeIndexHeader(head, id, this.#uuid)?.sections ?? 0)
    // A header that says more than there is must cost no memory (I10).
    const index = new Uint8Array(Math.min(said, this.#file(id).size()))
    this.read(id, index, SEGMENT_HEADER)
    const map = SegmentMap.decode(index, id, this.#uuid)
    if (map !== undefined) return map
    const flawed = new SegmentMap(id, 0n)
    flawed.broken = 'the index of the archive has a flaw'
    return flawed
  }

  #walked(id: SegmentId): SegmentMap {
    const map = this.#begin(id)
    this.#extend(map, undefined)
    return map
  }

  #begin(id: SegmentId): SegmentMap {
    const bytes = new Uint8Array(SEGMENT_HEADER)
    const header = decodeSegmentHeader(bytes.subarray(0, this.read(id, bytes, 0)))
    const map = new SegmentMap(id, header.result === 'segment' ? header.prevHash : 0n)
    if (header.result === 'bad') map.broken = `its header has a flaw: ${header.why}`
    else if (!sameBytes(header.uuid, this.#uuid)) map.broken = 'it belongs to another log'
    else if (header.baseLsn !== id.baseLsn)
      map.broken = `its header says base LSN ${header.baseLsn}`
    return map
  }

  #extend(map: SegmentMap, to: number | undefined): void {
    const file = this.#file(map.id)
    const before = map.sections
    try {
      extendMap(map, file, to ?? file.size())
    } finally {
      for (let i = before; i < map.sections; i++) this.#note(map.places[i]!, map.nexts[i]!)
    }
  }

  #note(place: number, next: number): void {
    if (next > (this.latest.get(place) ?? 0)) this.latest.set(place, next)
  }

  #keep(map: SegmentMap): void {
    this.#lastUsed = map
    this.#sealed.delete(map.id.baseLsn)
    this.#sealed.set(map.id.baseLsn, map)
    let bytes = 0
    for (const kept of this.#sealed.values()) bytes += kept.bytes
    for (const [base, kept] of this.#sealed) {
      if (bytes <= SEALED_MAP_BYTES || this.#sealed.size === 1) break
      this.#sealed.delete(base)
      bytes -= kept.bytes
    }
  }

  #file(id: SegmentId): DiskFile {
    const name = fileName(id)
    const open = this.#files.get(name)
    if (open !== undefined) {
      this.#files.delete(name)
      this.#files.set(name, open)
      return open
    }
    const file = this.#disk.open(`${this.#directory}/${name}`, 'read')
    this.#files.set(name, file)
    if (this.#files.size > OPEN_FILES) {
      const [oldestName, oldest] = this.#files.entries().next().value!
      this.#files.delete(oldestName)
      closeFile(oldest)
    }
    return file
  }
}

/** Why `next` cannot be what follows a whole segment; undefined when it is. */
export function notAfter(map: SegmentMap, next: SegmentId | undefined): string | undefined {
  const lsn = map.nextLsn
  if (next === undefined) return 'the segment after it is missing'
  if (next.baseLsn === lsn || (next.baseLsn < lsn && lsn < (next.toLsn ?? 0))) return undefined
  return `it ends before LSN ${lsn}, the next segment begins at ${next.baseLsn}`
}

export const isMissing = (error: unknown): boolean =>
  error instanceof DiskError && error.code === 'ENOENT'

/**
 * The segment files as readers of one thread see them: which there are, their maps, open files. Shared by all readers
 * of the thread, so that a frame's head is read once per thread. Memory is bounded: the map of the newest segment,
 * and a few of sealed ones.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import {
  decodeSegmentHeader,
  indexName,
  parseSegmentName,
  sameBytes,
  SEGMENT_HEADER,
  segmentName,
} from './format.ts'
import type { SegmentId } from './format.ts'
import type { Published } from './published.ts'
import { extendMap, SegmentMap } from './segment-map.ts'
import type { Range } from './segment-map.ts'
import { readFully, readUpTo } from './steps.ts'

const OPEN_FILES = 16
const SEALED_MAP_BYTES = 16 * 1024 * 1024

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
  readonly #files = new Map<number, DiskFile>()
  /** Per place, the offset after the last one committed, as far as this thread has looked. */
  readonly latest = new Map<number, number>()

  constructor(disk: Disk, directory: string, uuid: Uint8Array, published: () => Published) {
    this.#disk = disk
    this.#directory = directory
    this.#uuid = uuid
    this.#published = published
    this.#now = published()
  }

  /** The newest segment a reader may read; what it holds beyond the published end is not in its map. */
  get tailBase(): number {
    return this.#now.segmentBase
  }

  /** Brings the newest map up to the published end. Throws DiskError. */
  advance(): void {
    const published = (this.#now = this.#published())
    const newest = { epoch: published.segmentEpoch, baseLsn: published.segmentBase }
    try {
      this.#tail ??= this.#begin(newest)
      while (this.#tail.id.baseLsn !== newest.baseLsn && this.#tail.broken === undefined)
        this.#seal(this.#tail)
    } catch (error) {
      // Retention removed what this thread had not looked at for long: begin at the newest. Readers notice by offsets.
      if (!isMissing(error)) throw error
      this.#tail = this.#begin(newest)
    }
    if (this.#tail.id.baseLsn === newest.baseLsn && this.#tail.end < published.end)
      this.#extend(this.#tail, published.end)
  }

  #seal(tail: SegmentMap): void {
    this.#extend(tail, undefined)
    if (tail.broken !== undefined) return
    const next = this.after(tail.id.baseLsn)
    tail.broken = notAfter(tail, next)
    if (next === undefined || tail.broken !== undefined) return
    this.#keep(tail)
    this.#tail = this.#begin(next)
  }

  /** The map of a segment; undefined when its file is gone. Sealed ones come from their index, or from a walk. */
  map(base: number): SegmentMap | undefined {
    if (this.#tail?.id.baseLsn === base) return this.#tail
    const kept = this.#sealed.get(base)
    if (kept !== undefined) {
      this.#keep(kept)
      return kept
    }
    const id = this.#find(base)
    if (id === undefined) return undefined
    try {
      const map = this.#stored(id) ?? this.#walked(id)
      this.#keep(map)
      return map
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** The segment after the one with this base, if there is one that readers may read. */
  after(base: number): SegmentId | undefined {
    const known = this.#ids.find((id) => id.baseLsn > base)
    if (known !== undefined) return known
    if (base >= this.tailBase) return undefined
    this.refresh()
    return this.#ids.find((id) => id.baseLsn > base)
  }

  /** All segments that readers may read, oldest first. */
  list(): readonly SegmentId[] {
    this.refresh()
    return this.#ids
  }

  refresh(): void {
    const { segmentBase, segmentEpoch } = this.#now
    const ids = this.#disk
      .list(this.#directory)
      .map((entry) => parseSegmentName(entry.name))
      .filter((id) => id !== undefined)
      .filter(
        (id) =>
          id.baseLsn < segmentBase || (id.baseLsn === segmentBase && id.epoch === segmentEpoch),
      )
    this.#ids = ids.toSorted((a, b) => a.baseLsn - b.baseLsn)
  }

  /** Reads bytes of a segment. Fewer than asked for when the file ends. Throws DiskError. */
  read(id: SegmentId, into: Uint8Array, position: number): number {
    return readFully(this.#file(id), into, position)
  }

  /** The base of the first segment that holds records of `place` at or after `offset`; else that of the newest. */
  locate(place: number, offset: number): number {
    const ids = this.list()
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

  close(): void {
    for (const file of this.#files.values()) file.close()
    this.#files.clear()
    this.#sealed.clear()
    this.#tail = undefined
  }

  #range(id: SegmentId, place: number): Range | undefined {
    return this.map(id.baseLsn)?.ranges().get(place)
  }

  #find(base: number): SegmentId | undefined {
    const known = this.#ids.find((id) => id.baseLsn === base)
    if (known !== undefined) return known
    this.refresh()
    return this.#ids.find((id) => id.baseLsn === base)
  }

  #stored(id: SegmentId): SegmentMap | undefined {
    const path = `${this.#directory}/${indexName(id.epoch, id.baseLsn)}`
    if (!this.#disk.exists(path)) return undefined
    const file = this.#disk.open(path, 'read')
    try {
      return SegmentMap.decode(readUpTo(file, 0, file.size()), id, this.#uuid)
    } finally {
      file.close()
    }
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
    extendMap(map, file, to ?? file.size())
    for (let i = before; i < map.sections; i++) this.latest.set(map.places[i]!, map.nexts[i]!)
  }

  #keep(map: SegmentMap): void {
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
    const open = this.#files.get(id.baseLsn)
    if (open !== undefined) {
      this.#files.delete(id.baseLsn)
      this.#files.set(id.baseLsn, open)
      return open
    }
    const file = this.#disk.open(`${this.#directory}/${segmentName(id.epoch, id.baseLsn)}`, 'read')
    this.#files.set(id.baseLsn, file)
    if (this.#files.size > OPEN_FILES) {
      const [base, oldest] = this.#files.entries().next().value!
      this.#files.delete(base)
      oldest.close()
    }
    return file
  }
}

/** Why `next` cannot be the segment after a whole one; undefined when it is. */
export function notAfter(map: SegmentMap, next: SegmentId | undefined): string | undefined {
  if (next === undefined) return 'the segment after it is missing'
  if (next.baseLsn !== map.nextLsn)
    return `it ends before LSN ${map.nextLsn}, the next segment begins at ${next.baseLsn}`
  return undefined
}

export const isMissing = (error: unknown): boolean =>
  error instanceof DiskError && error.code === 'ENOENT'

/**
 * The map of one segment: where each frame and each readable section lies, in columns. That of the segment being
 * written grows with it; that of a sealed one is stored beside it (`.idx`), derived from it, and rebuilt when missing.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../core/assert.ts'
import type { DiskFile } from '../../core/env/env.ts'
import {
  decodeHead,
  FORMAT_VERSION,
  FRAME_HEADER,
  sameBytes,
  SEGMENT_HEADER,
  sectionKinds,
} from './format.ts'
import type { Bad, FrameHead, Section, SegmentId } from './format.ts'
import { placeOf } from './state.ts'
import { readUpTo } from './steps.ts'

const INDEX_MAGIC = 0x5849524d
export const INDEX_HEADER = 96
const CHUNK = 16 * 1024

export interface Range {
  /** The offset after its last. */
  next: number
  bytes: number
}

/** Records appended within so much log time leave the newest segment together. */
const AGE_MS = 10 * 60 * 1000

/** Maps that are read from an index bring columns of their own. */
const NO_FLOATS = new Float64Array(0)
const NO_WORDS = new Uint32Array(0)

export class SegmentMap {
  readonly id: SegmentId
  /** Where the next frame begins, its LSN, and the hash it must carry. */
  end = SEGMENT_HEADER
  nextLsn: number
  lastHash: bigint
  maxTime = 0
  maxLogTime = 0
  sections = 0
  /** Set when the bytes at `end` are not the frame that must be there. */
  broken: string | undefined

  /** Per section: its place (topic and partition), offsets, where its bytes are, and of its frame LSN and time. */
  places = NO_FLOATS
  bases = NO_FLOATS
  nexts = NO_FLOATS
  ats = NO_FLOATS
  lsns = NO_FLOATS
  times = NO_FLOATS
  hashes = new BigUint64Array(0)
  counts = NO_WORDS
  lengths = NO_WORDS
  kinds = NO_WORDS
  /** Sections up to `to`, all appended by log time `until`; only of frames that came through `add`. */
  readonly ages: { readonly since: number; until: number; to: number }[] = []
  #ranges: Map<number, Range> | undefined

  constructor(id: SegmentId, prevHash: bigint) {
    this.id = id
    this.nextLsn = id.baseLsn
    this.lastHash = prevHash
  }

  /** Memory it takes, about. */
  get bytes(): number {
    return SECTION_BYTES * this.places.length
  }

  add(head: FrameHead, position: number): void {
    assert(head.lsn === this.nextLsn && position === this.end, 'I4: frames join a map in order')
    for (const section of head.sections) {
      const { kind } = section
      if (
        kind !== sectionKinds.records &&
        kind !== sectionKinds.control &&
        kind !== sectionKinds.state
      )
        continue
      const at = position + section.at
      this.addSection({ ...section, at, lsn: head.lsn, time: head.time })
    }
    this.end = position + head.length
    this.nextLsn = head.lsn + 1
    this.lastHash = head.hash
    this.maxTime = Math.max(this.maxTime, head.time)
    this.maxLogTime = Math.max(this.maxLogTime, head.logTime)
    this.#ranges = undefined
    const age = this.ages.at(-1)
    if (age !== undefined && head.logTime - age.since < AGE_MS) {
      age.until = head.logTime
      age.to = this.sections
    } else this.ages.push({ since: head.logTime, until: head.logTime, to: this.sections })
  }

  addSection(section: MappedSection): void {
    const i = this.sections++
    if (i === this.places.length) this.#grow()
    this.places[i] = placeOf(section.topic, section.partition)
    this.bases[i] = section.baseOffset
    this.nexts[i] = section.nextOffset
    this.ats[i] = section.at
    this.lsns[i] = section.lsn
    this.times[i] = section.time
    this.hashes[i] = section.hash
    this.counts[i] = section.count
    this.lengths[i] = section.length
    this.kinds[i] = section.kind
  }

  /** What the segment holds of each place. */
  ranges(): ReadonlyMap<number, Range> {
    return (this.#ranges ??= this.rangesOf(0, this.sections, () => true))
  }

  /** What sections `from` to `to` hold of each place, but for those that are not `live`. */
  rangesOf(
    from: number,
    to: number,
    live: (place: number, next: number) => boolean,
  ): Map<number, Range> {
    const ranges = new Map<number, Range>()
    for (let i = from; i < to; i++) {
      const place = this.places[i]!
      const next = this.nexts[i]!
      if (!live(place, next)) continue
      const range = ranges.get(place)
      if (range === undefined) ranges.set(place, { next, bytes: this.lengths[i]! })
      else {
        range.next = next
        range.bytes += this.lengths[i]!
      }
    }
    return ranges
  }

  #grow(): void {
    const old = this.#columns()
    const room = Math.max(64, 2 * this.places.length)
    this.#lay(new ArrayBuffer(room * SECTION_BYTES), 0, room)
    for (const [i, column] of this.#columns().entries()) bytesOf(column).set(bytesOf(old[i]!))
  }

  #columns(): Column[] {
    const wide = [this.places, this.bases, this.nexts, this.ats, this.lsns, this.times, this.hashes]
    return [...wide, this.counts, this.lengths, this.kinds]
  }

  encode(uuid: Uint8Array): Uint8Array {
    const out = new Uint8Array(indexBytes(this.sections))
    const view = new DataView(out.buffer)
    view.setUint32(0, INDEX_MAGIC, true)
    view.setUint32(8, FORMAT_VERSION, true)
    view.setUint32(12, this.id.epoch, true)
    out.set(uuid, 16)
    view.setFloat64(32, this.id.baseLsn, true)
    view.setFloat64(40, this.nextLsn, true)
    view.setFloat64(48, this.end, true)
    view.setBigUint64(56, this.lastHash, true)
    view.setUint32(68, this.sections, true)
    view.setFloat64(72, this.maxTime, true)
    view.setFloat64(80, this.maxLogTime, true)
    let at = INDEX_HEADER
    for (const column of this.#columns()) {
      const bytes = bytesOf(column).subarray(0, this.sections * column.BYTES_PER_ELEMENT)
      out.set(bytes, at)
      at += bytes.length
    }
    view.setUint32(88, crc32(out.subarray(INDEX_HEADER)), true)
    view.setUint32(4, crc32(out.subarray(8, INDEX_HEADER)), true)
    return out
  }

  /** Undefined when the bytes are not the index of this segment; it can be rebuilt then. */
  static decode(bytes: Uint8Array, id: SegmentId, uuid: Uint8Array): SegmentMap | undefined {
    const header = decodeIndexHeader(bytes, id, uuid)
    if (header === undefined || bytes.length !== indexBytes(header.sections)) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (view.getUint32(88, true) !== crc32(bytes.subarray(INDEX_HEADER))) return undefined
    const map = new SegmentMap(id, header.lastHash)
    map.nextLsn = header.nextLsn
    map.end = header.end
    map.maxTime = header.maxTime
    map.maxLogTime = header.maxLogTime
    map.sections = header.sections
    map.#load(bytes)
    return map.#consistent() ? map : undefined
  }

  #load(bytes: Uint8Array): void {
    // Columns are views of the bytes, which must be aligned for that.
    const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes)
    const buffer = aligned.buffer as ArrayBuffer
    this.#lay(buffer, aligned.byteOffset + INDEX_HEADER, this.sections)
  }

  /** Columns of `n` sections each, one behind another, widest first. */
  #lay(buffer: ArrayBuffer, from: number, n: number): void {
    let at = from
    const next = (width: number): number => (at += n * width) - n * width
    this.places = new Float64Array(buffer, next(8), n)
    this.bases = new Float64Array(buffer, next(8), n)
    this.nexts = new Float64Array(buffer, next(8), n)
    this.ats = new Float64Array(buffer, next(8), n)
    this.lsns = new Float64Array(buffer, next(8), n)
    this.times = new Float64Array(buffer, next(8), n)
    this.hashes = new BigUint64Array(buffer, next(8), n)
    this.counts = new Uint32Array(buffer, next(4), n)
    this.lengths = new Uint32Array(buffer, next(4), n)
    this.kinds = new Uint32Array(buffer, next(4), n)
  }

  #consistent(): boolean {
    if (!Number.isSafeInteger(this.nextLsn) || !Number.isSafeInteger(this.end)) return false
    for (let i = 0; i < this.sections; i++) {
      const at = this.ats[i]!
      const lsn = this.lsns[i]!
      if (!(at >= SEGMENT_HEADER && at + this.lengths[i]! <= this.end)) return false
      if (!(lsn >= this.id.baseLsn && lsn < this.nextLsn)) return false
      if (!(this.nexts[i]! >= this.bases[i]!)) return false
    }
    return true
  }
}

/** A section as a map has it: where its bytes are in the file, and of its frame what is still needed. */
export interface MappedSection extends Section {
  readonly lsn: number
  readonly time: number
}

/** What the head of an index says of its segment; enough to check a sealed segment without reading it. */
export interface IndexHeader {
  readonly nextLsn: number
  readonly end: number
  readonly lastHash: bigint
  readonly maxTime: number
  readonly maxLogTime: number
  readonly sections: number
}

export function decodeIndexHeader(
  bytes: Uint8Array,
  id: SegmentId,
  uuid: Uint8Array,
): IndexHeader | undefined {
  if (bytes.length < INDEX_HEADER) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== INDEX_MAGIC || view.getUint32(8, true) !== FORMAT_VERSION)
    return undefined
  if (view.getUint32(4, true) !== crc32(bytes.subarray(8, INDEX_HEADER))) return undefined
  if (view.getUint32(12, true) !== id.epoch || view.getFloat64(32, true) !== id.baseLsn)
    return undefined
  if (!sameBytes(bytes.subarray(16, 32), uuid)) return undefined
  return {
    nextLsn: view.getFloat64(40, true),
    end: view.getFloat64(48, true),
    lastHash: view.getBigUint64(56, true),
    sections: view.getUint32(68, true),
    maxTime: view.getFloat64(72, true),
    maxLogTime: view.getFloat64(80, true),
  }
}

type Column = Float64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

const SECTION_BYTES = 68

export const indexBytes = (sections: number): number => INDEX_HEADER + sections * SECTION_BYTES

const bytesOf = ({ buffer, byteOffset, byteLength }: Column): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** Reads frame heads of one file, a chunk at a time. */
export class HeadReader {
  readonly #file: DiskFile
  #chunk: Uint8Array = new Uint8Array(0)
  #chunkAt = 0

  constructor(file: DiskFile) {
    this.#file = file
  }

  /** The head of the frame at `position`, of which nothing at or beyond `to` may be part. */
  read(position: number, to: number): FrameHead | Bad {
    let head = position < this.#chunkAt ? SHORT : decodeHead(this.#chunk, position - this.#chunkAt)
    for (let need = 0; head.result === 'short' && head.need > need;) {
      need = head.need
      this.#chunk = readUpTo(this.#file, position, Math.min(Math.max(CHUNK, need), to - position))
      this.#chunkAt = position
      head = decodeHead(this.#chunk, 0)
    }
    return head.result === 'short' ? { result: 'bad', why: 'the file ends inside a frame' } : head
  }
}

const SHORT = { result: 'short', need: FRAME_HEADER } as const

/**
 * Walks frame heads from where the map ends up to `to`, adding them. What is not the next frame of the chain stops
 * it: `map.broken` says why. Sections are not read here; whoever reads one verifies it.
 */
export function extendMap(map: SegmentMap, file: DiskFile, to: number): void {
  const heads = new HeadReader(file)
  while (map.broken === undefined && map.end < to) {
    const head = heads.read(map.end, to)
    map.broken = head.result === 'bad' ? head.why : misplaced(map, head, to)
    if (map.broken === undefined && head.result === 'frame') map.add(head, map.end)
  }
}

/** Why a sound head is not the next one of this segment; undefined when it is. */
export function misplaced(map: SegmentMap, head: FrameHead, to: number): string | undefined {
  if (head.lsn !== map.nextLsn) return `LSN ${head.lsn} where ${map.nextLsn} must be`
  if (head.prevHash !== map.lastHash) return 'it does not follow the frame before it'
  if (map.end + head.length > to) return `it ends at ${map.end + head.length}, beyond ${to}`
  return undefined
}

/** A segment that takes no more frames. */
export interface SealedFact {
  readonly id: SegmentId
  readonly lastLsn: number
  readonly bytes: number
  readonly maxLogTime: number
}

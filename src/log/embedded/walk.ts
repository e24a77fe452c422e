/**
 * Walks everything in the files of a log, for people and for repair: frame by frame, sections verified, and behind a
 * flaw on from the next sound frame. It only reads, and no bytes make it throw: what the disk does not give is a flaw.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import { xxh64 } from '../../core/hash.ts'
import {
  decodeSegmentHeader,
  FRAME_MAGIC,
  indexName,
  parseFileName,
  SEGMENT_HEADER,
} from './format.ts'
import type { Bad, FrameHead, SegmentHeader, SegmentId } from './format.ts'
import {
  decodeIndexHeader,
  HeadReader,
  INDEX_HEADER,
  indexBytes,
  SegmentMap,
} from './segment-map.ts'
import type { MappedSection } from './segment-map.ts'
import { placeParts } from './state.ts'
import { readUpTo } from './steps.ts'

/** All that inspection may do with a disk; nothing of it writes. */
export type ReadableDisk = Pick<Disk, 'exists' | 'list' | 'stat' | 'space'> & {
  open(path: string, mode: 'read'): DiskFile
}

export interface Unit {
  readonly id: SegmentId
  readonly name: string
  readonly path: string
  readonly size: number
  readonly header: SegmentHeader | Bad
}

/** A section with its bytes where they match their hash, else why not. `at` is its byte in the file. */
export interface FoundSection {
  readonly section: MappedSection
  readonly bytes: Uint8Array | undefined
  readonly why: string | undefined
}

export type Found =
  | {
      readonly found: 'commit'
      readonly lsn: number
      readonly at: number
      /** Undefined where only its sections are left: in an archive, or where an index led to them. */
      readonly head: FrameHead | undefined
      readonly sections: readonly FoundSection[]
      /** Where the next one begins. */
      readonly end: number
    }
  /** Bytes `at` to `to` are no frames: LSNs from `lsn` up to below `toLsn` (undefined: to the end) are not in them. */
  | {
      readonly found: 'flaw'
      readonly at: number
      readonly to: number
      readonly lsn: number
      readonly toLsn: number | undefined
      readonly why: string
    }

/** Files that hold frames, in order of LSN. Throws DiskError where the folder cannot be listed. */
export function listUnits(disk: ReadableDisk, directory: string): Unit[] {
  const units: Unit[] = []
  for (const { name } of disk.list(`${directory}/log`)) {
    const id = parseFileName(name)
    if (id === undefined) continue
    const path = `${directory}/log/${name}`
    try {
      const { size } = disk.stat(path)
      const page = bytesAt(disk, path, 0, SEGMENT_HEADER)
      const kind = id.toLsn === undefined ? 'segment' : 'archive'
      const header: SegmentHeader | Bad =
        typeof page === 'string' ? { result: 'bad', why: page } : decodeSegmentHeader(page, kind)
      units.push({ id, name, path, size, header })
    } catch (error) {
      // An engine that runs removed it between the listing and the look.
      if (!(error instanceof DiskError) || error.code !== 'ENOENT') throw error
    }
  }
  return units.toSorted((a, b) => a.id.baseLsn - b.id.baseLsn)
}

/** What is in a unit up to byte `to`. Throws DiskError only where the file is gone. */
export function* walkUnit(disk: ReadableDisk, unit: Unit, to: number): Generator<Found, Walked> {
  const file = disk.open(unit.path, 'read')
  try {
    return unit.id.toLsn === undefined
      ? yield* walkSegment(disk, unit, file, to)
      : yield* walkArchive(unit, unit.id.toLsn, file)
  } finally {
    file.close()
  }
}

/** The LSN behind a unit as far as it was read, and the hash that the next one must carry where it is known. */
export interface Walked {
  readonly nextLsn: number
  readonly hash: bigint | undefined
}

function* walkSegment(
  disk: ReadableDisk,
  unit: Unit,
  file: DiskFile,
  to: number,
): Generator<Found, Walked> {
  const heads = new HeadReader(file)
  let hash = unit.header.result === 'bad' ? undefined : unit.header.prevHash
  let lsn = unit.id.baseLsn
  let at = SEGMENT_HEADER
  while (at < to) {
    const head = headAt(heads, at, to)
    const why = head.result === 'bad' ? head.why : misfit(head, lsn, hash, at, to)
    if (head.result === 'frame' && why === undefined) {
      const sections = head.sections.map((s) =>
        readSection(file, { ...s, at: at + s.at, lsn: head.lsn, time: head.time }),
      )
      yield { found: 'commit', lsn, at, head, sections, end: at + head.length }
      at += head.length
      lsn = head.lsn + 1
      ;({ hash } = head)
      continue
    }
    const next = nextHead(file, at + 8, to, lsn)
    const end = next?.at ?? to
    const map = storedIndex(disk, unit)
    const toLsn = next?.lsn ?? map?.nextLsn
    yield { found: 'flaw', at, to: end, lsn, toLsn, why: why ?? 'it is no frame' }
    // Sections that the index still knows; of a file that was cut off, also those behind its end.
    const wanted = (from: number): boolean => from >= at && from < (next?.at ?? Infinity)
    if (map !== undefined) yield* commitsOf(file, map, wanted)
    hash = undefined
    at = end
    lsn = toLsn ?? lsn
  }
  return { nextLsn: lsn, hash }
}

function misfit(
  head: FrameHead,
  lsn: number,
  hash: bigint | undefined,
  at: number,
  to: number,
): string | undefined {
  if (head.lsn !== lsn) return `LSN ${head.lsn} where ${lsn} must be`
  if (hash !== undefined && head.prevHash !== hash) return 'it does not follow the frame before it'
  return at + head.length > to ? `it ends at ${at + head.length}, beyond ${to}` : undefined
}

/** The index stored beside a segment; undefined where it is missing or does not fit. */
export function storedIndex(
  disk: ReadableDisk,
  { id, path, header }: Unit,
): SegmentMap | undefined {
  if (header.result === 'bad') return undefined
  const beside = `${path.slice(0, path.lastIndexOf('/'))}/${indexName(id)}`
  if (!disk.exists(beside)) return undefined
  const bytes = bytesAt(disk, beside, 0, Infinity)
  return typeof bytes === 'string' ? undefined : SegmentMap.decode(bytes, id, header.uuid)
}

function* walkArchive(unit: Unit, toLsn: number, file: DiskFile): Generator<Found, Walked> {
  const map = archiveMap(unit, file)
  if (map === undefined) {
    const why = 'the index of the archive has a flaw, and nothing else says what is in it'
    const { baseLsn } = unit.id
    yield { found: 'flaw', at: SEGMENT_HEADER, to: unit.size, lsn: baseLsn, toLsn, why }
    return { nextLsn: toLsn, hash: undefined }
  }
  yield* commitsOf(file, map, () => true)
  return { nextLsn: toLsn, hash: map.lastHash }
}

function archiveMap({ id, header }: Unit, file: DiskFile): SegmentMap | undefined {
  if (header.result === 'bad') return undefined
  const map = openedMap(file, SEGMENT_HEADER, id, header.uuid)
  return map?.nextLsn === id.toLsn ? map : undefined
}

/** The index at byte `at` of a file; undefined where it is not readable. */
export function openedMap(
  file: DiskFile,
  at: number,
  id: SegmentId,
  uuid: Uint8Array,
): SegmentMap | undefined {
  const head = tryRead(file, at, INDEX_HEADER)
  if (typeof head === 'string') return undefined
  const decoded = decodeIndexHeader(head, id, uuid)
  if (decoded === undefined || at + indexBytes(decoded.sections) > file.size()) return undefined
  const bytes = tryRead(file, at, indexBytes(decoded.sections))
  return typeof bytes === 'string' ? undefined : SegmentMap.decode(bytes, id, uuid)
}

/** Sections of a map as commits without heads: those of one LSN together. */
function* commitsOf(
  file: DiskFile,
  map: SegmentMap,
  wanted: (at: number) => boolean,
): Generator<Found> {
  let sections: FoundSection[] = []
  const commit = (): Found | undefined => {
    const [first, last] = [sections[0]?.section, sections.at(-1)?.section]
    if (first === undefined || last === undefined) return undefined
    const end = last.at + last.length
    return { found: 'commit', lsn: first.lsn, at: first.at, head: undefined, sections, end }
  }
  for (let i = 0; i < map.sections; i++) {
    if (!wanted(map.ats[i]!)) continue
    const section = mapped(map, i)
    if (sections.length > 0 && sections[0]!.section.lsn !== section.lsn) {
      yield commit()!
      sections = []
    }
    sections.push(readSection(file, section))
  }
  const rest = commit()
  if (rest !== undefined) yield rest
}

function mapped(map: SegmentMap, i: number): MappedSection {
  return {
    ...placeParts(map.places[i]!),
    kind: map.kinds[i]!,
    count: map.counts[i]!,
    baseOffset: map.bases[i]!,
    nextOffset: map.nexts[i]!,
    length: map.lengths[i]!,
    hash: map.hashes[i]!,
    at: map.ats[i]!,
    lsn: map.lsns[i]!,
    time: map.times[i]!,
  }
}

function readSection(file: DiskFile, section: MappedSection): FoundSection {
  const bytes = tryRead(file, section.at, section.length)
  if (typeof bytes === 'string') return { section, bytes: undefined, why: bytes }
  const why =
    bytes.length < section.length
      ? `only ${bytes.length} of its ${section.length} bytes are there`
      : xxh64(bytes) === section.hash
        ? undefined
        : 'its bytes do not match their hash'
  return { section, bytes: why === undefined ? bytes : undefined, why }
}

const SEARCH = 1024 * 1024

/** The next sound head behind a flaw that can be of this segment: its LSN goes on from `lsn`. */
function nextHead(
  file: DiskFile,
  from: number,
  to: number,
  lsn: number,
): { readonly at: number; readonly lsn: number } | undefined {
  const magic = new Uint8Array(new Uint32Array([FRAME_MAGIC]).buffer)
  const heads = new HeadReader(file)
  for (let start = from; start < to; start += SEARCH) {
    const bytes = tryRead(file, start, Math.min(SEARCH + 4, to - start))
    if (typeof bytes === 'string') continue
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let hit = chunk.indexOf(magic); hit !== -1; hit = chunk.indexOf(magic, hit + 1)) {
      const at = start + hit
      if (at % 8 !== 0) continue
      const head = headAt(heads, at, to)
      if (head.result === 'frame' && head.lsn >= lsn && at + head.length <= to)
        return { at, lsn: head.lsn }
    }
  }
  return undefined
}

function headAt(heads: HeadReader, at: number, to: number): FrameHead | Bad {
  try {
    return heads.read(at, to)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return { result: 'bad', why: refused(error) }
  }
}

const refused = (error: DiskError): string => `the disk does not give it back (${error.code})`

/** The bytes, fewer at the end of the file; a sentence where the disk does not give them. */
function tryRead(file: DiskFile, at: number, length: number): Uint8Array | string {
  try {
    return readUpTo(file, at, length)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return refused(error)
  }
}

/** Like `tryRead`, of a file by its name. A file that is gone is thrown: whoever looks has to look again. */
export function bytesAt(
  disk: ReadableDisk,
  path: string,
  at: number,
  length: number,
): Uint8Array | string {
  const file = disk.open(path, 'read')
  try {
    return tryRead(file, at, Math.min(length, Math.max(0, file.size() - at)))
  } finally {
    file.close()
  }
}

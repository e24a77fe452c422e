/**
 * Bytes on disk, version 1. Little-endian; every structure starts 8-byte aligned. LSNs, offsets, groups and times are
 * f64 (integers below 2^53). The decoders are total: hostile bytes give a named result, never an exception and never
 * a read outside what was passed.
 *
 * SUPER.0/1  0 magic · 4 crc32(8..96) · 8 u32 format version · 12 u32 incompat · 16 u32 roCompat · 20 u32 epoch
 *            24 uuid[16] · 40 f64 sequence · 48 f64 checkpoint lsn · 56 f64 checkpoint segment · 64 f64 its position
 * MARK       two slots, 4 KiB apart, so that writing one can never tear the other:
 *            0 magic · 4 crc32(8..64) · 8 uuid[16] · 24 u32 epoch · 28 u32 segment epoch · 32 f64 lsn
 *            40 f64 segment base · 48 f64 end · 56 f64 sequence
 * segment    0 magic · 4 crc32(8..64) · 8 u32 format version · 12 u32 epoch · 16 uuid[16] · 32 f64 base lsn
 *            40 u64 hash of the frame before · frames from 4096
 * archive    header as of a segment, with its own magic, and 48 u32 length · 52 crc32 · 64 JSON: the files it stands for
 *            from 4096 the index (segment-map.ts) · the sections it names
 * frame      0 magic · 4 crc32(8..end of directory) · 8 f64 lsn · 16 u32 epoch · 20 u32 sections · 24 f64 group
 *            32 u32 writer · 36 u32 writer epoch · 40 f64 commit number · 48 f64 length · 56 u64 hash of the frame before
 *            64 f64 append time (ms) · 72 f64 log time (ms) · 80 directory · sections, each padded to 8
 * directory  0 u16 kind · 2 u16 0 · 4 u32 topic · 8 u32 partition · 12 u32 count · 16 f64 base offset
 *            24 f64 next offset · 32 u32 length · 36 u32 0 · 40 u64 XXH64 of the section
 */
import { crc32 } from 'node:zlib'
import { xxh64 } from '../../core/hash.ts'
import { limits } from '../../limits.ts'

export const FORMAT_VERSION = 1
export const SUPER_BYTES = 96
export const MARK_BYTES = 64
export const MARK_SLOT = 4096
export const SEGMENT_HEADER = 4096
export const FRAME_HEADER = 80
export const ENTRY_BYTES = 48

const SUPER_MAGIC = 0x4253524d
const MARK_MAGIC = 0x4b4d524d
const SEGMENT_MAGIC = 0x4753524d
const ARCHIVE_MAGIC = 0x4341524d
export const FRAME_MAGIC = 0x5246524d

export const sectionKinds = {
  records: 1,
  control: 2,
  state: 3,
  positions: 4,
  changes: 5,
  checkpoint: 6,
} as const

export const align8 = (n: number): number => Math.ceil(n / 8) * 8
export const headBytes = (sections: number): number => FRAME_HEADER + sections * ENTRY_BYTES

export type Bad = { readonly result: 'bad'; readonly why: string }
const bad = (why: string): Bad => ({ result: 'bad', why })

export interface Super {
  readonly result: 'super'
  readonly version: number
  readonly incompat: number
  readonly roCompat: number
  readonly epoch: number
  readonly uuid: Uint8Array
  readonly sequence: number
  readonly checkpointLsn: number
  readonly checkpointSegment: number
  readonly checkpointPosition: number
}

export interface Mark {
  readonly result: 'mark'
  readonly uuid: Uint8Array
  readonly epoch: number
  readonly segmentEpoch: number
  readonly lsn: number
  readonly segmentBase: number
  readonly end: number
  readonly sequence: number
}

export interface SegmentHeader {
  readonly result: 'segment'
  readonly version: number
  readonly epoch: number
  readonly uuid: Uint8Array
  readonly baseLsn: number
  readonly prevHash: bigint
  /** Names of the files that an archive stands for; none for a segment. At most 4,024 bytes as JSON. */
  readonly members: readonly string[]
}

export interface Section {
  readonly kind: number
  readonly topic: number
  readonly partition: number
  readonly count: number
  readonly baseOffset: number
  readonly nextOffset: number
  readonly length: number
  readonly hash: bigint
  /** From the start of the frame. */
  readonly at: number
}

export interface FrameHead {
  readonly result: 'frame'
  readonly lsn: number
  readonly epoch: number
  readonly group: number
  readonly writer: number
  readonly writerEpoch: number
  readonly commitNumber: number
  /** The whole frame, head and padding included. */
  readonly length: number
  readonly prevHash: bigint
  /** The wall clock when it was appended (ms); may jump either way from frame to frame. */
  readonly time: number
  /** The log's own time (ms), which never jumps: see LogClock. */
  readonly logTime: number
  readonly sections: readonly Section[]
  /** XXH64 of header and directory: what the next frame carries as `prevHash`. */
  readonly hash: bigint
}

const whole = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function sealed(bytes: Uint8Array, magic: number, end: number): Uint8Array {
  const view = viewOf(bytes)
  view.setUint32(0, magic, true)
  view.setUint32(4, crc32(bytes.subarray(8, end)), true)
  return bytes
}

/** Why `bytes` are not a structure with this magic and a right checksum; undefined when they are. */
function flaw(bytes: Uint8Array, magic: number, end: number): string | undefined {
  if (bytes.length < end) return `only ${bytes.length} of ${end} bytes`
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== magic) return 'wrong magic'
  if (view.getUint32(4, true) !== crc32(bytes.subarray(8, end))) return 'wrong checksum'
  return undefined
}

export function encodeSuper(s: Omit<Super, 'result'>): Uint8Array {
  const bytes = new Uint8Array(SUPER_BYTES)
  const view = viewOf(bytes)
  view.setUint32(8, s.version, true)
  view.setUint32(12, s.incompat, true)
  view.setUint32(16, s.roCompat, true)
  view.setUint32(20, s.epoch, true)
  bytes.set(s.uuid, 24)
  view.setFloat64(40, s.sequence, true)
  view.setFloat64(48, s.checkpointLsn, true)
  view.setFloat64(56, s.checkpointSegment, true)
  view.setFloat64(64, s.checkpointPosition, true)
  return sealed(bytes, SUPER_MAGIC, SUPER_BYTES)
}

export function decodeSuper(bytes: Uint8Array): Super | Bad {
  const why = flaw(bytes, SUPER_MAGIC, SUPER_BYTES)
  if (why !== undefined) return bad(why)
  const view = viewOf(bytes)
  const s: Super = {
    result: 'super',
    version: view.getUint32(8, true),
    incompat: view.getUint32(12, true),
    roCompat: view.getUint32(16, true),
    epoch: view.getUint32(20, true),
    uuid: bytes.slice(24, 40),
    sequence: view.getFloat64(40, true),
    checkpointLsn: view.getFloat64(48, true),
    checkpointSegment: view.getFloat64(56, true),
    checkpointPosition: view.getFloat64(64, true),
  }
  const numbers = [s.sequence, s.checkpointLsn, s.checkpointSegment, s.checkpointPosition]
  return numbers.every(whole) ? s : bad('a number that is not a whole number')
}

export function encodeMark(m: Omit<Mark, 'result'>): Uint8Array {
  const bytes = new Uint8Array(MARK_BYTES)
  const view = viewOf(bytes)
  bytes.set(m.uuid, 8)
  view.setUint32(24, m.epoch, true)
  view.setUint32(28, m.segmentEpoch, true)
  view.setFloat64(32, m.lsn, true)
  view.setFloat64(40, m.segmentBase, true)
  view.setFloat64(48, m.end, true)
  view.setFloat64(56, m.sequence, true)
  return sealed(bytes, MARK_MAGIC, MARK_BYTES)
}

export function decodeMark(bytes: Uint8Array): Mark | Bad {
  const why = flaw(bytes, MARK_MAGIC, MARK_BYTES)
  if (why !== undefined) return bad(why)
  const view = viewOf(bytes)
  const m: Mark = {
    result: 'mark',
    uuid: bytes.slice(8, 24),
    epoch: view.getUint32(24, true),
    segmentEpoch: view.getUint32(28, true),
    lsn: view.getFloat64(32, true),
    segmentBase: view.getFloat64(40, true),
    end: view.getFloat64(48, true),
    sequence: view.getFloat64(56, true),
  }
  return [m.lsn, m.segmentBase, m.end, m.sequence].every(whole)
    ? m
    : bad('a number that is not a whole number')
}

/** The newest valid slot of a MARK file, and which slot it is. */
export function newestMark(
  file: Uint8Array,
): { readonly mark: Mark; readonly slot: 0 | 1 } | undefined {
  const slots = [0, 1].map((i) =>
    decodeMark(file.subarray(i * MARK_SLOT, i * MARK_SLOT + MARK_BYTES)),
  )
  const [a, b] = slots
  if (a?.result === 'mark' && (b?.result !== 'mark' || a.sequence > b.sequence))
    return { mark: a, slot: 0 }
  return b?.result === 'mark' ? { mark: b, slot: 1 } : undefined
}

/** The header of a segment, or of an archive of segments. */
export function encodeSegmentHeader(
  h: Omit<SegmentHeader, 'result'>,
  kind: 'segment' | 'archive' = 'segment',
): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER)
  const view = viewOf(bytes)
  view.setUint32(8, h.version, true)
  view.setUint32(12, h.epoch, true)
  bytes.set(h.uuid, 16)
  view.setFloat64(32, h.baseLsn, true)
  view.setBigUint64(40, h.prevHash, true)
  const names = new TextEncoder().encode(JSON.stringify(h.members))
  view.setUint32(48, names.length, true)
  view.setUint32(52, crc32(names), true)
  bytes.set(names, 64)
  return sealed(bytes, kind === 'segment' ? SEGMENT_MAGIC : ARCHIVE_MAGIC, 64)
}

export function decodeSegmentHeader(
  bytes: Uint8Array,
  kind: 'segment' | 'archive' = 'segment',
): SegmentHeader | Bad {
  if (bytes.length < SEGMENT_HEADER) return bad(`only ${bytes.length} of ${SEGMENT_HEADER} bytes`)
  const why = flaw(bytes, kind === 'segment' ? SEGMENT_MAGIC : ARCHIVE_MAGIC, 64)
  if (why !== undefined) return bad(why)
  const view = viewOf(bytes)
  const baseLsn = view.getFloat64(32, true)
  if (!whole(baseLsn)) return bad('a base LSN that is not a whole number')
  const members = membersOf(bytes, view)
  if (members === undefined) return bad('a flaw in the list of what it stands for')
  return {
    result: 'segment',
    version: view.getUint32(8, true),
    epoch: view.getUint32(12, true),
    uuid: bytes.slice(16, 32),
    baseLsn,
    prevHash: view.getBigUint64(40, true),
    members,
  }
}

function membersOf(page: Uint8Array, view: DataView): readonly string[] | undefined {
  const names = page.subarray(64, 64 + view.getUint32(48, true))
  if (view.getUint32(52, true) !== crc32(names)) return undefined
  try {
    const members: unknown = JSON.parse(new TextDecoder().decode(names))
    return Array.isArray(members) && members.every((m) => typeof m === 'string')
      ? members
      : undefined
  } catch {
    return undefined
  }
}

/** What the log thread adds to a head that a writer laid out. */
export interface FrameStamp {
  readonly lsn: number
  readonly epoch: number
  readonly group: number
  readonly writer: number
  readonly writerEpoch: number
  readonly commitNumber: number
  readonly payloadBytes: number
  readonly prevHash: bigint
  readonly time: number
  readonly logTime: number
}

/** A head with room for `sections` entries; entries by `putEntry`, the rest by `stampHead`. */
export function newHead(sections: number): Uint8Array {
  const head = new Uint8Array(headBytes(sections))
  viewOf(head).setUint32(20, sections, true)
  return head
}

export function putEntry(head: Uint8Array, i: number, s: Omit<Section, 'at'>): void {
  const view = viewOf(head)
  const at = headBytes(i)
  view.setUint16(at, s.kind, true)
  view.setUint32(at + 4, s.topic, true)
  view.setUint32(at + 8, s.partition, true)
  view.setUint32(at + 12, s.count, true)
  view.setFloat64(at + 16, s.baseOffset, true)
  view.setFloat64(at + 24, s.nextOffset, true)
  view.setUint32(at + 32, s.length, true)
  view.setBigUint64(at + 40, s.hash, true)
}

/** Sets what only the log thread knows about an entry. */
export function placeEntry(
  head: Uint8Array,
  i: number,
  topic: number,
  baseOffset: number,
  nextOffset: number,
): void {
  const view = viewOf(head)
  const at = headBytes(i)
  view.setUint32(at + 4, topic, true)
  view.setFloat64(at + 16, baseOffset, true)
  view.setFloat64(at + 24, nextOffset, true)
}

/** Completes a head; returns its hash, the next frame's `prevHash`. */
export function stampHead(head: Uint8Array, stamp: FrameStamp): bigint {
  const view = viewOf(head)
  view.setFloat64(8, stamp.lsn, true)
  view.setUint32(16, stamp.epoch, true)
  view.setFloat64(24, stamp.group, true)
  view.setUint32(32, stamp.writer, true)
  view.setUint32(36, stamp.writerEpoch, true)
  view.setFloat64(40, stamp.commitNumber, true)
  view.setFloat64(48, head.length + stamp.payloadBytes, true)
  view.setBigUint64(56, stamp.prevHash, true)
  view.setFloat64(64, stamp.time, true)
  view.setFloat64(72, stamp.logTime, true)
  sealed(head, FRAME_MAGIC, head.length)
  return xxh64(head)
}

/** The entries of a head that is not stamped yet (from a writer in this process, so only its shape is checked). */
export function readEntries(head: Uint8Array): readonly Section[] | undefined {
  if (head.length < FRAME_HEADER) return undefined
  const count = viewOf(head).getUint32(20, true)
  return count <= limits.commitSections && head.length === headBytes(count)
    ? entries(viewOf(head), 0, count)
    : undefined
}

function entries(view: DataView, start: number, count: number): Section[] {
  const sections: Section[] = []
  let at = headBytes(count)
  for (let i = 0; i < count; i++) {
    const entry = start + headBytes(i)
    const length = view.getUint32(entry + 32, true)
    sections.push({
      kind: view.getUint16(entry, true),
      topic: view.getUint32(entry + 4, true),
      partition: view.getUint32(entry + 8, true),
      count: view.getUint32(entry + 12, true),
      baseOffset: view.getFloat64(entry + 16, true),
      nextOffset: view.getFloat64(entry + 24, true),
      length,
      hash: view.getBigUint64(entry + 40, true),
      at,
    })
    at += align8(length)
  }
  return sections
}

/** `short`: the head goes on beyond the bytes given; call again with at least `need` bytes. */
export type HeadResult = FrameHead | Bad | { readonly result: 'short'; readonly need: number }

/** Decodes the head of a frame at `at`. `need` of a short result never exceeds the largest head. */
export function decodeHead(bytes: Uint8Array, at: number): HeadResult {
  if (at + FRAME_HEADER > bytes.length) return { result: 'short', need: FRAME_HEADER }
  const view = viewOf(bytes)
  if (view.getUint32(at, true) !== FRAME_MAGIC) return bad('no frame begins here')
  const count = view.getUint32(at + 20, true)
  if (count > limits.commitSections) return bad(`${count} sections`)
  const size = headBytes(count)
  if (at + size > bytes.length) return { result: 'short', need: size }
  if (view.getUint32(at + 4, true) !== crc32(bytes.subarray(at + 8, at + size)))
    return bad('wrong head checksum')
  const sections = entries(view, at, count)
  const head: FrameHead = {
    result: 'frame',
    lsn: view.getFloat64(at + 8, true),
    epoch: view.getUint32(at + 16, true),
    group: view.getFloat64(at + 24, true),
    writer: view.getUint32(at + 32, true),
    writerEpoch: view.getUint32(at + 36, true),
    commitNumber: view.getFloat64(at + 40, true),
    length: view.getFloat64(at + 48, true),
    prevHash: view.getBigUint64(at + 56, true),
    time: view.getFloat64(at + 64, true),
    logTime: view.getFloat64(at + 72, true),
    sections,
    hash: xxh64(bytes.subarray(at, at + size)),
  }
  const last = sections.at(-1)
  const end = last === undefined ? size : last.at + align8(last.length)
  if (
    ![head.lsn, head.group, head.commitNumber].every(whole) ||
    !Number.isFinite(head.time + head.logTime)
  )
    return bad('a wrong number')
  if (head.length !== end) return bad(`length ${head.length} where its sections end at ${end}`)
  const ordered = sections.every(
    (s) => whole(s.baseOffset) && whole(s.nextOffset) && s.nextOffset >= s.baseOffset,
  )
  return ordered ? head : bad('offsets that go back')
}

/** A file of the log directory that holds frames, or what is left of them. */
export interface SegmentId {
  readonly epoch: number
  readonly baseLsn: number
  /** Set for an archive: the LSN after the last one it stands for. */
  readonly toLsn?: number
}

/** Name of a segment's file; names sort by nothing in particular: parse them. */
export function fileName({ epoch, baseLsn, toLsn }: SegmentId): string {
  return toLsn === undefined ? `${epoch}-${baseLsn}.seg` : `${epoch}-${baseLsn}-${toLsn}.arc`
}

/** Name of a sealed segment's index. An archive carries its own. */
export const indexName = ({ epoch, baseLsn }: SegmentId): string => `${epoch}-${baseLsn}.idx`

export function parseFileName(name: string): SegmentId | undefined {
  const match = /^([1-9]\d{0,9})-([1-9]\d{0,15})(?:\.seg|-([1-9]\d{0,15})\.arc)$/.exec(name)
  if (match === null) return undefined
  const [, epoch, base, to] = match
  const id = { epoch: Number(epoch), baseLsn: Number(base) }
  return to === undefined ? id : { ...id, toLsn: Number(to) }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

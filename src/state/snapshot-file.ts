/**
 * A snapshot file: a header, then chunks of changelog entries sorted by key, without tombstones. Little-endian:
 *
 *    0 u32 magic   4 u32 version = 1   8 f64 lsn   16 f64 changelog offset behind it   24 f64 entries   32 u32 chunks
 *   36 u32 partition   40 f64 file size   48 u64 XXH64 of the changelog's name   56 u64 XXH64 of bytes 0 … 56
 *   chunk: u32 length   u32 zero   u64 XXH64   entries in the layout of changelog.ts
 */
import type { DiskFile } from '../core/env/env.ts'
import { xxh64 } from '../core/hash.ts'
import { MillraceError } from '../errors.ts'
import type { ChangelogEntry } from './changelog.ts'
import { ChangelogReader, ChangelogWriter } from './changelog.ts'

const MAGIC = 0x4e53524d
const VERSION = 1
export const HEADER = 64
export const CHUNK_HEADER = 16
const chunkBytes = 1024 * 1024
/** No chunk is larger: one entry has a bounded key and value. */
const largestChunk = 64 * 1024 * 1024

export interface SnapshotHeader {
  readonly lsn: number
  /** First offset of the changelog that is not in the snapshot. */
  readonly offset: number
  readonly entries: number
  readonly chunks: number
  readonly bytes: number
}

export interface SnapshotPlace {
  readonly changelog: string
  readonly partition: number
}

/** Writes chunks one after another, the header at the end, so that an unfinished file is no snapshot. */
export class SnapshotFileWriter {
  readonly #file: DiskFile
  readonly #place: SnapshotPlace
  readonly #chunk = new ChangelogWriter()
  #at = HEADER
  #entries = 0
  #chunks = 0

  constructor(file: DiskFile, place: SnapshotPlace) {
    this.#file = file
    this.#place = place
  }

  add(entry: ChangelogEntry): void {
    this.#chunk.addRaw(entry)
    this.#entries++
    if (this.#chunk.length >= chunkBytes) this.#flush()
  }

  /** Writes and syncs what is left, and the header. */
  finish(lsn: number, offset: number): SnapshotHeader {
    this.#flush()
    const header = { lsn, offset, entries: this.#entries, chunks: this.#chunks, bytes: this.#at }
    writeAll(this.#file, encodeHeader(header, this.#place), 0)
    this.#file.fdatasync()
    return header
  }

  #flush(): void {
    if (this.#chunk.count === 0) return
    const { bytes } = this.#chunk.take()
    const head = new Uint8Array(CHUNK_HEADER)
    const view = new DataView(head.buffer)
    view.setUint32(0, bytes.length, true)
    view.setBigUint64(8, xxh64(bytes), true)
    writeAll(this.#file, head, this.#at)
    writeAll(this.#file, bytes, this.#at + CHUNK_HEADER)
    this.#at += CHUNK_HEADER + bytes.length
    this.#chunks++
  }
}

/** The header, or undefined when the file is not a finished snapshot of this place. Throws MR2004 for a newer version. */
export function readHeader(file: DiskFile, place: SnapshotPlace): SnapshotHeader | undefined {
  const bytes = new Uint8Array(HEADER)
  if (file.size() < HEADER || !readAll(file, bytes, 0)) return undefined
  const view = new DataView(bytes.buffer)
  if (view.getUint32(0, true) !== MAGIC) return undefined
  if (view.getBigUint64(56, true) !== xxh64(bytes.subarray(0, 56))) return undefined
  const version = view.getUint32(4, true)
  if (version > VERSION) {
    const what = `${file.path} has format version ${version}; this build knows version ${VERSION}.`
    throw new MillraceError('MR2004', what, { details: { file: file.path, version } })
  }
  const header = {
    lsn: view.getFloat64(8, true),
    offset: view.getFloat64(16, true),
    entries: view.getFloat64(24, true),
    chunks: view.getUint32(32, true),
    bytes: view.getFloat64(40, true),
  }
  const same =
    view.getUint32(36, true) === place.partition && view.getBigUint64(48, true) === nameHash(place)
  return same && header.bytes === file.size() ? header : undefined
}

/** Chunks of entries, each verified; ends with undefined in place of a chunk that is damaged. */
export function* readChunks(
  file: DiskFile,
  header: SnapshotHeader,
): Generator<Uint8Array | undefined> {
  const head = new Uint8Array(CHUNK_HEADER)
  const view = new DataView(head.buffer)
  let at = HEADER
  for (let chunk = 0; chunk < header.chunks; chunk++) {
    const sound = readAll(file, head, at) && view.getUint32(4, true) === 0
    const length = sound ? view.getUint32(0, true) : largestChunk + 1
    if (length > largestChunk || at + CHUNK_HEADER + length > header.bytes) {
      yield undefined
      return
    }
    const bytes = new Uint8Array(length)
    const whole =
      readAll(file, bytes, at + CHUNK_HEADER) && view.getBigUint64(8, true) === xxh64(bytes)
    yield whole ? bytes : undefined
    if (!whole) return
    at += CHUNK_HEADER + length
  }
}

/** Chunks of a snapshot that was verified a moment ago. One that fails now means the disk does: half is not enough. */
export function* readWhole(file: DiskFile, header: SnapshotHeader): Generator<Uint8Array> {
  for (const chunk of readChunks(file, header)) {
    if (chunk === undefined)
      throw new MillraceError('MR4011', `The snapshot ${file.path} cannot be read twice.`)
    yield chunk
  }
}

/** Entries of a snapshot that was verified a moment ago. */
export function* readEntries(file: DiskFile, header: SnapshotHeader): Generator<ChangelogEntry> {
  for (const chunk of readWhole(file, header)) {
    const reader = new ChangelogReader(chunk)
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) yield entry
  }
}

function encodeHeader(header: SnapshotHeader, place: SnapshotPlace): Uint8Array {
  const bytes = new Uint8Array(HEADER)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, VERSION, true)
  view.setFloat64(8, header.lsn, true)
  view.setFloat64(16, header.offset, true)
  view.setFloat64(24, header.entries, true)
  view.setUint32(32, header.chunks, true)
  view.setUint32(36, place.partition, true)
  view.setFloat64(40, header.bytes, true)
  view.setBigUint64(48, nameHash(place), true)
  view.setBigUint64(56, xxh64(bytes.subarray(0, 56)), true)
  return bytes
}

function nameHash(place: SnapshotPlace): bigint {
  return xxh64(new TextEncoder().encode(place.changelog))
}

function writeAll(file: DiskFile, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += file.write(bytes.subarray(done), position + done)
}

function readAll(file: DiskFile, into: Uint8Array, position: number): boolean {
  for (let done = 0; done < into.length;) {
    const read = file.read(into.subarray(done), position + done)
    if (read === 0) return false
    done += read
  }
  return true
}

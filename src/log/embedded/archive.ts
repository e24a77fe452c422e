/**
 * Archives: what is left of sealed segments after retention. An archive stands for some segments that follow one
 * another and holds only the sections that may still be read, each with its own hash, LSN and offsets. Without it one
 * record that is kept for ever would keep every segment behind it.
 *
 * The new file is durable, name included, before the first of the old ones goes. Its header names them: as long as
 * all of these are there, they count and the archive does not (its name may have been lost once).
 */
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import { must } from '../../core/assert.ts'
import { xxh64 } from '../../core/hash.ts'
import {
  align8,
  decodeSegmentHeader,
  encodeSegmentHeader,
  fileName,
  FORMAT_VERSION,
  indexName,
  SEGMENT_HEADER,
} from './format.ts'
import type { SegmentId } from './format.ts'
import { indexBytes, SegmentMap } from './segment-map.ts'
import type { SealedFact } from './segment-map.ts'
import { placeParts } from './state.ts'
import { isFull, readUpTo, step, unlinkIfThere, writeAll } from './steps.ts'
import type { Steps } from './steps.ts'

/** Whether a section of `place` that ends at `next` may still be read. */
export type LiveSection = (place: number, next: number) => boolean

/** `unreadable`: a section does not match its hash. It stays where it is, for a reader to report. */
export type Archived = 'archived' | 'full' | 'unreadable'

export interface ArchiveInput {
  readonly disk: Disk
  readonly folder: string
  readonly uuid: Uint8Array
  /** The segments it will stand for, which follow one another. */
  readonly maps: readonly SegmentMap[]
  readonly live: LiveSection
}

/** What an archive of sections of these lengths takes on disk. */
export function archiveBytes(sections: number, alignedBytes: number): number {
  return SEGMENT_HEADER + align8(indexBytes(sections)) + alignedBytes
}

/** Bytes of a segment that may still be read, and how many sections they are in. */
export function liveOf(map: SegmentMap, live: LiveSection): { sections: number; bytes: number } {
  let sections = 0
  let bytes = 0
  for (let i = 0; i < map.sections; i++) {
    if (!live(map.places[i]!, map.nexts[i]!)) continue
    sections++
    bytes += align8(map.lengths[i]!)
  }
  return { sections, bytes }
}

export function* writeArchive(
  input: ArchiveInput,
): Steps<SealedFact | Exclude<Archived, 'archived'>> {
  const { disk, folder, maps } = input
  const first = must(maps[0], 'an archive stands for something')
  const last = must(maps.at(-1), 'an archive stands for something')
  const id = { epoch: first.id.epoch, baseLsn: first.id.baseLsn, toLsn: last.nextLsn }
  const built = yield* readable(build(input, id, last.lastHash))
  if (built === undefined) return 'unreadable'
  const path = `${folder}/${fileName(id)}`
  const temporary = `${path}.tmp`
  if ((yield* writeNew(disk, temporary, built.bytes)) === 'full') return 'full'
  yield* step('rename', temporary, () => disk.rename(temporary, path))
  yield* step('fsyncDir', folder, () => disk.fsyncDir(folder))
  for (const { id: old } of maps) {
    yield* unlinkIfThere(disk, `${folder}/${fileName(old)}`)
    if (old.toLsn === undefined) yield* unlinkIfThere(disk, `${folder}/${indexName(old)}`)
  }
  yield* step('fsyncDir', folder, () => disk.fsyncDir(folder))
  const { end, maxLogTime } = built.map
  return { id, lastLsn: last.nextLsn - 1, bytes: end, maxLogTime }
}

/** Undefined when the disk does not give the bytes: nothing is lost by leaving them where they are. */
function* readable<T>(steps: Steps<T>): Steps<T | undefined> {
  try {
    return yield* steps
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return undefined
  }
}

function* build(input: ArchiveInput, id: SegmentId, lastHash: bigint) {
  const { disk, folder, uuid, maps, live } = input
  const kept = maps.map((map) => liveOf(map, live))
  const sections = kept.reduce((sum, k) => sum + k.sections, 0)
  const size = archiveBytes(
    sections,
    kept.reduce((sum, k) => sum + k.bytes, 0),
  )
  const bytes = new Uint8Array(size)
  const map = new SegmentMap(id, lastHash)
  let at = archiveBytes(sections, 0)
  let prevHash: bigint | undefined
  for (const source of maps) {
    const path = `${folder}/${fileName(source.id)}`
    const file = yield* step('open', path, () => disk.open(path, 'read'))
    const kind = source.id.toLsn === undefined ? 'segment' : 'archive'
    const page = yield* step('read', path, () => readUpTo(file, 0, SEGMENT_HEADER))
    const header = decodeSegmentHeader(page, kind)
    if (header.result === 'segment') prevHash ??= header.prevHash
    at = yield* copyLive(file, source, live, { map, bytes, at })
    yield* step('close', path, () => file.close())
    if (header.result === 'bad' || at < 0) return undefined
    map.maxTime = Math.max(map.maxTime, source.maxTime)
    map.maxLogTime = Math.max(map.maxLogTime, source.maxLogTime)
    map.nextLsn = source.nextLsn
  }
  map.end = size
  const header = {
    version: FORMAT_VERSION,
    uuid,
    members: maps.map((map) => fileName(map.id)),
    epoch: id.epoch,
  }
  const { baseLsn } = id
  bytes.set(encodeSegmentHeader({ ...header, baseLsn, prevHash: prevHash ?? 0n }, 'archive'))
  bytes.set(map.encode(uuid), SEGMENT_HEADER)
  return { map, bytes }
}

interface Target {
  readonly map: SegmentMap
  readonly bytes: Uint8Array
  readonly at: number
}

/** Returns where the next section goes; -1 when one could not be read. */
function* copyLive(
  file: DiskFile,
  source: SegmentMap,
  live: LiveSection,
  to: Target,
): Steps<number> {
  let { at } = to
  for (let i = 0; i < source.sections; i++) {
    const place = source.places[i]!
    if (!live(place, source.nexts[i]!)) continue
    const length = source.lengths[i]!
    const section = yield* step('read', file.path, () => readUpTo(file, source.ats[i]!, length))
    if (section.length !== length || xxh64(section) !== source.hashes[i]) return -1
    to.bytes.set(section, at)
    to.map.addSection({
      ...placeParts(place),
      kind: source.kinds[i]!,
      count: source.counts[i]!,
      baseOffset: source.bases[i]!,
      nextOffset: source.nexts[i]!,
      length,
      hash: source.hashes[i]!,
      at,
      lsn: source.lsns[i]!,
      time: source.times[i]!,
    })
    at += align8(length)
  }
  return at
}

function* writeNew(disk: Disk, path: string, bytes: Uint8Array): Steps<'written' | 'full'> {
  let file: DiskFile | undefined
  try {
    file = yield* step('open', path, () => disk.open(path, 'write'))
    const opened = file
    yield* step('truncate', path, () => opened.truncate(0))
    yield* writeAll(file, bytes, 0)
  } catch (error) {
    if (!isFull(error)) throw error
    const opened = file
    if (opened !== undefined) yield* step('close', path, () => opened.close())
    yield* unlinkIfThere(disk, path)
    return 'full'
  }
  const written = file
  yield* step('fdatasync', path, () => written.fdatasync())
  yield* step('close', path, () => written.close())
  return 'written'
}

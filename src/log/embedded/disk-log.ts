/**
 * The writing half of the log on disk: appends groups of frames, rolls segments, moves the mark, records checkpoints.
 * Only step machines; every DiskError that leaves one is fatal for this object (fail-stop), except where it says `full`.
 */
import { assert, must } from '../../core/assert.ts'
import { mark } from '../../core/mark.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import {
  decodeHead,
  encodeMark,
  encodeSegmentHeader,
  encodeSuper,
  fileName,
  FORMAT_VERSION,
  indexName,
  MARK_SLOT,
} from './format.ts'
import type { FrameHead, Mark, SegmentId, Super } from './format.ts'
import type { Published } from './published.ts'
import type { NewestSegment } from './segments.ts'
import { INDEX_HEADER, SegmentMap } from './segment-map.ts'
import type { SealedFact } from './segment-map.ts'
import { writeArchive } from './archive.ts'
import type { Archived, LiveSection } from './archive.ts'
import { closeFile, isFull, step, unlinkIfThere, writeAll } from './steps.ts'
import type { Steps } from './steps.ts'

/** A stamped frame: its head and the pieces of its payload, each a multiple of 8 bytes long. */
export interface Frame {
  readonly head: Uint8Array
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
}

export interface DiskLogStart {
  readonly disk: Disk
  readonly directory: string
  readonly epoch: number
  readonly segmentBytes: number
  readonly super: Super
  readonly superSlot: 0 | 1
  readonly markFile: DiskFile
  readonly mark: Mark
  readonly markSlot: 0 | 1
  readonly file: DiskFile
  readonly map: SegmentMap
  readonly sealed: readonly SealedFact[]
}

/** Pieces smaller than this are put together, so that many small commits make one write. */
const SMALL = 64 * 1024
const SCRATCH = 256 * 1024

export class DiskLog {
  readonly directory: string
  readonly uuid: Uint8Array
  readonly epoch: number
  /** Another array whenever files were removed or replaced. */
  sealed: readonly SealedFact[]
  readonly #disk: Disk
  readonly #segmentBytes: number
  readonly #markFile: DiskFile
  readonly #scratch = new Uint8Array(SCRATCH)
  #super: Super
  #superSlot: 0 | 1
  #markSequence: number
  #markSlot: 0 | 1
  #file: DiskFile
  #map: SegmentMap
  #checkpointEnd = 0
  /** Bytes written since the last checkpoint. */
  sinceCheckpoint = 0

  constructor(start: DiskLogStart) {
    this.#disk = start.disk
    this.directory = start.directory
    this.uuid = start.super.uuid
    this.epoch = start.epoch
    this.#segmentBytes = start.segmentBytes
    this.#super = start.super
    this.#superSlot = start.superSlot
    this.#markFile = start.markFile
    this.#markSequence = start.mark.sequence
    this.#markSlot = start.markSlot
    this.#file = start.file
    this.#map = start.map
    this.sealed = start.sealed
  }

  /** Makes what recovery found the durable end, under the new epoch. Before this nobody may see it. */
  *begin(): Steps<void> {
    // A process that was killed may have left them unsynced: until they are durable, the other slot is all there is.
    yield* step('fdatasync', this.#markFile.path, () => this.#markFile.fdatasync())
    yield* syncFile(this.#disk, `${this.directory}/SUPER.${this.#superSlot}`)
    yield* this.#markAt(this.#map.id, this.nextLsn - 1, this.#map.end)
    yield* this.#writeSuper({ ...this.#super, epoch: this.epoch })
  }

  get nextLsn(): number {
    return this.#map.nextLsn
  }

  get lastHash(): bigint {
    return this.#map.lastHash
  }

  get checkpointSegment(): number {
    return this.#super.checkpointSegment
  }

  get checkpointLsn(): number {
    return this.#super.checkpointLsn
  }

  /** With all that was appended, also where a reader may not see it yet. */
  get newest(): NewestSegment {
    return { id: this.#map.id, index: this.#map.encode(this.uuid) }
  }

  get published(): Published {
    const { id, end, nextLsn } = this.#map
    return { segmentEpoch: id.epoch, segmentBase: id.baseLsn, end, lsn: nextLsn - 1 }
  }

  /**
   * Writes a group of frames, syncs it, then moves the mark and syncs that: when it returns heads the group is durable.
   * `full`: there was no room, and the file is again as it was before.
   */
  *append(frames: readonly Frame[]): Steps<readonly FrameHead[] | 'full'> {
    const bytes = frames.reduce((sum, frame) => sum + frame.bytes, 0)
    if (this.#map.end + bytes > this.#segmentBytes && this.#map.nextLsn > this.#map.id.baseLsn) {
      if ((yield* this.#roll()) === 'full') return 'full'
    }
    const start = this.#map.end
    try {
      yield* this.#write(frames, start)
    } catch (error) {
      if (!isFull(error)) throw error
      yield* step('truncate', this.#file.path, () => this.#file.truncate(start))
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
      return 'full'
    }
    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads = frames.map((frame) => {
      const head = decodeHead(frame.head, 0)
      assert(head.result === 'frame', 'what was just stamped is a frame')
      return head
    })
    const lsn = must(heads.at(-1), 'a group has frames').lsn
    yield* this.#markAt(this.#map.id, lsn, start + bytes)
    let position = start
    for (const head of heads) {
      this.#map.add(head, position)
      position += head.length
    }
    this.sinceCheckpoint += bytes
    return heads
  }

  /** Makes the frame just appended the checkpoint from which the next recovery starts. */
  *checkpointed(lsn: number, position: number): Steps<void> {
    yield* this.#writeSuper({
      ...this.#super,
      checkpointLsn: lsn,
      checkpointSegment: this.#map.id.baseLsn,
      checkpointPosition: position,
    })
    this.#checkpointEnd = this.#map.end
    this.sinceCheckpoint = 0
  }

  /** Whether anything was appended since the last checkpoint of this run. */
  get dirty(): boolean {
    return this.#map.end !== this.#checkpointEnd
  }

  /** Removes the oldest segments; a durable frame must already say that they are removed. */
  *remove(count: number): Steps<void> {
    for (const { id } of this.sealed.slice(0, count)) {
      yield* unlinkIfThere(this.#disk, `${this.directory}/log/${fileName(id)}`)
      yield* unlinkIfThere(this.#disk, `${this.directory}/log/${indexName(id)}`)
    }
    const log = `${this.directory}/log`
    yield* step('fsyncDir', log, () => this.#disk.fsyncDir(log))
    this.sealed = this.sealed.slice(count)
  }

  /** Removes indexes of the oldest segments: they are derived, and their space is there for what cannot wait. */
  *removeIndexes(count: number): Steps<void> {
    for (const { id } of this.sealed.slice(0, count)) {
      if (id.toLsn === undefined)
        yield* unlinkIfThere(this.#disk, `${this.directory}/log/${indexName(id)}`)
    }
  }

  /** Puts an archive in the place of `count` sealed segments, of which only the sections `live` says are kept. */
  *archive(from: number, maps: readonly SegmentMap[], live: LiveSection): Steps<Archived> {
    const folder = `${this.directory}/log`
    const made = yield* writeArchive({ disk: this.#disk, folder, uuid: this.uuid, maps, live })
    if (typeof made !== 'string') this.sealed = this.sealed.toSpliced(from, maps.length, made)
    return typeof made === 'string' ? made : 'archived'
  }

  close(): void {
    closeFile(this.#file)
    closeFile(this.#markFile)
  }

  *#write(frames: readonly Frame[], start: number): Steps<void> {
    let used = 0
    let position = start
    for (const frame of frames) {
      for (const piece of [frame.head, ...frame.pieces]) {
        if (used > 0 && (piece.length >= SMALL || used + piece.length > SCRATCH)) {
          yield* writeAll(this.#file, this.#scratch.subarray(0, used), position)
          position += used
          used = 0
        }
        if (piece.length >= SMALL) {
          yield* writeAll(this.#file, piece, position)
          position += piece.length
        } else {
          this.#scratch.set(piece, used)
          used += piece.length
        }
      }
    }
    if (used > 0) yield* writeAll(this.#file, this.#scratch.subarray(0, used), position)
  }

  /** The new segment is durable, name and header, and named by the mark, before the first frame goes into it. */
  *#roll(): Steps<'rolled' | 'full'> {
    const old = this.#map
    const id = { epoch: this.epoch, baseLsn: old.nextLsn }
    const file = yield* createSegment(
      this.#disk,
      `${this.directory}/log`,
      id,
      this.uuid,
      old.lastHash,
    )
    if (file === 'full') return 'full'
    const map = new SegmentMap(id, old.lastHash)
    yield* this.#markAt(id, old.nextLsn - 1, map.end)
    yield* writeIndex(this.#disk, `${this.directory}/log`, old, this.uuid)
    const done = this.#file
    yield* step('close', done.path, () => done.close())
    const { id: sealedId, end: bytes, maxLogTime } = old
    this.sealed = [...this.sealed, { id: sealedId, lastLsn: old.nextLsn - 1, bytes, maxLogTime }]
    this.#file = file
    this.#map = map
    mark('log: a segment is sealed')
    return 'rolled'
  }

  *#markAt(id: SegmentId, lsn: number, end: number): Steps<void> {
    const slot = this.#markSlot === 0 ? 1 : 0
    const sequence = this.#markSequence + 1
    const { epoch, uuid } = this
    const mark = encodeMark({
      uuid,
      epoch,
      segmentEpoch: id.epoch,
      lsn,
      segmentBase: id.baseLsn,
      end,
      sequence,
    })
    yield* writeAll(this.#markFile, mark, slot * MARK_SLOT)
    yield* step('fdatasync', this.#markFile.path, () => this.#markFile.fdatasync())
    this.#markSlot = slot
    this.#markSequence = sequence
  }

  *#writeSuper(next: Super): Steps<void> {
    const slot = this.#superSlot === 0 ? 1 : 0
    const value = { ...next, sequence: this.#super.sequence + 1 }
    yield* writeSuper(this.#disk, this.directory, slot, value)
    this.#super = value
    this.#superSlot = slot
  }
}

export function* writeSuper(
  disk: Disk,
  directory: string,
  slot: 0 | 1,
  value: Omit<Super, 'result'>,
): Steps<void> {
  const path = `${directory}/SUPER.${slot}`
  const file = yield* step('open', path, () => disk.open(path, 'write'))
  yield* writeAll(file, encodeSuper(value), 0)
  yield* step('fdatasync', path, () => file.fdatasync())
  yield* step('close', path, () => file.close())
}

function* syncFile(disk: Disk, path: string): Steps<void> {
  const file = yield* step('open', path, () => disk.open(path, 'write'))
  yield* step('fdatasync', path, () => file.fdatasync())
  yield* step('close', path, () => file.close())
}

/** Creates a segment and makes its name and header durable. `full`: there was no room, and nothing of it is left. */
export function* createSegment(
  disk: Disk,
  log: string,
  id: SegmentId,
  uuid: Uint8Array,
  prevHash: bigint,
): Steps<DiskFile | 'full'> {
  const path = `${log}/${fileName(id)}`
  let file: DiskFile | undefined
  try {
    file = yield* step('create', path, () => disk.open(path, 'create'))
    yield* writeAll(
      file,
      encodeSegmentHeader({ version: FORMAT_VERSION, uuid, prevHash, members: [], ...id }),
      0,
    )
  } catch (error) {
    if (!isFull(error)) throw error
    const made = file
    if (made !== undefined) yield* step('close', path, () => made.close())
    yield* unlinkIfThere(disk, path)
    return 'full'
  }
  const made = file
  yield* step('fdatasync', path, () => made.fdatasync())
  yield* step('fsyncDir', log, () => disk.fsyncDir(log))
  return made
}

/**
 * Writes a sealed segment's index. It is derived, never trusted blindly, and not required: a start makes it again where its
 * header is not there. The header is synced after the rest: where it is, all is, and nobody walks the segment.
 */
export function* writeIndex(
  disk: Disk,
  log: string,
  map: SegmentMap,
  uuid: Uint8Array,
): Steps<void> {
  const path = `${log}/${indexName(map.id)}`
  try {
    const file = yield* step('open', path, () => disk.open(path, 'write'))
    try {
      const bytes = map.encode(uuid)
      yield* writeAll(file, bytes.subarray(INDEX_HEADER), INDEX_HEADER)
      yield* step('fdatasync', path, () => file.fdatasync())
      yield* writeAll(file, bytes.subarray(0, INDEX_HEADER), 0)
      yield* step('fdatasync', path, () => file.fdatasync())
    } finally {
      yield* step('close', path, () => file.close())
    }
  } catch (error) {
    if (!isFull(error)) throw error
    yield* unlinkIfThere(disk, path)
  }
}

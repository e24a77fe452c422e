/** Scans the frames of the log from the checkpoint on, verifying every byte, and builds the state they mean. */
import type { DiskFile } from '../../core/env/env.ts'
import { xxh64 } from '../../core/hash.ts'
import { FRAME_MAGIC, sectionKinds } from './format.ts'
import type { Bad, FrameHead, Section, SegmentHeader } from './format.ts'
import { HeadReader, misplaced, SegmentMap } from './segment-map.ts'
import { LogState } from './state.ts'
import { readUpTo, step } from './steps.ts'
import type { Steps } from './steps.ts'

/** Frames above the mark with their bytes, as verified: they are written again before anyone may see them. */
export interface Unmarked {
  readonly position: number
  readonly bytes: Uint8Array
}

export interface ScanInput {
  readonly file: DiskFile
  readonly header: SegmentHeader
  readonly size: number
  /** Frames before this byte are below the checkpoint: only their heads are read. */
  readonly from: number
  /** Frames with a higher LSN are collected. */
  readonly markLsn: number
  /** The state before the frame at `from`; undefined when that frame is the checkpoint that holds it. */
  readonly state: LogState | undefined
}

export interface Scanned {
  readonly map: SegmentMap
  readonly state: LogState | undefined
  readonly unmarked: readonly Unmarked[]
  readonly lastEpoch: number
  /** Group of the first frame that is not sound, where its head is; else one more than the last sound group. */
  readonly flawedGroup: number
  /** The flawed frame matches its hashes, so it is no torn write, yet this build cannot read it. */
  readonly undecodable: boolean
}

/** Scans one segment to its end or to its first flaw, which is in `map.broken`. */
export function* scanSegment(input: ScanInput): Steps<Scanned> {
  const { file, header, size } = input
  const map = new SegmentMap({ epoch: header.epoch, baseLsn: header.baseLsn }, header.prevHash)
  const heads = new HeadReader(file)
  const unmarked: Unmarked[] = []
  let { state } = input
  let lastEpoch = header.epoch
  let group = state?.group ?? 0
  let flawedGroup: number | undefined
  let undecodable = false
  while (map.end < size && map.broken === undefined) {
    const position = map.end
    const head: FrameHead | Bad = yield* step('read', file.path, () => heads.read(position, size))
    map.broken = head.result === 'bad' ? head.why : misplaced(map, head, size)
    if (head.result === 'bad' || map.broken !== undefined) break
    if (position >= input.from) {
      const bytes = yield* step('read', file.path, () => readUpTo(file, position, head.length))
      const flaw = flawOf(head, bytes)
      if (flaw === undefined) state = state ?? stateOf(head, bytes)
      undecodable = flaw === undefined && state?.apply(head, (s) => sectionOf(s, bytes)) !== true
      map.broken = undecodable ? 'it does not decode' : flaw
      if (map.broken !== undefined) {
        flawedGroup = head.group
        break
      }
      if (head.lsn > input.markLsn) unmarked.push({ position, bytes })
    }
    map.add(head, position)
    lastEpoch = head.epoch
    group = head.group
  }
  return { map, state, unmarked, lastEpoch, flawedGroup: flawedGroup ?? group + 1, undecodable }
}

const sectionOf = (s: Section, frame: Uint8Array): Uint8Array =>
  frame.subarray(s.at, s.at + s.length)

function flawOf(head: FrameHead, bytes: Uint8Array): string | undefined {
  if (bytes.length < head.length) return 'the file ends inside a frame'
  const flawed = head.sections.findIndex((s) => xxh64(sectionOf(s, bytes)) !== s.hash)
  return flawed === -1 ? undefined : `section ${flawed} does not match its hash`
}

function stateOf(head: FrameHead, bytes: Uint8Array): LogState | undefined {
  const section = head.sections.find((s) => s.kind === sectionKinds.checkpoint)
  return section === undefined ? undefined : LogState.fromCheckpoint(sectionOf(section, bytes))
}

const SEARCH_CHUNK = 1024 * 1024

/**
 * The position of a sound frame head, behind a flaw, that belongs to a later group than the flawed frame. A group is
 * written only after the one before it was synced, so such a head proves that the flaw is damage and not a torn write.
 * Heads of older epochs are what an earlier recovery truncated.
 */
export function* findLaterGroup(
  file: DiskFile,
  from: number,
  size: number,
  scanned: Scanned,
): Steps<number | undefined> {
  const magic = new Uint8Array(new Uint32Array([FRAME_MAGIC]).buffer)
  const heads = new HeadReader(file)
  for (let at = from; at < size; at += SEARCH_CHUNK) {
    const start = at
    const chunk = Buffer.from(
      yield* step('read', file.path, () =>
        readUpTo(file, start, Math.min(SEARCH_CHUNK + 4, size - start)),
      ),
    )
    for (let hit = chunk.indexOf(magic); hit !== -1; hit = chunk.indexOf(magic, hit + 1)) {
      if ((start + hit) % 8 !== 0) continue
      const position = start + hit
      const head = yield* step('read', file.path, () => heads.read(position, size))
      if (
        head.result === 'bad' ||
        head.epoch < scanned.lastEpoch ||
        head.lsn <= scanned.map.nextLsn
      )
        continue
      if (head.group > scanned.flawedGroup) return position
    }
  }
  return undefined
}

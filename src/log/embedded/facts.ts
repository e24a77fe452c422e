/** Looks at a data directory before it is opened: facts for decide.ts to judge. Changes nothing. */
import type { Disk } from '../../core/env/env.ts'
import { mark } from '../../core/mark.ts'
import { MillraceError } from '../../errors.ts'
import { at, decideTail, refuse } from './decide.ts'
import type { ChainFact, LayoutDecision, LayoutFacts, Refusal, SegmentFact } from './decide.ts'
import {
  decodeSegmentHeader,
  decodeSuper,
  fileName,
  indexName,
  MARK_SLOT,
  parseFileName,
  SEGMENT_HEADER,
  SUPER_BYTES,
} from './format.ts'
import type { Bad, SegmentHeader, Super } from './format.ts'
import { findLaterGroup, scanSegment } from './scan.ts'
import type { Scanned } from './scan.ts'
import { decodeIndexHeader, extendMap, INDEX_HEADER, SegmentMap } from './segment-map.ts'
import type { SealedFact } from './segment-map.ts'
import { LogState } from './state.ts'
import { readFile, step } from './steps.ts'
import type { Steps } from './steps.ts'

export type Layout = Extract<LayoutDecision, { decision: 'scan' }>

export function refusal(directory: string, r: Refusal): MillraceError {
  return new MillraceError(r.code, `${directory}: ${r.what}`, {
    details: { directory, ...r.details },
  })
}

export function* gatherLayout(disk: Disk, directory: string): Steps<LayoutFacts> {
  const supers: (Super | Bad | undefined)[] = []
  for (const slot of [0, 1]) {
    const path = `${directory}/SUPER.${slot}`
    const there = yield* step('exists', path, () => disk.exists(path))
    supers.push(there ? decodeSuper(yield* readFile(disk, path, SUPER_BYTES)) : undefined)
  }
  const markPath = `${directory}/MARK`
  const marked = yield* step('exists', markPath, () => disk.exists(markPath))
  const mark = marked ? yield* readFile(disk, markPath, 2 * MARK_SLOT) : undefined
  const segments: SegmentFact[] = []
  const leftovers: string[] = []
  const names = yield* step('list', directory, () => disk.list(`${directory}/log`))
  for (const { name } of names) {
    const id = parseFileName(name)
    if (name.endsWith('.tmp')) leftovers.push(name)
    if (id === undefined) continue
    const path = `${directory}/log/${name}`
    const size = (yield* step('stat', path, () => disk.stat(path))).size
    const page = yield* readFile(disk, path, SEGMENT_HEADER)
    const header = decodeSegmentHeader(page, id.toLsn === undefined ? 'segment' : 'archive')
    segments.push({ id, size, header })
  }
  return { supers, mark, segments, leftovers }
}

export interface ScannedAll {
  readonly state: LogState
  /** The last segment's scan, and its size in bytes. */
  readonly last: Scanned
  readonly size: number
}

/** Scans from the checkpoint to the end and judges the tail. Changes nothing; throws where the log is refused. */
export function* scanAll(disk: Disk, directory: string, layout: Layout): Steps<ScannedAll> {
  const { checkpointLsn, checkpointSegment, checkpointPosition } = layout.super
  const begin =
    checkpointLsn > 0 ? layout.segments.findIndex((s) => s.id.baseLsn === checkpointSegment) : 0
  // The checkpoint was synced before SUPER named it, so everything up to it counts as marked.
  const markLsn = Math.max(layout.mark.lsn, checkpointLsn)
  let state = checkpointLsn > 0 ? undefined : new LogState()
  for (const [i, { id, size, header }] of layout.segments.entries()) {
    if (i < begin) continue
    const name = fileName(id)
    if (id.toLsn !== undefined) throw refusal(directory, behindArchive(id))
    const path = `${directory}/log/${name}`
    const file = yield* step('open', path, () => disk.open(path, 'read'))
    const from = i === begin && checkpointLsn > 0 ? checkpointPosition : 0
    const scanned = yield* scanSegment({
      file,
      header: header as SegmentHeader,
      size,
      from,
      markLsn,
      state,
    })
    const { map } = scanned
    const lastSegment = i === layout.segments.length - 1
    const flawed = map.broken !== undefined
    const later =
      flawed && lastSegment ? yield* findLaterGroup(file, map.end + 8, size, scanned) : undefined
    yield* step('close', path, () => file.close())
    const facts = {
      markLsn,
      file: name,
      offset: map.end,
      nextLsn: map.nextLsn,
      size,
      lastSegment,
      why: map.broken,
      later,
    }
    if (flawed) mark('recovery: the tail has a flaw')
    if (flawed || lastSegment) {
      const tail = decideTail(facts)
      if (tail.decision === 'refuse') throw refusal(directory, tail)
    }
    state = scanned.state
    if (scanned.undecodable || state === undefined) {
      throw refusal(
        directory,
        refuse('MR2002', `${at(name, map.end, map.nextLsn)}: the frame does not decode.`, {
          file: name,
          offset: map.end,
          lsn: map.nextLsn,
        }),
      )
    }
    map.broken = undefined
    if (lastSegment) return { state, last: scanned, size }
  }
  throw new MillraceError('MR2002', `${directory}: there is no segment.`)
}

export interface Chain {
  readonly facts: readonly ChainFact[]
  readonly sealed: readonly SealedFact[]
  /** Removed by retention, but there again. */
  readonly removed: readonly SegmentFact['id'][]
  readonly rebuilt: readonly SegmentMap[]
}

/** How the segments hang together, by their indexes; a segment without one is walked. */
export function* gatherChain(
  disk: Disk,
  directory: string,
  layout: Layout,
  removedTo: number,
): Steps<Chain> {
  const facts: ChainFact[] = []
  const sealedFacts: SealedFact[] = []
  const removed: SegmentFact['id'][] = []
  const rebuilt: SegmentMap[] = []
  for (const [i, { id, size, header }] of layout.segments.entries()) {
    const following = layout.segments[i + 1]
    if (following !== undefined && following.id.baseLsn - 1 <= removedTo) {
      mark('recovery: a removed segment is there again')
      removed.push(id)
      continue
    }
    const { prevHash } = header as SegmentHeader
    if (following === undefined) {
      facts.push({ id, size, prevHash, sealed: undefined })
      continue
    }
    const { uuid } = layout.super
    let sealed: SealedChain | undefined = yield* readIndexHeader(disk, directory, id, uuid)
    if (sealed === undefined) {
      const map = yield* walkSegment(disk, directory, id, prevHash, size)
      if (map.broken === undefined) rebuilt.push(map)
      sealed = map
    }
    facts.push({ id, size, prevHash, sealed })
    sealedFacts.push({
      id,
      lastLsn: sealed.nextLsn - 1,
      bytes: sealed.end,
      maxLogTime: sealed.maxLogTime,
    })
  }
  return { facts, sealed: sealedFacts, removed, rebuilt }
}

type SealedChain = NonNullable<ChainFact['sealed']> & { readonly maxLogTime: number }

function* readIndexHeader(
  disk: Disk,
  directory: string,
  id: SegmentFact['id'],
  uuid: Uint8Array,
): Steps<SealedChain | undefined> {
  if (id.toLsn !== undefined) return yield* readArchiveHeader(disk, directory, id, uuid)
  const path = `${directory}/log/${indexName(id)}`
  if (!(yield* step('exists', path, () => disk.exists(path)))) return undefined
  const header = decodeIndexHeader(yield* readFile(disk, path, INDEX_HEADER), id, uuid)
  return header === undefined ? undefined : { ...header, broken: undefined }
}

/** An archive's index is part of it: nothing could rebuild it. */
function* readArchiveHeader(
  disk: Disk,
  directory: string,
  id: SegmentFact['id'],
  uuid: Uint8Array,
): Steps<SealedChain> {
  const path = `${directory}/log/${fileName(id)}`
  const bytes = yield* readFile(disk, path, SEGMENT_HEADER + INDEX_HEADER)
  const header = decodeIndexHeader(bytes.subarray(SEGMENT_HEADER), id, uuid)
  if (header?.nextLsn === id.toLsn && header !== undefined) return { ...header, broken: undefined }
  const { baseLsn } = id
  const none = { nextLsn: baseLsn, end: SEGMENT_HEADER, lastHash: 0n, maxLogTime: 0 }
  return { ...none, broken: 'the index of the archive has a flaw' }
}

function behindArchive(id: SegmentFact['id']): Refusal {
  const file = fileName(id)
  const what = `SUPER names a checkpoint from before ${file}, in which records were left out since.`
  return refuse('MR2002', what, { file, offset: 0, lsn: id.baseLsn })
}

function* walkSegment(
  disk: Disk,
  directory: string,
  id: SegmentFact['id'],
  prevHash: bigint,
  size: number,
): Steps<SegmentMap> {
  const path = `${directory}/log/${fileName(id)}`
  return yield* step('walk', path, () => {
    const file = disk.open(path, 'read')
    try {
      const map = new SegmentMap(id, prevHash)
      extendMap(map, file, size)
      return map
    } finally {
      file.close()
    }
  })
}

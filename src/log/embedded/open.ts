/** Opens a data directory for writing: gathers facts, lets decide.ts judge them, and does what it decided. */
import type { Disk, DiskFile, DiskLock } from '../../core/env/env.ts'
import { DiskError } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { decideChain, decideLayout, decideTail, refuse } from './decide.ts'
import type { ChainFact, LayoutDecision, Refusal, SegmentFact } from './decide.ts'
import { createSegment, DiskLog, unlinkIfThere, writeIndex, writeSuper } from './disk-log.ts'
import type { SealedFact } from './disk-log.ts'
import {
  decodeSegmentHeader,
  decodeSuper,
  encodeMark,
  FORMAT_VERSION,
  indexName,
  MARK_SLOT,
  parseSegmentName,
  SEGMENT_HEADER,
  segmentName,
  SUPER_BYTES,
} from './format.ts'
import type { Bad, SegmentHeader, Super } from './format.ts'
import { findLaterGroup, scanSegment } from './scan.ts'
import type { Scanned, Unmarked } from './scan.ts'
import { decodeIndexHeader, extendMap, INDEX_HEADER, SegmentMap } from './segment-map.ts'
import { LogState } from './state.ts'
import { isFull, readFile, readUpTo, step, writeAll } from './steps.ts'
import type { Steps } from './steps.ts'

export interface OpenOptions {
  readonly disk: Disk
  readonly directory: string
  readonly segmentBytes: number
  /** 16 random bytes, used when the log is created. */
  readonly newUuid: Uint8Array
}

export interface Opened {
  readonly lock: DiskLock
  readonly log: DiskLog
  readonly state: LogState
  readonly report: RecoveryReport
}

/** What recovery found and did. */
export interface RecoveryReport {
  readonly created: boolean
  readonly lsn: number
  readonly epoch: number
  /** Bytes of a torn tail that were copied to `quarantined` and cut off; 0 where the log was clean. */
  readonly tornBytes: number
  readonly quarantined: string | undefined
  /** Bytes above the mark that were verified and written again. */
  readonly rewrittenBytes: number
}

type Scan = Extract<LayoutDecision, { decision: 'scan' }>

export function refusal(directory: string, r: Refusal): MillraceError {
  return new MillraceError(r.code, `${directory}: ${r.what}`, { details: { directory, ...r.details } })
}

/** Throws MillraceError: locked, refused, or the disk failed. After a refusal nothing was touched. */
export function* openDirectory(options: OpenOptions): Steps<Opened> {
  const { disk, directory } = options
  try {
    yield* step('mkdir', directory, () => disk.mkdir(`${directory}/log`))
    const lock = yield* step('lock', directory, () => disk.lock(`${directory}/LOCK`))
    if (lock === undefined) throw new MillraceError('MR2001', `${directory} is locked.`, { details: { directory } })
    try {
      return yield* openLocked(options, lock)
    } catch (error) {
      yield* step('release', directory, () => lock.release())
      throw error
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const code = isFull(error) ? 'MR2007' : 'MR2015'
    throw new MillraceError(code, `Opening ${directory} failed: ${error.message}.`, { cause: error, details: { directory } })
  }
}

function* openLocked(options: OpenOptions, lock: DiskLock): Steps<Opened> {
  const { disk, directory } = options
  const decision = decideLayout(yield* gatherLayout(disk, directory))
  if (decision.decision === 'refuse') throw refusal(directory, decision)
  if (decision.decision === 'create') {
    yield* createDirectory(options)
    const created = decideLayout(yield* gatherLayout(disk, directory))
    if (created.decision !== 'scan') throw new MillraceError('MR2015', `${directory}: what was just created is not there.`)
    return yield* recover(options, lock, created, true)
  }
  return yield* recover(options, lock, decision, false)
}

export function* gatherLayout(disk: Disk, directory: string) {
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
  const names = yield* step('list', directory, () => disk.list(`${directory}/log`))
  for (const { name } of names) {
    const id = parseSegmentName(name)
    if (id === undefined) continue
    const path = `${directory}/log/${name}`
    const size = (yield* step('stat', path, () => disk.stat(path))).size
    segments.push({ id, size, header: decodeSegmentHeader(yield* readFile(disk, path, SEGMENT_HEADER)) })
  }
  return { supers, mark, segments }
}

/**
 * All names are made and synced first; SUPER.0's content comes last: before it is durable, the directory counts as not
 * created. What an earlier attempt left is made anew, because a name whose sync failed may look durable and not be.
 */
function* createDirectory(options: OpenOptions): Steps<void> {
  const { disk, directory, newUuid: uuid } = options
  yield* step('mkdir', directory, () => disk.mkdir(`${directory}/quarantine`))
  yield* renewName(disk, `${directory}/log`)
  for (const { name } of yield* step('list', directory, () => disk.list(`${directory}/log`))) {
    yield* unlinkIfThere(disk, `${directory}/log/${name}`)
  }
  for (const name of ['MARK', 'SUPER.0', 'SUPER.1']) yield* createEmpty(disk, `${directory}/${name}`)
  const segment = yield* createSegment(disk, `${directory}/log`, { epoch: 1, baseLsn: 1 }, uuid, 0n)
  if (segment === 'full') throw new DiskError('ENOSPC', 'create', directory)
  yield* step('close', segment.path, () => segment.close())
  const path = `${directory}/MARK`
  const mark = yield* step('open', path, () => disk.open(path, 'write'))
  const first = { uuid, epoch: 1, segmentEpoch: 1, lsn: 0, segmentBase: 1, end: SEGMENT_HEADER, sequence: 1 }
  const slots = new Uint8Array(2 * MARK_SLOT)
  slots.set(encodeMark(first))
  yield* writeAll(mark, slots, 0)
  yield* step('fdatasync', path, () => mark.fdatasync())
  yield* step('close', path, () => mark.close())
  yield* syncPath(disk, directory)
  const none = { checkpointLsn: 0, checkpointSegment: 0, checkpointPosition: 0 }
  yield* writeSuper(disk, directory, 0, { version: FORMAT_VERSION, incompat: 0, roCompat: 0, epoch: 1, uuid, sequence: 1, ...none })
}

function* createEmpty(disk: Disk, path: string): Steps<void> {
  yield* unlinkIfThere(disk, path)
  const file = yield* step('create', path, () => disk.open(path, 'create'))
  yield* step('close', path, () => file.close())
}

function* renewName(disk: Disk, path: string): Steps<void> {
  const aside = `${path}.renewed`
  if (!(yield* step('exists', aside, () => disk.exists(aside)))) yield* step('rename', path, () => disk.rename(path, aside))
  yield* step('rename', aside, () => disk.rename(aside, path))
}

/** Makes the directory's name durable, and those of its parents: they may have been created along with it. */
function* syncPath(disk: Disk, directory: string): Steps<void> {
  const names = directory.split('/').filter((name) => name !== '')
  const root = directory.startsWith('/') ? '/' : './'
  for (let depth = names.length; depth >= 0; depth--) {
    const path = root + names.slice(0, depth).join('/')
    try {
      yield* step('fsyncDir', path, () => disk.fsyncDir(path))
    } catch (error) {
      // A parent that we may not even read is none that we created.
      if (!(error instanceof DiskError) || !['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(error.code)) throw error
    }
  }
}

function* recover(options: OpenOptions, lock: DiskLock, layout: Scan, created: boolean): Steps<Opened> {
  const { disk, directory, segmentBytes } = options
  const mark = layout.mark
  const scanned = yield* scanAll(options, layout)
  const { state, last, size } = scanned
  const chain = yield* gatherChain(disk, directory, layout, state.removedTo)
  const whole = decideChain(chain.facts, state.removedTo)
  if (whole.decision === 'refuse') throw refusal(directory, whole)

  // From here on the directory is changed.
  const epoch = Math.max(layout.super.epoch, mark.epoch, last.lastEpoch) + 1
  for (const id of [...chain.removed, ...layout.drop]) {
    yield* unlinkIfThere(disk, `${directory}/log/${segmentName(id.epoch, id.baseLsn)}`)
    yield* unlinkIfThere(disk, `${directory}/log/${indexName(id.epoch, id.baseLsn)}`)
  }
  yield* step('fsyncDir', directory, () => disk.fsyncDir(`${directory}/log`))
  for (const map of chain.rebuilt) yield* writeIndex(disk, `${directory}/log`, map, layout.super.uuid)
  const active = `${directory}/log/${segmentName(last.map.id.epoch, last.map.id.baseLsn)}`
  const file = yield* step('open', active, () => disk.open(active, 'write'))
  const quarantined = size > last.map.end ? yield* quarantine(disk, directory, file, last.map.end, size, epoch) : undefined
  const rewrittenBytes = yield* rewrite(file, last.unmarked)

  const markPath = `${directory}/MARK`
  const markFile = yield* step('open', markPath, () => disk.open(markPath, 'write'))
  const markSlot = layout.markSlot === 0 ? 1 : 0
  const markSequence = mark.sequence + 1
  const { uuid } = layout.super
  const { id, end, nextLsn } = last.map
  const next = { uuid, epoch, segmentEpoch: id.epoch, lsn: nextLsn - 1, segmentBase: id.baseLsn, end, sequence: markSequence }
  yield* writeAll(markFile, encodeMark(next), markSlot * MARK_SLOT)
  yield* step('fdatasync', markPath, () => markFile.fdatasync())
  const superSlot = layout.superSlot === 0 ? 1 : 0
  const value: Super = { ...layout.super, epoch, sequence: layout.super.sequence + 1 }
  yield* writeSuper(disk, directory, superSlot, value)
  yield* step('fsyncDir', directory, () => disk.fsyncDir(directory))

  const { sealed } = chain
  const start = { disk, directory, epoch, segmentBytes, super: value, superSlot, markFile, markSequence, markSlot, file, sealed } as const
  const log = new DiskLog({ ...start, map: last.map })
  const tornBytes = size - end
  return { lock, log, state, report: { created, lsn: nextLsn - 1, epoch, tornBytes, quarantined, rewrittenBytes } }
}

interface ScannedAll {
  readonly state: LogState
  /** The last segment's scan, and its size in bytes. */
  readonly last: Scanned
  readonly size: number
}

/** Scans from the checkpoint to the end and judges the tail. Changes nothing; throws where the log is refused. */
function* scanAll({ disk, directory }: OpenOptions, layout: Scan): Steps<ScannedAll> {
  const { checkpointLsn, checkpointSegment, checkpointPosition } = layout.super
  const begin = checkpointLsn > 0 ? layout.segments.findIndex((s) => s.id.baseLsn === checkpointSegment) : 0
  // The checkpoint was synced before SUPER named it, so everything up to it counts as marked.
  const markLsn = Math.max(layout.mark.lsn, checkpointLsn)
  let state = checkpointLsn > 0 ? undefined : new LogState()
  for (const [i, { id, size, header }] of layout.segments.entries()) {
    if (i < begin) continue
    const name = segmentName(id.epoch, id.baseLsn)
    const path = `${directory}/log/${name}`
    const file = yield* step('open', path, () => disk.open(path, 'read'))
    const from = i === begin && checkpointLsn > 0 ? checkpointPosition : 0
    const scanned = yield* scanSegment({ file, header: header as SegmentHeader, size, from, markLsn, state })
    const { map } = scanned
    const lastSegment = i === layout.segments.length - 1
    const flawed = map.broken !== undefined
    const later = flawed && lastSegment ? yield* findLaterGroup(file, map.end + 8, size, scanned) : undefined
    yield* step('close', path, () => file.close())
    const facts = { markLsn, file: name, offset: map.end, nextLsn: map.nextLsn, size, lastSegment, why: map.broken, later }
    if (flawed || lastSegment) {
      const tail = decideTail(facts)
      if (tail.decision === 'refuse') throw refusal(directory, tail)
    }
    state = scanned.state
    if (scanned.undecodable || state === undefined) {
      throw refusal(directory, refuse('MR2002', `In ${name} at byte ${map.end}: the frame does not decode.`, { file: name, offset: map.end, lsn: map.nextLsn }))
    }
    map.broken = undefined
    if (lastSegment) return { state, last: scanned, size }
  }
  throw new MillraceError('MR2002', `${directory}: there is no segment.`)
}

interface Chain {
  readonly facts: readonly ChainFact[]
  readonly sealed: readonly SealedFact[]
  /** Removed by retention, but there again. */
  readonly removed: readonly SegmentFact['id'][]
  readonly rebuilt: readonly SegmentMap[]
}

/** How the segments hang together, by their indexes; a segment without one is walked. */
function* gatherChain(disk: Disk, directory: string, layout: Scan, removedTo: number): Steps<Chain> {
  const facts: ChainFact[] = []
  const sealedFacts: SealedFact[] = []
  const removed: SegmentFact['id'][] = []
  const rebuilt: SegmentMap[] = []
  for (const [i, { id, size, header }] of layout.segments.entries()) {
    const following = layout.segments[i + 1]
    if (following !== undefined && following.id.baseLsn - 1 <= removedTo) {
      removed.push(id)
      continue
    }
    const { prevHash } = header as SegmentHeader
    if (following === undefined) {
      facts.push({ id, size, prevHash, sealed: undefined })
      continue
    }
    let sealed: SealedChain | undefined = yield* readIndexHeader(disk, directory, id, layout.super.uuid)
    if (sealed === undefined) {
      const map = yield* walkSegment(disk, directory, id, prevHash, size)
      if (map.broken === undefined) rebuilt.push(map)
      sealed = map
    }
    facts.push({ id, size, prevHash, sealed })
    sealedFacts.push({ id, lastLsn: sealed.nextLsn - 1, bytes: sealed.end, maxLogTime: sealed.maxLogTime })
  }
  return { facts, sealed: sealedFacts, removed, rebuilt }
}

type SealedChain = NonNullable<ChainFact['sealed']> & { readonly maxLogTime: number }

function* readIndexHeader(disk: Disk, directory: string, id: SegmentFact['id'], uuid: Uint8Array): Steps<SealedChain | undefined> {
  const path = `${directory}/log/${indexName(id.epoch, id.baseLsn)}`
  if (!(yield* step('exists', path, () => disk.exists(path)))) return undefined
  const header = decodeIndexHeader(yield* readFile(disk, path, INDEX_HEADER), id, uuid)
  return header === undefined ? undefined : { ...header, broken: undefined }
}

function* walkSegment(disk: Disk, directory: string, id: SegmentFact['id'], prevHash: bigint, size: number): Steps<SegmentMap> {
  const path = `${directory}/log/${segmentName(id.epoch, id.baseLsn)}`
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

const COPY_CHUNK = 1024 * 1024

/** Copies the torn tail away, durably, then cuts it off. */
function* quarantine(disk: Disk, directory: string, file: DiskFile, from: number, size: number, epoch: number): Steps<string> {
  const folder = `${directory}/quarantine`
  const path = `${folder}/${epoch}-${file.path.slice(file.path.lastIndexOf('/') + 1)}-${from}`
  yield* step('mkdir', folder, () => disk.mkdir(folder))
  const copy = yield* step('open', path, () => disk.open(path, 'write'))
  for (let at = from; at < size; at += COPY_CHUNK) {
    const start = at
    const chunk = yield* step('read', file.path, () => readUpTo(file, start, Math.min(COPY_CHUNK, size - start)))
    yield* writeAll(copy, chunk, start - from)
  }
  yield* step('fdatasync', path, () => copy.fdatasync())
  yield* step('close', path, () => copy.close())
  yield* step('fsyncDir', folder, () => disk.fsyncDir(folder))
  yield* step('truncate', file.path, () => file.truncate(from))
  yield* step('fdatasync', file.path, () => file.fdatasync())
  return path
}

/**
 * Writes the frames above the mark once more and syncs them. After a failed sync the cache may hold bytes that the
 * disk does not, marked clean: only writing them again makes a sync mean anything.
 */
function* rewrite(file: DiskFile, unmarked: readonly Unmarked[]): Steps<number> {
  let bytes = 0
  for (const frame of unmarked) {
    yield* writeAll(file, frame.bytes, frame.position)
    bytes += frame.bytes.length
  }
  if (bytes > 0) yield* step('fdatasync', file.path, () => file.fdatasync())
  return bytes
}

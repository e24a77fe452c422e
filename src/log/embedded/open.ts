/** Opens a data directory for writing: gathers facts, lets decide.ts judge them, and does what it decided. */
import type { Disk, DiskFile, DiskLock } from '../../core/env/env.ts'
import { mark } from '../../core/mark.ts'
import { DiskError } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { createDirectory } from './create.ts'
import { decideChain, decideLayout } from './decide.ts'
import { DiskLog, writeIndex } from './disk-log.ts'
import { gatherChain, gatherLayout, refusal, scanAll } from './facts.ts'
import type { Layout } from './facts.ts'
import { fileName, indexName } from './format.ts'
import type { Unmarked } from './scan.ts'
import type { LogState } from './state.ts'
import { isFull, readUpTo, spaceOf, step, unlinkIfThere, writeAll } from './steps.ts'
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

/** Throws MillraceError: locked, refused, or the disk failed. After a refusal nothing was touched. */
export function* openDirectory(options: OpenOptions): Steps<Opened> {
  const { disk, directory } = options
  try {
    yield* step('mkdir', directory, () => disk.mkdir(`${directory}/log`))
    const lock = yield* step('lock', directory, () => disk.lock(`${directory}/LOCK`))
    if (lock === undefined)
      throw new MillraceError('MR2001', `${directory} is locked.`, { details: { directory } })
    try {
      return yield* openLocked(options, lock)
    } catch (error) {
      yield* step('release', directory, () => lock.release())
      throw error
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const full = isFull(error)
    const free = full ? spaceOf(disk, directory)?.free : undefined
    const room = free === undefined ? '' : ` There are ${free} bytes free.`
    const what = `Opening ${directory} failed: ${error.message}.${room}`
    const details = { directory, ...(free === undefined ? {} : { free }) }
    throw new MillraceError(full ? 'MR2007' : 'MR2015', what, { cause: error, details })
  }
}

function* openLocked(options: OpenOptions, lock: DiskLock): Steps<Opened> {
  const { disk, directory } = options
  const decision = decideLayout(yield* gatherLayout(disk, directory))
  if (decision.decision === 'refuse') throw refusal(directory, decision)
  if (decision.decision === 'create') {
    yield* createDirectory(disk, directory, options.newUuid)
    const created = decideLayout(yield* gatherLayout(disk, directory))
    if (created.decision !== 'scan')
      throw new MillraceError('MR2015', `${directory}: what was just created is not there.`)
    return yield* recover(options, lock, created, true)
  }
  return yield* recover(options, lock, decision, false)
}

function* recover(
  options: OpenOptions,
  lock: DiskLock,
  layout: Layout,
  created: boolean,
): Steps<Opened> {
  const { disk, directory, segmentBytes } = options
  const scanned = yield* scanAll(disk, directory, layout)
  const { state, last, size } = scanned
  const { map } = last
  const chain = yield* gatherChain(disk, directory, layout, state.removedTo)
  const whole = decideChain(chain.facts, state.removedTo)
  if (whole.decision === 'refuse') throw refusal(directory, whole)

  // From here on the directory is changed.
  const folder = `${directory}/log`
  for (const id of [...chain.removed, ...layout.drop]) {
    yield* unlinkIfThere(disk, `${folder}/${fileName(id)}`)
    yield* unlinkIfThere(disk, `${folder}/${indexName(id)}`)
  }
  // It may have been sealed before, and takes frames again: an index from then would deny those at the next start.
  yield* unlinkIfThere(disk, `${folder}/${indexName(map.id)}`)
  for (const name of layout.leftovers) yield* unlinkIfThere(disk, `${folder}/${name}`)
  yield* step('fsyncDir', folder, () => disk.fsyncDir(folder))
  for (const rebuilt of chain.rebuilt) {
    mark('recovery: an index is made again')
    yield* unlinkIfThere(disk, `${folder}/${indexName(rebuilt.id)}`)
    yield* writeIndex(disk, folder, rebuilt, layout.super.uuid)
  }
  const path = `${folder}/${fileName(map.id)}`
  const file = yield* step('open', path, () => disk.open(path, 'write'))
  const epoch = Math.max(layout.super.epoch, layout.mark.epoch, last.lastEpoch) + 1
  const torn = size > map.end
  const quarantined = torn ? yield* quarantine(disk, directory, file, map.end, epoch) : undefined
  const rewrittenBytes = yield* rewrite(file, last.unmarked)
  const markPath = `${directory}/MARK`
  const markFile = yield* step('open', markPath, () => disk.open(markPath, 'write'))
  const { sealed } = chain
  const start = { disk, directory, segmentBytes, epoch, markFile, file, map, sealed, ...layout }
  const log = new DiskLog(start)
  yield* log.begin()
  const { lsn } = log.published
  const report = { created, lsn, epoch, tornBytes: size - map.end, quarantined, rewrittenBytes }
  return { lock, log, state, report }
}

const COPY_CHUNK = 1024 * 1024

/** Copies the torn tail away, durably, then cuts it off. */
function* quarantine(
  disk: Disk,
  directory: string,
  file: DiskFile,
  from: number,
  epoch: number,
): Steps<string> {
  mark('recovery: a torn tail is set aside')
  const size = yield* step('size', file.path, () => file.size())
  const folder = `${directory}/quarantine`
  const path = `${folder}/${epoch}-${file.path.slice(file.path.lastIndexOf('/') + 1)}-${from}`
  yield* step('mkdir', folder, () => disk.mkdir(folder))
  const copy = yield* step('open', path, () => disk.open(path, 'write'))
  for (let at = from; at < size; at += COPY_CHUNK) {
    const start = at
    const chunk = yield* step('read', file.path, () =>
      readUpTo(file, start, Math.min(COPY_CHUNK, size - start)),
    )
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
    mark('recovery: frames above the mark are written again')
    yield* writeAll(file, frame.bytes, frame.position)
    bytes += frame.bytes.length
  }
  if (bytes > 0) yield* step('fdatasync', file.path, () => file.fdatasync())
  return bytes
}

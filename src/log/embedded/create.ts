/** Makes a new log in a directory. */
import { DiskError } from '../../core/env/env.ts'
import type { Disk } from '../../core/env/env.ts'
import { createSegment, writeSuper } from './disk-log.ts'
import { encodeMark, FORMAT_VERSION, MARK_SLOT, SEGMENT_HEADER } from './format.ts'
import { step, unlinkIfThere, writeAll } from './steps.ts'
import type { Steps } from './steps.ts'

/**
 * All names are made and synced first; SUPER.0's content comes last: before it is durable, the directory counts as not
 * created. What an earlier attempt left is made anew, because a name whose sync failed may look durable and not be.
 */
export function* createDirectory(disk: Disk, directory: string, uuid: Uint8Array): Steps<void> {
  yield* step('mkdir', directory, () => disk.mkdir(`${directory}/quarantine`))
  yield* renewName(disk, `${directory}/log`)
  for (const { name } of yield* step('list', directory, () => disk.list(`${directory}/log`))) {
    yield* unlinkIfThere(disk, `${directory}/log/${name}`)
  }
  for (const name of ['MARK', 'SUPER.0', 'SUPER.1'])
    yield* createEmpty(disk, `${directory}/${name}`)
  const segment = yield* createSegment(disk, `${directory}/log`, { epoch: 1, baseLsn: 1 }, uuid, 0n)
  if (segment === 'full') throw new DiskError('ENOSPC', 'create', directory)
  yield* step('close', segment.path, () => segment.close())
  const path = `${directory}/MARK`
  const mark = yield* step('open', path, () => disk.open(path, 'write'))
  const first = {
    uuid,
    epoch: 1,
    segmentEpoch: 1,
    lsn: 0,
    segmentBase: 1,
    end: SEGMENT_HEADER,
    sequence: 1,
  }
  const slots = new Uint8Array(2 * MARK_SLOT)
  slots.set(encodeMark(first))
  yield* writeAll(mark, slots, 0)
  yield* step('fdatasync', path, () => mark.fdatasync())
  yield* step('close', path, () => mark.close())
  yield* syncPath(disk, directory)
  const none = { checkpointLsn: 0, checkpointSegment: 0, checkpointPosition: 0 }
  yield* writeSuper(disk, directory, 0, {
    version: FORMAT_VERSION,
    incompat: 0,
    roCompat: 0,
    epoch: 1,
    uuid,
    sequence: 1,
    ...none,
  })
}

function* createEmpty(disk: Disk, path: string): Steps<void> {
  yield* unlinkIfThere(disk, path)
  const file = yield* step('create', path, () => disk.open(path, 'create'))
  yield* step('close', path, () => file.close())
}

function* renewName(disk: Disk, path: string): Steps<void> {
  const aside = `${path}.renewed`
  if (!(yield* step('exists', aside, () => disk.exists(aside))))
    yield* step('rename', path, () => disk.rename(path, aside))
  yield* step('rename', aside, () => disk.rename(aside, path))
}

/** Makes the directory's name durable, and those of its parents: they may have been created along with it. */
export function* syncPath(disk: Disk, directory: string): Steps<void> {
  const names = directory.split('/').filter((name) => name !== '')
  const root = directory.startsWith('/') ? '/' : './'
  for (let depth = names.length; depth >= 0; depth--) {
    const path = root + names.slice(0, depth).join('/')
    try {
      yield* step('fsyncDir', path, () => disk.fsyncDir(path))
    } catch (error) {
      // A parent that we may not even read is none that we created. In the directory itself we did.
      if (
        depth === names.length ||
        !(error instanceof DiskError) ||
        !['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(error.code)
      )
        throw error
    }
  }
}

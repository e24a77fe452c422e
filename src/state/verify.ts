/** Looks at the snapshots of all stores without changing anything. */
import { DiskError } from '../core/env/env.ts'
import type { Disk, DiskFile } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { CHUNK_HEADER, HEADER, readChunks, readHeader } from './snapshot-file.ts'
import type { SnapshotPlace } from './snapshot-file.ts'

export interface SnapshotSeen extends SnapshotPlace {
  /** Within the directory of the snapshots. */
  readonly file: string
  readonly bytes: number
  /** Its changelog is needed from this offset on; undefined where the snapshot is damaged, or of a newer version. */
  readonly offset: number | undefined
}

/** Every snapshot below `dir`, one step per file; those that are gone meanwhile are left out. */
export function* verifySnapshots(disk: Disk, dir: string): Generator<SnapshotSeen> {
  for (const file of snapshotFiles(disk, dir)) {
    const look = lookAtSnapshot(disk, dir, file)
    let step = look.next()
    while (step.done !== true) step = look.next()
    if (step.value !== undefined) yield step.value
  }
}

/** Reads one snapshot to its end; every step says how many bytes it read. Undefined where the file is gone. */
export function* lookAtSnapshot(
  disk: Disk,
  dir: string,
  { changelog, partition, name }: SnapshotFile,
): Generator<number, SnapshotSeen | undefined> {
  const within = `${changelog}/${partition}/${name}`
  let file: DiskFile
  try {
    file = disk.open(`${dir}/${within}`, 'read')
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    const offset = yield* offsetOf(file, { changelog, partition })
    return { changelog, partition, file: within, bytes: file.size(), offset }
  } finally {
    file.close()
  }
}

export interface SnapshotFile extends SnapshotPlace {
  readonly name: string
}

/** Files of snapshots below `dir`; none where there is no such directory. */
export function snapshotFiles(disk: Disk, dir: string): SnapshotFile[] {
  const files: SnapshotFile[] = []
  for (const changelog of foldersIn(disk, dir)) {
    for (const partition of foldersIn(disk, `${dir}/${changelog}`)) {
      if (!/^\d+$/.test(partition)) continue
      for (const { name } of disk.list(`${dir}/${changelog}/${partition}`)) {
        if (/^\d+\.snap$/.test(name)) files.push({ changelog, partition: Number(partition), name })
      }
    }
  }
  return files
}

function foldersIn(disk: Disk, path: string): string[] {
  if (!disk.exists(path)) return []
  return disk
    .list(path)
    .filter(({ directory }) => directory)
    .map(({ name }) => name)
}

function* offsetOf(file: DiskFile, place: SnapshotPlace): Generator<number, number | undefined> {
  try {
    const header = readHeader(file, place)
    if (header === undefined) return undefined
    yield HEADER
    for (const chunk of readChunks(file, header)) {
      if (chunk === undefined) return undefined
      yield CHUNK_HEADER + chunk.length
    }
    return header.offset
  } catch (error) {
    const newer = error instanceof MillraceError && error.code === 'MR2004'
    if (!newer && !(error instanceof DiskError)) throw error
    return undefined
  }
}

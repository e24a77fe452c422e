import { dirname } from 'node:path'
import { DiskError } from './env/env.ts'
import type { Disk } from './env/env.ts'

/**
 * Makes a directory and its parents so that they survive a power cut, from the top down. The deepest one that is there
 * already is synced all the same: whoever made it may have died before he could. Throws DiskError; then the next call
 * begins anew.
 */
export function makeDirectories(disk: Disk, path: string): void {
  const missing: string[] = []
  let there = path
  for (; !disk.exists(there); there = dirname(there)) missing.unshift(there)
  try {
    if (there !== dirname(there)) disk.fsyncDir(dirname(there))
  } catch (error) {
    // A parent that we may not even read is none that we put something into.
    if (!(error instanceof DiskError) || error.code !== 'EACCES') throw error
  }
  for (const made of missing) {
    disk.mkdir(made)
    try {
      disk.fsyncDir(dirname(made))
    } catch (error) {
      renew(disk, made)
      throw error
    }
  }
}

/** No later sync makes up for one that failed. The directory is empty, so its name can be made anew. */
function renew(disk: Disk, made: string): void {
  disk.rename(made, `${made}.renewed`)
  disk.rename(`${made}.renewed`, made)
}

import { dirname } from 'node:path'
import type { Disk } from '../core/env/env.ts'

/** Makes a directory and its parents so that they survive a power cut. */
export function makeDirectory(disk: Disk, path: string): void {
  const missing: string[] = []
  for (let at = path; !disk.exists(at); at = dirname(at)) missing.push(at)
  if (missing.length === 0) return
  disk.mkdir(path)
  for (const made of missing) disk.fsyncDir(dirname(made))
}

/**
 * Where a file source stands, and how it finds its file again. A name says nothing after a rotation, an inode may be
 * given to another file, and a truncated file keeps both: so a position also carries a hash of the file's first bytes.
 */
import type { Disk, DiskFile } from '../core/env/env.ts'
import { DiskError } from '../core/env/env.ts'
import { murmur2 } from '../core/hash.ts'
import { MillraceError } from '../errors.ts'

export interface FilePosition {
  readonly inode: number
  /** Bytes that are done. */
  readonly offset: number
  /** Hash of the first `headBytes` bytes. */
  readonly head: number
  readonly headBytes: number
  /** The line that goes on at `offset` is too long: it was handed out cut, and its rest is passed over. */
  readonly cut: boolean
}

/** Bytes of the beginning by which a file is known again. */
export const longestHead = 256

export function readPosition(path: string, text: string): FilePosition {
  try {
    const { inode, offset, head, headBytes, cut } = JSON.parse(text) as Record<string, unknown>
    if (
      typeof inode === 'number' &&
      typeof offset === 'number' &&
      typeof head === 'number' &&
      typeof headBytes === 'number'
    ) {
      return { inode, offset, head, headBytes, cut: cut === true }
    }
  } catch {
    // Falls through to the one error for all of it.
  }
  throw new MillraceError('MR1061', `The file source ${path} cannot read its position ${text}.`)
}

/** The hash of the first bytes, 0 of none; undefined when the file has fewer. */
export function headOf(file: DiskFile, length: number): number | undefined {
  if (length === 0) return 0
  const bytes = new Uint8Array(length)
  return readFully(file, bytes, 0) === length ? murmur2(bytes) : undefined
}

/** Fills `into` as far as the file goes; returns how far. */
export function readFully(file: DiskFile, into: Uint8Array, position: number): number {
  let length = 0
  while (length < into.length) {
    const read = file.read(into.subarray(length), position + length)
    if (read === 0) break
    length += read
  }
  return length
}

export interface Candidate {
  readonly path: string
  readonly inode: number
  readonly mtimeMs: number
}

/**
 * The file and those it was rotated to, oldest first: by the time of the last change, which renaming leaves as it is, and
 * at equal times by number, `events.log.2` before `events.log.1` before `events.log`.
 */
export function generations(disk: Disk, path: string): Candidate[] {
  const slash = path.lastIndexOf('/')
  const directory = slash < 0 ? '.' : slash === 0 ? '/' : path.slice(0, slash)
  const base = path.slice(slash + 1)
  const prefix = slash < 0 ? '' : path.slice(0, slash + 1)
  const found: { path: string; inode: number; mtimeMs: number; number: number }[] = []
  for (const entry of listed(disk, directory)) {
    const rotated = entry.startsWith(`${base}.`) || entry.startsWith(`${base}-`)
    // What is compressed was read before, or cannot be read here at all.
    if (entry !== base && (!rotated || /\.(gz|bz2|xz|zst)$/.test(entry))) continue
    const stat = statOf(disk, prefix + entry)
    if (stat === undefined) continue
    const number = entry === base ? -1 : Number(/\.(\d+)$/.exec(entry)?.[1] ?? 0)
    found.push({ path: prefix + entry, inode: stat.inode, mtimeMs: stat.mtimeMs, number })
  }
  // The file itself is the newest, whatever its clock says.
  const age = (entry: (typeof found)[number]): number =>
    entry.number < 0 ? Infinity : entry.mtimeMs
  const byAge = (a: number, b: number): number => (a === b ? 0 : a - b)
  return found.toSorted((a, b) => byAge(age(a), age(b)) || b.number - a.number)
}

export function statOf(
  disk: Disk,
  path: string,
): { size: number; mtimeMs: number; inode: number } | undefined {
  try {
    return disk.stat(path)
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return undefined
    throw error
  }
}

function listed(disk: Disk, directory: string): string[] {
  try {
    return disk.list(directory).flatMap((entry) => (entry.directory ? [] : [entry.name]))
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return []
    throw error
  }
}

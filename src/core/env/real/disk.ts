import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { DiskError } from '../env.ts'
import type { Disk, DiskEntry, DiskFile } from '../env.ts'
import { lockFile } from './lock.ts'

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants
// `w` and `r+` will not do: one truncates, the other needs the file to be there.
const flags = { read: O_RDONLY, write: O_RDWR | O_CREAT, create: O_RDWR | O_CREAT | O_EXCL }

/** Runs a file system call and turns what it throws into a DiskError. */
export function diskCall<T>(operation: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw diskError(error, operation, path)
  }
}

function diskError(error: unknown, operation: string, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  return new DiskError(String(error.code), operation, path)
}

class RealFile implements DiskFile {
  readonly path: string
  readonly #fd: number

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  read(into: Uint8Array, position: number): number {
    try {
      return fs.readSync(this.#fd, into, 0, into.length, position)
    } catch (error) {
      throw diskError(error, 'read', this.path)
    }
  }

  write(bytes: Uint8Array, position: number): number {
    try {
      return fs.writeSync(this.#fd, bytes, 0, bytes.length, position)
    } catch (error) {
      throw diskError(error, 'write', this.path)
    }
  }

  size(): number {
    return diskCall('size', this.path, () => fs.fstatSync(this.#fd).size)
  }

  truncate(size: number): void {
    diskCall('truncate', this.path, () => fs.ftruncateSync(this.#fd, size))
  }

  fdatasync(): void {
    diskCall('fdatasync', this.path, () => fs.fdatasyncSync(this.#fd))
  }

  close(): void {
    diskCall('close', this.path, () => fs.closeSync(this.#fd))
  }
}

function list(path: string): DiskEntry[] {
  const entries = diskCall('list', path, () => fs.readdirSync(path, { withFileTypes: true }))
  return entries
    .map((entry) => ({ name: entry.name, directory: entry.isDirectory() }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Node's own recursion never ends where a file system answers ENOENT to a mkdir whose parent is there, as /proc does. */
function makeDirectories(path: string): void {
  try {
    fs.mkdirSync(path, 0o750)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST' && fs.statSync(path).isDirectory()) return
    const parent = dirname(path)
    if (code !== 'ENOENT' || fs.existsSync(parent)) throw error
    makeDirectories(parent)
    makeDirectories(path)
  }
}

function fsyncDir(path: string): void {
  diskCall('fsyncDir', path, () => {
    const fd = fs.openSync(path, O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  })
}

function space(path: string): { free: number; total: number } {
  const info = diskCall('space', path, () => fs.statfsSync(path))
  return { free: info.bavail * info.bsize, total: info.blocks * info.bsize }
}

/** The machine's file system, synchronous. `list` is sorted by name. */
export function realDisk(): Disk {
  return {
    open: (path, mode) =>
      new RealFile(
        path,
        diskCall('open', path, () => fs.openSync(path, flags[mode], 0o640)),
      ),
    exists: (path) => fs.existsSync(path),
    list,
    mkdir: (path) => diskCall('mkdir', path, () => makeDirectories(path)),
    rename: (from, to) => diskCall('rename', from, () => fs.renameSync(from, to)),
    unlink: (path) => diskCall('unlink', path, () => fs.unlinkSync(path)),
    fsyncDir,
    stat: (path) => {
      const { size, mtimeMs, ino } = diskCall('stat', path, () => fs.statSync(path))
      return { size, mtimeMs, inode: ino }
    },
    space,
    lock: (path) => diskCall('lock', path, () => lockFile(path)),
  }
}

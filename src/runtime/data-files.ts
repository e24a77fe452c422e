/**
 * Small JSON files beside the log, written whole or not at all: the value in one line, and in the next the XXH64 of its
 * bytes. A file without that line is of a version that wrote no checksum, and taken as it is.
 */
import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { xxh64 } from '../core/hash.ts'
import { MillraceError } from '../errors.ts'

type Disk = Pick<Env, 'disk'>

/** Replaces the file; durable when this returns. Throws MR2007 or MR2015, and leaves the file as it was. */
export function saveJson({ disk }: Disk, dataDir: string, name: string, value: unknown): void {
  const path = `${dataDir}/${name}`
  const temporary = `${path}.new`
  const bytes = encodeJson(value)
  try {
    if (disk.exists(temporary)) disk.unlink(temporary)
    const file = disk.open(temporary, 'create')
    try {
      for (let at = 0; at < bytes.length;) at += file.write(bytes.subarray(at), at)
      file.fdatasync()
    } finally {
      file.close()
    }
    disk.rename(temporary, path)
    disk.fsyncDir(dataDir)
  } catch (error) {
    throw error instanceof DiskError ? unusable(error) : error
  }
}

/** What `saveJson` writes. */
export function encodeJson(value: unknown): Uint8Array {
  const line = new TextEncoder().encode(JSON.stringify(value))
  return Buffer.concat([line, Buffer.from(`\n{"xxh64":"${hashOf(line)}"}\n`)])
}

const hashOf = (line: Uint8Array): string => xxh64(line).toString(16).padStart(16, '0')

/** Undefined where there is no such file. Throws MR2015 where it cannot be read, MR6016 where it is damaged. */
export function readJson({ disk }: Disk, dataDir: string, name: string): unknown {
  const path = `${dataDir}/${name}`
  const bytes = bytesOf(disk, path)
  if (bytes === undefined) return undefined
  const line = checked(bytes, path)
  try {
    return JSON.parse(new TextDecoder().decode(line))
  } catch (error) {
    throw new MillraceError('MR6016', `${path} is not JSON.`, { cause: error })
  }
}

const trailer = /\n\{"xxh64":"([0-9a-f]{16})"\}\n$/

/** The value's bytes. A trailer that is damaged itself stays in them, and no JSON goes on behind its end. */
function checked(bytes: Uint8Array, path: string): Uint8Array {
  const found = trailer.exec(Buffer.from(bytes).toString('latin1'))
  if (found === null) return bytes
  const line = bytes.subarray(0, found.index)
  if (hashOf(line) === found[1]) return line
  throw new MillraceError('MR6016', `${path} has other bytes than were written.`)
}

function bytesOf(disk: Env['disk'], path: string): Uint8Array | undefined {
  try {
    if (!disk.exists(path)) return undefined
    const file = disk.open(path, 'read')
    try {
      const bytes = new Uint8Array(file.size())
      for (let at = 0; at < bytes.length;) {
        const read = file.read(bytes.subarray(at), at)
        if (read === 0) break
        at += read
      }
      return bytes
    } finally {
      file.close()
    }
  } catch (error) {
    throw error instanceof DiskError ? unusable(error) : error
  }
}

/** What the engine keeps in its directory beside the log cannot be read or written. */
export function unusable(error: DiskError): MillraceError {
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  const what = `${error.path} cannot be used (${error.operation}: ${error.code}).`
  return new MillraceError(full ? 'MR2007' : 'MR2015', what, { cause: error })
}

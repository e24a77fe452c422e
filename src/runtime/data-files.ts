/** Small JSON files beside the log, written whole or not at all, with a checksum. */
import { decodeCheckedJson, encodeCheckedJson } from '../core/checked-json.ts'
import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'

type Disk = Pick<Env, 'disk'>

/** Replaces the file; durable when this returns. Throws MR2007 or MR2015, and leaves the file as it was. */
export function saveJson({ disk }: Disk, dataDir: string, name: string, value: unknown): void {
  const path = `${dataDir}/${name}`
  const temporary = `${path}.new`
  const bytes = encodeCheckedJson(value)
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

/**
 * A process that was killed may have left files whose names are not durable: whoever goes by what they say calls this
 * first, or a power cut takes it back. Throws MR2015.
 */
export function settleNames({ disk }: Disk, dataDir: string): void {
  try {
    disk.fsyncDir(dataDir)
  } catch (error) {
    throw error instanceof DiskError ? unusable(error) : error
  }
}

/** Whether the file is there, with this value and undamaged. Throws MR2015 where it cannot be read. */
export function holdsJson({ disk }: Disk, dataDir: string, name: string, value: unknown): boolean {
  const bytes = bytesOf(disk, `${dataDir}/${name}`)
  return bytes !== undefined && Buffer.compare(bytes, encodeCheckedJson(value)) === 0
}

/** Undefined where there is no such file. Throws MR2015 where it cannot be read, MR6016 where it is damaged. */
export function readJson({ disk }: Disk, dataDir: string, name: string): unknown {
  const path = `${dataDir}/${name}`
  const bytes = bytesOf(disk, path)
  if (bytes === undefined) return undefined
  try {
    return decodeCheckedJson(bytes)
  } catch (error) {
    throw new MillraceError('MR6016', `${path} ${(error as Error).message}.`, { cause: error })
  }
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

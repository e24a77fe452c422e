import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { MillraceError } from '../errors.ts'

/** Bytes of a Unix socket path that every system takes, its ending zero included. */
const longestSocketPath = 103

/** A name for the engine's socket that the system accepts; `release` after binding or connecting. */
export interface SocketName {
  readonly path: string
  release(): void
}

/**
 * The admin socket of a data directory. The name of a socket is limited to about 100 bytes, directories are not: behind a
 * longer one the socket is named through an open descriptor of the directory, which Linux offers. Throws MR6002 elsewhere.
 */
export function socketName(dataDir: string): SocketName {
  const path = join(dataDir, 'admin.sock')
  if (Buffer.byteLength(path) <= longestSocketPath) return { path, release: () => {} }
  if (process.platform !== 'linux') {
    throw new MillraceError(
      'MR6002',
      `The data directory makes the socket path ${Buffer.byteLength(path)} bytes long, and ${longestSocketPath} is the limit here: choose a shorter one.`,
    )
  }
  const descriptor = openSync(dataDir, 'r')
  return { path: `/proc/self/fd/${descriptor}/admin.sock`, release: () => closeSync(descriptor) }
}

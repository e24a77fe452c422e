import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { basename, dirname, join } from 'node:path'
import { DiskError } from '../env.ts'
import type { DiskLock } from '../env.ts'

/** Where util-linux and BusyBox put it; the PATH may be empty, and both sides must agree on the method. */
const flockCommands = ['flock', '/usr/bin/flock', '/bin/flock', '/usr/local/bin/flock']

/** Linux takes 108 bytes for a socket's path with the final zero, macOS 104. */
const longestSocketPath = 103

/**
 * An exclusive lock that the kernel drops when this process ends, however it ends; undefined when it is taken.
 *
 * Node cannot call flock(2). A lock belongs to the open file, not to who asked for it: a child that inherits
 * our descriptor takes the lock, exits, and the lock stays with us. Without the command, a unix socket serves.
 */
export function lockFile(path: string): DiskLock | undefined {
  const lock = lockByFlock(path, flockCommands)
  return lock === 'no-flock' ? lockBySocket(path) : lock
}

export function lockByFlock(
  path: string,
  commands: readonly string[],
): DiskLock | undefined | 'no-flock' {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640)
  for (const command of commands) {
    const child = spawnSync(command, ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'pipe', fd] })
    if (child.error !== undefined) continue
    if (child.status === 0) return { release: () => fs.closeSync(fd) }
    fs.closeSync(fd)
    if (child.status === 1) return undefined
    throw new DiskError('ENOLCK', 'lock', `${path} (${child.stderr.toString().trim()})`)
  }
  fs.closeSync(fd)
  return 'no-flock'
}

/**
 * Each contender listens on a socket of its own name first and looks at the others second, and holds the lock only
 * if none of them answers. Of two at once, at least the later one to listen sees the other: never both hold it
 * (both may be refused). Only a holder removes sockets of the dead, and a contender whose socket was removed before
 * it listened gives up: nobody would see it.
 */
export function lockBySocket(path: string): DiskLock | undefined {
  const own = `${path}.${randomBytes(6).toString('hex')}.sock`
  if (Buffer.byteLength(own) > longestSocketPath) {
    throw new DiskError('ENAMETOOLONG', 'lock', `${own} (install flock or use a shorter directory)`)
  }
  fs.closeSync(fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640))
  const server = net.createServer((socket) => socket.destroy())
  server.on('error', () => {})
  server.listen(own)
  // For a path, Node binds and listens before `listen` returns; only the events come later.
  if (!server.listening) throw new DiskError('EADDRINUSE', 'lock', own)
  server.unref()
  const release = (): void => {
    server.close()
  }
  const others = socketsBeside(path).filter((other) => other !== own)
  if (anyAnswers(others) || !fs.existsSync(own)) {
    release()
    return undefined
  }
  for (const dead of others) fs.rmSync(dead, { force: true })
  return { release }
}

function socketsBeside(path: string): string[] {
  const prefix = `${basename(path)}.`
  return fs
    .readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && name.endsWith('.sock'))
    .map((name) => join(dirname(path), name))
}

const probe = `
const paths = process.argv.slice(1)
let open = paths.length
for (const path of paths) {
  const socket = require('node:net').connect(path)
  socket.on('connect', () => process.exit(7))
  socket.on('error', () => { if (--open === 0) process.exit(0) })
}`

/** Whether somebody listens on one of the sockets: asked by a child, because connecting is asynchronous here. */
function anyAnswers(paths: readonly string[]): boolean {
  if (paths.length === 0) return false
  const child = spawnSync(process.execPath, ['-e', probe, ...paths], { stdio: 'ignore' })
  return child.status !== 0
}

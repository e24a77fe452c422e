/**
 * Loaded before the engine in each of its threads (`node --import`): makes it small, and ends the process with SIGKILL at
 * the place that the environment names. The engine has nothing of this in it.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { limits } from '../../src/limits.ts'
import { pointVariable, smallVariable, type ArmedPoint, type Point } from './point.ts'

const small = process.env[smallVariable]
if (small !== undefined) makeSmall(Number(small))
const text = process.env[pointVariable]
if (text !== undefined) arm(JSON.parse(text) as ArmedPoint)

function makeSmall(snapshotKiB: number): void {
  const KiB = 1024
  Object.assign(limits, {
    segmentBytes: 512 * KiB,
    checkpointBytes: 384 * KiB,
    snapshotBytes: snapshotKiB * KiB,
  })
  // How often the log looks for what may go is an option of the log that the engine leaves at its default of 10 s. Whoever
  // reads an option that is not given reads it here.
  Object.defineProperty(Object.prototype, 'retentionCheckMs', { value: 200, writable: true })
}

function arm(point: ArmedPoint): void {
  const pattern = new RegExp(point.on)
  const original = { ...fs }
  const paths = new Map<number, string>()
  let archiving = false
  let count = 0

  const hits = (op: Point['op'], on: string, position?: number | bigint | null): boolean => {
    if (op !== point.op || !pattern.test(on)) return false
    if (point.at !== undefined && (point.at === 'start') !== (Number(position ?? 0) === 0))
      return false
    if (point.archiving !== undefined && point.archiving !== archiving) return false
    return ++count === point.nth
  }
  const end = (): never => {
    process.kill(process.pid, 'SIGKILL')
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  }
  /** Runs `call`, unless the process ends before it; ends it behind where the point says so. */
  const around = <T>(hit: boolean, call: () => T): T => {
    if (hit && point.when === 'before') end()
    try {
      const result = call()
      return hit ? end() : result
    } catch (error) {
      // A call that did nothing is no place to be behind.
      if (hit) count--
      throw error
    }
  }

  fs.openSync = (path, flags, mode) => {
    const creates = typeof flags === 'number' && (flags & fs.constants.O_EXCL) !== 0
    const writes = typeof flags === 'number' && (flags & fs.constants.O_CREAT) !== 0
    const op = creates ? 'create' : writes ? 'open' : undefined
    const open = (): number => original.openSync(path, flags, mode)
    const fd = op === undefined ? open() : around(hits(op, String(path)), open)
    paths.set(fd, String(path))
    return fd
  }
  const writeSync = (fd: number, bytes: Uint8Array, ...rest: unknown[]): number => {
    const path = paths.get(fd) ?? ''
    const [offset = 0, length = bytes.length, position = null] = rest as (number | undefined)[]
    const write = (size: number): number =>
      original.writeSync(fd, bytes, offset as number, size, position as number)
    if (path.endsWith('.seg')) archiving = false
    const hit = hits('write', path, position)
    if (hit && point.when === 'half') {
      write(Math.ceil((length as number) / 2))
      end()
    }
    return around(hit, () => write(length as number))
  }
  fs.writeSync = writeSync as typeof fs.writeSync
  fs.fdatasyncSync = (fd) =>
    around(hits('sync', paths.get(fd) ?? ''), () => original.fdatasyncSync(fd))
  fs.fsyncSync = (fd) =>
    around(hits('sync-directory', paths.get(fd) ?? ''), () => original.fsyncSync(fd))
  fs.ftruncateSync = (fd, size) =>
    around(hits('truncate', paths.get(fd) ?? ''), () => original.ftruncateSync(fd, size))
  fs.renameSync = (from, to) => {
    if (String(to).endsWith('.arc')) archiving = true
    around(hits('rename', String(to)), () => original.renameSync(from, to))
  }
  fs.unlinkSync = (path) => around(hits('unlink', String(path)), () => original.unlinkSync(path))
  fs.mkdirSync = ((path: fs.PathLike, options: fs.MakeDirectoryOptions) =>
    around(hits('mkdir', String(path)), () =>
      original.mkdirSync(path, options),
    )) as typeof fs.mkdirSync
  syncBuiltinESMExports()

  const { exec } = DatabaseSync.prototype
  DatabaseSync.prototype.exec = function (sql) {
    around(hits('sqlite', sql), () => exec.call(this, sql))
  }
  const { run } = StatementSync.prototype
  StatementSync.prototype.run = function (this: StatementSync, ...values: unknown[]) {
    return around(hits('sqlite', this.sourceSQL), () => run.apply(this, values as never))
  } as typeof run
}

/**
 * Disk work as a step machine. Code that writes the log yields one named disk operation at a time and receives its
 * result, so the same code runs synchronously in the log thread and one operation per step in the simulator, where
 * it can be stopped for good between any two of them.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'

export interface DiskOp {
  readonly name: string
  readonly path: string
  readonly run: () => unknown
}

export type Steps<T> = Generator<DiskOp, T, unknown>

/** One disk operation. A DiskError is thrown into the generator at this point. */
export function* step<T>(name: string, path: string, run: () => T): Steps<T> {
  return (yield { name, path, run }) as T
}

/** Runs to the end at once: the real driver. */
export function runSteps<T>(steps: Steps<T>): T {
  let next = steps.next()
  while (next.done !== true) next = advance(steps, next.value)
  return next.value
}

/**
 * Runs one operation per `turn()`: the simulator's driver. A turn that never resolves is a killed process; where there
 * is none, the operation follows at once.
 */
export async function runStepsByTurns<T>(
  steps: Steps<T>,
  turn: (op: DiskOp) => Promise<void> | undefined,
): Promise<T> {
  let next = steps.next()
  while (next.done !== true) {
    const pause = turn(next.value)
    if (pause !== undefined) await pause
    next = advance(steps, next.value)
  }
  return next.value
}

function advance<T>(steps: Steps<T>, op: DiskOp): IteratorResult<DiskOp, T> {
  let result: unknown
  try {
    result = op.run()
  } catch (error) {
    return steps.throw(error)
  }
  return steps.next(result)
}

/** Writes all of `bytes` at `position`, going on after short writes. */
export function* writeAll(file: DiskFile, bytes: Uint8Array, position: number): Steps<void> {
  let done = 0
  while (done < bytes.length) {
    const rest = done === 0 ? bytes : bytes.subarray(done)
    const wrote = yield* step('write', file.path, () => file.write(rest, position + done))
    // A disk that takes nothing and says nothing would loop here for ever.
    if (wrote === 0) throw new DiskError('EIO', 'write', file.path)
    done += wrote
  }
}

/** Reads up to `length` bytes at `position`; shorter only at the end of the file. */
export function readUpTo(file: DiskFile, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  return bytes.subarray(0, readFully(file, bytes, position))
}

/** Fills `into` from `position`; returns the bytes read, fewer only at the end of the file. */
export function readFully(file: DiskFile, into: Uint8Array, position: number): number {
  let done = 0
  while (done < into.length) {
    const read = file.read(done === 0 ? into : into.subarray(done), position + done)
    if (read === 0) break
    done += read
  }
  return done
}

/** The whole file, if it is no longer than `limit`; what lies beyond the limit is left out. */
export function* readFile(disk: Disk, path: string, limit: number): Steps<Uint8Array> {
  return yield* step('read', path, () => {
    const file = disk.open(path, 'read')
    try {
      return readUpTo(file, 0, Math.min(file.size(), limit))
    } finally {
      file.close()
    }
  })
}

/** Bytes free, and in all, where `path` is; undefined when the disk does not say. */
export function spaceOf(disk: Disk, path: string): ReturnType<Disk['space']> | undefined {
  try {
    return disk.space(path)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return undefined
  }
}

/** For files that were only read, or synced: an error at closing says nothing that counts. */
export function closeFile(file: DiskFile): void {
  try {
    file.close()
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
  }
}

/** Whether the error says that there is no room: the one kind of write error after which the log goes on. */
export function isFull(error: unknown): boolean {
  return error instanceof DiskError && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code)
}

export function* unlinkIfThere(disk: Disk, path: string): Steps<void> {
  try {
    yield* step('unlink', path, () => disk.unlink(path))
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'ENOENT') throw error
  }
}

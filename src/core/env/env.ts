/**
 * @contract Env: the only way to time, randomness, timers, disk and network.
 *
 * Two implementations: `real/` (the machine) and `simulated/` (virtual clock, seeded, a disk that loses what was
 * not synced). Nothing outside `real/` touches the ambient ones; the linter says which member of Env to use instead.
 *
 * Invariants for users of an Env:
 *  - Disk calls are synchronous. They throw DiskError with an errno `code` and nothing else.
 *  - Data is durable only after `fdatasync` of the file; a created, renamed or removed name only after `fsyncDir`.
 *  - After a failed fdatasync nothing about the file may be assumed: fail-stop.
 * Invariants for implementations:
 *  - `write` may write less than asked (short write); it returns the count.
 *  - Timers never fire early; equal deadlines fire in the order they were set.
 */

/** Wall and monotonic time, both in milliseconds. `now()` may jump either way; `monotonic()` never goes back. */
export interface Clock {
  now(): number
  monotonic(): number
}

/** Seeded in simulation; the operating system's in the real Env. */
export interface Random {
  /** Uniform in [0, 1). */
  float(): number
  /** Uniform integer in [0, bound). */
  int(bound: number): number
  /** `length` random bytes, fit for identifiers (in the real Env also for secrets). */
  bytes(length: number): Uint8Array
}

export interface Timers {
  /** Resolves after `ms`; resolves early (never rejects) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void
  /** Lets other work run: one turn of the event loop, or one step of the simulator. */
  yield(): Promise<void>
}

export type DiskErrorCode =
  | 'ENOENT'
  | 'EEXIST'
  | 'EIO'
  | 'ENOSPC'
  | 'EDQUOT'
  | 'EACCES'
  | 'EROFS'
  | 'EMFILE'
  | 'EFBIG'
  | 'ENOTDIR'
  | 'ENOTEMPTY'
  | 'EINVAL'
  | 'EISDIR'
  | 'EPERM'

/** The one error disk operations throw. */
export class DiskError extends Error {
  readonly code: DiskErrorCode | (string & {})
  readonly operation: string
  readonly path: string
  constructor(code: string, operation: string, path: string) {
    super(`${operation} ${path}: ${code}`)
    this.name = 'DiskError'
    this.code = code
    this.operation = operation
    this.path = path
  }
}

export interface DiskFile {
  readonly path: string
  /** Reads into `into` from `position`; returns the bytes read, 0 at the end of the file. */
  read(into: Uint8Array, position: number): number
  /** Writes at `position`; may write less than asked. Returns the bytes written. */
  write(bytes: Uint8Array, position: number): number
  size(): number
  truncate(size: number): void
  fdatasync(): void
  close(): void
}

export interface DiskEntry {
  readonly name: string
  readonly directory: boolean
}

/** A held lock; released by `release()` or when the process dies, however it dies. */
export interface DiskLock {
  release(): void
}

export interface Disk {
  /** `create` fails with EEXIST when the file is there; `write` opens or creates; `read` needs it to be there. */
  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile
  exists(path: string): boolean
  list(path: string): DiskEntry[]
  /** Creates the directory and its parents; does not sync them. */
  mkdir(path: string): void
  rename(from: string, to: string): void
  unlink(path: string): void
  fsyncDir(path: string): void
  /** Size, modification time (ms) and inode: what a file follower needs to see a rotation. */
  stat(path: string): { size: number; mtimeMs: number; inode: number }
  /** Bytes free to this user, and in all, on the file system holding `path`. */
  space(path: string): { free: number; total: number }
  /** Exclusive lock on `path` for this process; undefined when another process holds it. */
  lock(path: string): DiskLock | undefined
}

/** One outgoing request; every request carries a deadline and a bound on the answer. */
export interface NetRequest {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
  /** When false, addresses that are private, link-local, loopback or otherwise not public are refused at connect time. */
  readonly allowPrivate: boolean
}

export interface NetAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** Outgoing HTTP. Rejects with NetError: `refused` means nothing was sent, `unknown` means the peer may have acted. */
export interface Net {
  request(request: NetRequest): Promise<NetAnswer>
}

export class NetError extends Error {
  readonly kind: 'refused' | 'private-address' | 'timeout' | 'unknown'
  constructor(kind: NetError['kind'], message: string) {
    super(message)
    this.name = 'NetError'
    this.kind = kind
  }
}

export interface Env {
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly disk: Disk
  readonly net: Net
}

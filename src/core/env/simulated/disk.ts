import { crc32 } from 'node:zlib'
import { DiskError } from '../env.ts'
import { crashMoment, Faults, isChanging } from './faults.ts'
import type { DiskEffect, DiskFault, DiskOperation } from './faults.ts'
import { Inode } from './inode.ts'
import type { SeededRandom } from './prng.ts'
import { Directory, loseNames } from './tree.ts'
import type { Node } from './tree.ts'

/** The process a disk works for: it must be alive, and the disk may end it. */
export interface DiskOwner {
  readonly label: string
  readonly alive: boolean
  /** Ends it without a trace of ceremony, and calls `detach`. */
  end(): void
  /** Ends the process it is a thread of; the same as `end` where it is no thread. */
  endProcess(): void
}

/** Thrown out of the disk call in which a process died. Nothing the dead code does after it has any effect. */
export class ProcessDied extends Error {
  constructor(label: string) {
    super(`${label} is dead`)
    this.name = 'ProcessDied'
  }
}

export interface DiskOptions {
  readonly random: SeededRandom
  readonly trace: (line: string) => void
  /** Milliseconds for modification times. */
  readonly now: () => number
  /** Lets virtual milliseconds pass inside an operation. */
  readonly spend: (ms: number) => void
  /** Default 1 TiB. */
  readonly capacityBytes?: number
}

/**
 * A disk that outlives processes. It keeps what programs see apart from what would survive a power cut, and gives of
 * the difference as little as POSIX allows: a file's bytes only after its `fdatasync`, a name only after `fsyncDir`.
 */
export class SimulatedDisk {
  readonly root = new Directory(0)
  readonly faults = new Faults()
  readonly now: () => number
  capacityBytes: number
  /** Looked at before the faults; what it returns is done to the operation. */
  hook:
    | ((operation: DiskOperation, path: string, changes: number) => DiskEffect | undefined)
    | undefined
  usedBytes = 0
  /** Operations so far, and those of them that change the disk. */
  operations = 0
  changes = 0
  /** What was done to it, by kind. */
  readonly counts = new Map<string, number>()

  readonly locks = new Map<Node, DiskOwner>()
  readonly #owners = new Map<DiskOwner, () => void>()
  readonly #random: SeededRandom
  readonly #trace: (line: string) => void
  readonly #spend: (ms: number) => void
  #nodes = 1

  constructor(options: DiskOptions) {
    this.#random = options.random
    this.#trace = options.trace
    this.now = options.now
    this.#spend = options.spend
    this.capacityBytes = options.capacityBytes ?? 2 ** 40
  }

  /** Notes a process that uses this disk; `closeAll` drops what it holds open. */
  attach(owner: DiskOwner, closeAll: () => void): void {
    this.#owners.set(owner, closeAll)
  }

  /** Makes the matching operations fail, fall short, or crash. Returns a function that takes it back. */
  inject(fault: DiskFault): () => void {
    return this.faults.add(fault)
  }

  newFile(): Inode {
    return new Inode(this.#nodes++)
  }

  newDirectory(): Directory {
    return new Directory(this.#nodes++)
  }

  /** Drops a dead process: its open files, its locks. What it wrote stays visible. */
  detach(owner: DiskOwner): void {
    this.#owners.get(owner)?.()
    this.#owners.delete(owner)
    for (const [node, holder] of this.locks) if (holder === owner) this.locks.delete(node)
  }

  /** Ends every process on this disk and loses what was not synced, as far as `random` decides. */
  losePower(): void {
    for (const owner of this.#owners.keys()) owner.end()
    const directories = [...nodesUnder(this.root)].filter((node) => node.kind === 'directory')
    const names = loseNames(directories, this.#random)
    this.#trace(`power names ${names}`)
    if (names !== 'clean') this.#count(`power cut: unsynced names, ${names}`)
    this.usedBytes = 0
    for (const node of nodesUnder(this.root)) {
      if (node.kind === 'directory') continue
      const how = node.losePower(this.#random)
      node.links = 1
      this.usedBytes += node.volatile.size
      if (how === 'clean') continue
      this.#trace(`power inode ${node.id} ${how} ${node.durable.size}`)
      this.#count(`power cut: unsynced bytes, ${how}`)
    }
  }

  /** Inverts one bit of a file on the disk, and of what is cached of it. */
  flipBit(path: string, byte: number, bit: number): void {
    const node = this.find(path)
    if (node?.kind !== 'file') throw new DiskError('ENOENT', 'flipBit', path)
    node.flip(byte, bit)
    this.#trace(`flip ${path} ${byte}.${bit}`)
    this.#count('bit rot')
  }

  #count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  /** Every file as programs see it, by path; for comparisons in tests. */
  contents(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>()
    const walk = (directory: Directory, prefix: string): void => {
      for (const [name, node] of directory.volatile) {
        if (node.kind === 'directory') walk(node, `${prefix}/${name}`)
        else files.set(`${prefix}/${name}`, node.volatile.view().slice())
      }
    }
    walk(this.root, '')
    return files
  }

  find(path: string): Node | undefined {
    const found = this.lookUp(path)
    return typeof found === 'string' ? undefined : found
  }

  /** The node at a path, or the errno that says why there is none. */
  lookUp(path: string): Node | 'ENOENT' | 'ENOTDIR' {
    let node: Node = this.root
    for (const name of parts(path)) {
      if (node.kind !== 'directory') return 'ENOTDIR'
      const next = node.volatile.get(name)
      if (next === undefined) return 'ENOENT'
      node = next
    }
    return node
  }

  /**
   * The gate every operation of a process passes: counts and traces it, applies what is injected, and refuses the dead.
   * `act` does the work on at most `limit` bytes; `failed` is told when an injected error took its place.
   */
  perform<T>(
    owner: DiskOwner,
    operation: DiskOperation,
    path: string,
    act: (limit: number) => T,
    failed?: () => void,
  ): T {
    if (!owner.alive) throw new ProcessDied(owner.label)
    this.operations += 1
    if (isChanging(operation)) this.changes += 1
    const effect = this.hook?.(operation, path, this.changes) ?? this.faults.next(operation, path)
    if (effect === undefined) return act(Infinity)
    this.#count(kindOf(effect, operation))
    this.#trace(`${owner.label} ${operation} ${path} ${JSON.stringify(effect)}`)
    if ('error' in effect) {
      // Where the directory could not even be opened, nothing was tried, and nothing is forgotten.
      if (!['EACCES', 'EMFILE', 'EPERM'].includes(effect.error)) failed?.()
      throw new DiskError(effect.error, operation, path)
    }
    if ('short' in effect) return act(effect.short)
    if ('slow' in effect) {
      this.#spend(effect.slow)
      return act(Infinity)
    }
    const moment = effect.moment ?? crashMoment(operation, this.#random)
    const limit = moment === 'middle' ? this.#random.int(4096) : Infinity
    try {
      if (moment !== 'before') act(limit)
    } catch (error) {
      // The operation fails, and the crash comes all the same: nobody lives to see the error.
      if (!(error instanceof DiskError)) throw error
    }
    if (effect.crash === 'power') this.losePower()
    else owner.endProcess()
    throw new ProcessDied(owner.label)
  }

  trace(owner: DiskOwner, line: string, bytes?: Uint8Array): void {
    this.#trace(`${owner.label} ${line}${bytes === undefined ? '' : ` ${crc32(bytes)}`}`)
  }

  /** Reserves room for `growth` more bytes; returns how many of them there is room for. */
  grow(growth: number): number {
    const room = Math.max(0, Math.min(growth, this.capacityBytes - this.usedBytes))
    this.usedBytes += room
    return room
  }

  /** Gives back a file's bytes once no name and no open file leads to it. */
  release(inode: Inode): void {
    if (inode.links === 0 && inode.handles === 0) this.usedBytes -= inode.volatile.size
  }
}

function kindOf(effect: DiskEffect, operation: DiskOperation): string {
  if ('error' in effect) return `${effect.error} on ${operation}`
  if ('short' in effect) return `short ${operation}`
  if ('slow' in effect) return 'slow operation'
  return `${effect.crash} at ${operation}`
}

export function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** Every node that programs see or the disk has, each once, in a fixed order. */
function* nodesUnder(root: Directory): Generator<Node> {
  const seen = new Set<Node>([root])
  for (const node of seen) {
    yield node
    if (node.kind === 'file') continue
    for (const child of node.volatile.values()) seen.add(child)
    for (const child of node.durable.values()) seen.add(child)
  }
}

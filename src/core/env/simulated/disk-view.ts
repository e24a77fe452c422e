import { DiskError } from '../env.ts'
import type { Disk, DiskEntry, DiskFile, DiskLock } from '../env.ts'
import { parts } from './disk.ts'
import type { DiskOwner, SimulatedDisk } from './disk.ts'
import type { DiskOperation } from './faults.ts'
import type { Inode } from './inode.ts'
import { changeNames, Directory } from './tree.ts'
import type { Node } from './tree.ts'

/** The disk as one process uses it, until `detach`. */
export function attachDisk(disk: SimulatedDisk, owner: DiskOwner): Disk {
  const view = new DiskView(disk, owner)
  disk.attach(owner, () => view.closeAll())
  return view
}

class DiskView implements Disk {
  readonly #disk: SimulatedDisk
  readonly #owner: DiskOwner
  readonly #open = new Set<SimulatedFile>()

  constructor(disk: SimulatedDisk, owner: DiskOwner) {
    this.#disk = disk
    this.#owner = owner
  }

  /** What the system does for a process that ended. */
  closeAll(): void {
    for (const file of this.#open) file.drop()
    this.#open.clear()
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    return this.#perform('open', path, () => {
      const inode = this.#openInode(path, mode)
      const file = new SimulatedFile(
        this.#disk,
        this.#owner,
        path,
        inode,
        mode !== 'read',
        this.#open,
      )
      this.#open.add(file)
      return file
    })
  }

  #openInode(path: string, mode: 'read' | 'write' | 'create'): Inode {
    const { directory, name } = this.#place('open', path)
    const node = directory.volatile.get(name)
    if (node !== undefined) {
      if (mode === 'create') throw new DiskError('EEXIST', 'open', path)
      if (node.kind === 'directory') throw new DiskError('EISDIR', 'open', path)
      return node
    }
    if (mode === 'read') throw new DiskError('ENOENT', 'open', path)
    const inode = this.#disk.newFile()
    inode.links = 1
    inode.modifiedMs = this.#disk.now()
    changeNames([{ directory, name, node: inode }])
    this.#disk.trace(this.#owner, `create ${path}`)
    return inode
  }

  exists(path: string): boolean {
    return this.#perform('exists', path, () => this.#disk.find(path) !== undefined)
  }

  list(path: string): DiskEntry[] {
    return this.#perform('list', path, () => {
      const names = [...this.#directory('list', path).volatile]
      return names
        .map(([name, node]) => ({ name, directory: node.kind === 'directory' }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    })
  }

  mkdir(path: string): void {
    this.#perform('mkdir', path, () => {
      let directory = this.#disk.root
      for (const name of parts(path)) {
        let next = directory.volatile.get(name)
        if (next?.kind === 'file') {
          const code = name === parts(path).at(-1) ? 'EEXIST' : 'ENOTDIR'
          throw new DiskError(code, 'mkdir', path)
        }
        if (next === undefined) {
          next = this.#disk.newDirectory()
          changeNames([{ directory, name, node: next }])
        }
        directory = next
      }
    })
  }

  rename(from: string, to: string): void {
    this.#perform('rename', from, () => {
      const source = this.#place('rename', from)
      const target = this.#place('rename', to)
      const node = source.directory.volatile.get(source.name)
      if (node === undefined) throw new DiskError('ENOENT', 'rename', from)
      const replaced = target.directory.volatile.get(target.name)
      if (replaced === node) return
      if (node.kind === 'directory' && holds(node, target.directory)) {
        throw new DiskError('EINVAL', 'rename', from)
      }
      if (replaced?.kind === 'directory' && holds(replaced, source.directory)) {
        throw new DiskError('ENOTEMPTY', 'rename', from)
      }
      if (replaced !== undefined) checkReplace(node, replaced, from)
      changeNames([
        { directory: source.directory, name: source.name, node: undefined },
        { directory: target.directory, name: target.name, node },
      ])
      this.#unlinked(replaced)
      this.#disk.trace(this.#owner, `rename ${from} ${to}`)
    })
  }

  unlink(path: string): void {
    this.#perform('unlink', path, () => {
      const { directory, name } = this.#place('unlink', path)
      const node = directory.volatile.get(name)
      if (node === undefined) throw new DiskError('ENOENT', 'unlink', path)
      if (node.kind === 'directory') throw new DiskError('EISDIR', 'unlink', path)
      changeNames([{ directory, name, node: undefined }])
      this.#unlinked(node)
      this.#disk.trace(this.#owner, `unlink ${path}`)
    })
  }

  fsyncDir(path: string): void {
    const sync = (): void => {
      this.#directory('fsyncDir', path).sync()
      this.#disk.trace(this.#owner, `fsyncDir ${path}`)
    }
    this.#disk.perform(this.#owner, 'fsyncDir', path, sync, () => {
      this.#directory('fsyncDir', path).syncFailed()
    })
  }

  stat(path: string): { size: number; mtimeMs: number; inode: number } {
    return this.#perform('stat', path, () => {
      const node = this.#node('stat', path)
      if (node.kind === 'directory') return { size: 0, mtimeMs: 0, inode: node.id }
      return { size: node.volatile.size, mtimeMs: node.modifiedMs, inode: node.id }
    })
  }

  space(path: string): { free: number; total: number } {
    return this.#perform('space', path, () => {
      this.#node('space', path)
      const { capacityBytes, usedBytes } = this.#disk
      return { free: Math.max(0, capacityBytes - usedBytes), total: capacityBytes }
    })
  }

  lock(path: string): DiskLock | undefined {
    return this.#perform('lock', path, () => {
      const inode = this.#openInode(path, 'write')
      const { locks } = this.#disk
      if (locks.has(inode)) return undefined
      locks.set(inode, this.#owner)
      return { release: () => void locks.delete(inode) }
    })
  }

  #perform<T>(operation: DiskOperation, path: string, act: () => T): T {
    return this.#disk.perform(this.#owner, operation, path, act)
  }

  #unlinked(node: Node | undefined): void {
    if (node?.kind !== 'file') return
    node.links -= 1
    this.#disk.release(node)
  }

  #node(operation: DiskOperation, path: string): Node {
    const found = this.#disk.lookUp(path)
    if (typeof found === 'string') throw new DiskError(found, operation, path)
    return found
  }

  #directory(operation: DiskOperation, path: string): Directory {
    const node = this.#node(operation, path)
    if (node.kind !== 'directory') throw new DiskError('ENOTDIR', operation, path)
    return node
  }

  /** The directory and the name a path means, whether the name is taken or not. */
  #place(operation: DiskOperation, path: string): { directory: Directory; name: string } {
    const names = parts(path)
    const name = names.pop()
    if (name === undefined) throw new DiskError('EISDIR', operation, path)
    return { directory: this.#directory(operation, names.join('/')), name }
  }
}

function checkReplace(node: Node, replaced: Node, path: string): void {
  if (node.kind === 'file') {
    if (replaced.kind === 'directory') throw new DiskError('EISDIR', 'rename', path)
  } else if (replaced.kind === 'file') {
    throw new DiskError('ENOTDIR', 'rename', path)
  } else if (replaced.volatile.size > 0) {
    throw new DiskError('ENOTEMPTY', 'rename', path)
  }
}

function holds(directory: Directory, other: Directory): boolean {
  if (directory === other) return true
  for (const node of directory.volatile.values()) {
    if (node.kind === 'directory' && holds(node, other)) return true
  }
  return false
}

class SimulatedFile implements DiskFile {
  readonly path: string
  readonly #disk: SimulatedDisk
  readonly #owner: DiskOwner
  readonly #inode: Inode
  readonly #writable: boolean
  readonly #siblings: Set<SimulatedFile>
  #open = true

  constructor(
    disk: SimulatedDisk,
    owner: DiskOwner,
    path: string,
    inode: Inode,
    writable: boolean,
    siblings: Set<SimulatedFile>,
  ) {
    this.path = path
    this.#disk = disk
    this.#owner = owner
    this.#inode = inode
    this.#writable = writable
    this.#siblings = siblings
    inode.handles += 1
  }

  read(into: Uint8Array, position: number): number {
    return this.#perform('read', (limit) => {
      return this.#inode.volatile.read(into.subarray(0, Math.min(into.length, limit)), position)
    })
  }

  write(bytes: Uint8Array, position: number): number {
    return this.#perform('write', (limit) => {
      this.#mustWrite('write', 'EBADF')
      const asked = bytes.subarray(0, Math.min(bytes.length, limit))
      const size = this.#inode.volatile.size
      const growth = Math.max(0, position + asked.length - size)
      const room = this.#disk.grow(growth)
      const fits = asked.subarray(0, Math.max(0, asked.length - (growth - room)))
      if (fits.length === 0 && asked.length > 0) {
        this.#disk.usedBytes -= room
        throw new DiskError('ENOSPC', 'write', this.path)
      }
      if (fits.length > 0) this.#inode.write(fits, position)
      this.#touched(`write ${this.path} ${position} ${fits.length}`, fits)
      return fits.length
    })
  }

  size(): number {
    return this.#perform('size', () => this.#inode.volatile.size)
  }

  truncate(size: number): void {
    this.#perform('truncate', () => {
      this.#mustWrite('truncate', 'EINVAL')
      const growth = size - this.#inode.volatile.size
      const room = growth > 0 ? this.#disk.grow(growth) : growth
      if (room < growth) {
        this.#disk.usedBytes -= room
        throw new DiskError('ENOSPC', 'truncate', this.path)
      }
      if (growth < 0) this.#disk.usedBytes += growth
      this.#inode.truncate(size)
      this.#touched(`truncate ${this.path} ${size}`)
    })
  }

  fdatasync(): void {
    const sync = (): void => {
      this.#mustBeOpen('fdatasync')
      this.#inode.sync()
      this.#disk.trace(this.#owner, `fdatasync ${this.path}`)
    }
    const failed = (): void => this.#inode.syncFailed()
    this.#disk.perform(this.#owner, 'fdatasync', this.path, sync, failed)
  }

  close(): void {
    this.#perform('close', () => {
      this.#siblings.delete(this)
      this.drop()
    })
  }

  /** Forgets the open file, as when its process ends. */
  drop(): void {
    this.#open = false
    this.#inode.handles -= 1
    this.#disk.release(this.#inode)
  }

  #perform<T>(operation: DiskOperation, act: (limit: number) => T): T {
    return this.#disk.perform(this.#owner, operation, this.path, (limit) => {
      this.#mustBeOpen(operation)
      return act(limit)
    })
  }

  #touched(line: string, bytes?: Uint8Array): void {
    this.#inode.modifiedMs = this.#disk.now()
    this.#disk.trace(this.#owner, line, bytes)
  }

  #mustBeOpen(operation: DiskOperation): void {
    if (!this.#open) throw new DiskError('EBADF', operation, this.path)
  }

  #mustWrite(operation: DiskOperation, code: string): void {
    if (!this.#writable) throw new DiskError(code, operation, this.path)
  }
}

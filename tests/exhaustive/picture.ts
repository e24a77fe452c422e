/**
 * What a power cut may leave, all of it: a picture of a simulated disk between two operations, and every disk that it
 * can become. A sector has any of its versions since the last sync, a file its old, its natural or its new size, and
 * of the changes of names any subset is there.
 */
import type { SimulatedDisk } from '../../src/core/env/simulated/index.ts'
import type { Inode } from '../../src/core/env/simulated/inode.ts'
import type { Directory, NameChange, Node } from '../../src/core/env/simulated/tree.ts'

const sectorBytes = 512

/** One file with a number of outcomes; outcome 0 is what was synced, the last one all that was written. */
interface FileOutcomes {
  readonly inode: Inode
  readonly count: number
  readonly sectors: number
  make(outcome: number): Uint8Array
}

/** A disk as it may be found: file contents by path, and directories. */
export interface Image {
  readonly key: string
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly directories: readonly string[]
}

export class Picture {
  readonly #root: Directory
  readonly #durable: ReadonlyMap<Directory, ReadonlyMap<string, Node>>
  readonly #changes: readonly NameChange[]
  readonly #files: readonly FileOutcomes[]
  readonly #made = new Map<string, { readonly bytes: Uint8Array; readonly hash: string }>()
  readonly states: number

  constructor(disk: SimulatedDisk) {
    this.#root = disk.root
    const durable = new Map<Directory, ReadonlyMap<string, Node>>()
    const changes = new Set<NameChange>()
    const files: FileOutcomes[] = []
    for (const node of nodesUnder(disk.root)) {
      if (node.kind === 'file') files.push(outcomesOf(node))
      else {
        durable.set(node, new Map(node.durable))
        for (const change of node.pending) if (!change.durable) changes.add(change)
      }
    }
    this.#durable = durable
    this.#changes = [...changes]
    this.#files = files
    this.states = files.reduce((product, file) => product * file.count, 2 ** this.#changes.length)
  }

  /** Sectors that were written and not synced, and changes of names that were not. */
  get pending(): { readonly sectors: number; readonly names: number } {
    return {
      sectors: this.#files.reduce((sum, file) => sum + file.sectors, 0),
      names: this.#changes.length,
    }
  }

  /** The state with this number; 0 lost everything, the last one nothing. */
  image(state: number): Image {
    let rest = state
    const take = (count: number): number => {
      const outcome = rest % count
      rest = Math.floor(rest / count)
      return outcome
    }
    const contents = new Map<Node, number>()
    for (const file of this.#files) contents.set(file.inode, take(file.count))
    const names = new Map([...this.#durable].map(([directory, map]) => [directory, new Map(map)]))
    for (const change of this.#changes) {
      if (take(2) === 0) continue
      for (const { directory, name, node } of change.sets) {
        const map = names.get(directory)
        if (node === undefined) map?.delete(name)
        else map?.set(name, node)
      }
    }
    const files = new Map<string, Uint8Array>()
    const directories: string[] = []
    const key: string[] = []
    const walk = (directory: Directory, prefix: string): void => {
      for (const [name, node] of names.get(directory) ?? []) {
        const path = `${prefix}/${name}`
        if (node.kind === 'directory') {
          directories.push(path)
          key.push(path)
          walk(node, path)
        } else {
          const { bytes, hash } = this.#content(node, contents.get(node) ?? 0)
          files.set(path, bytes)
          key.push(`${path} ${hash}`)
        }
      }
    }
    walk(this.#root, '')
    return { key: key.toSorted().join('\n'), files, directories }
  }

  #content(inode: Inode, outcome: number): { readonly bytes: Uint8Array; readonly hash: string } {
    const id = `${inode.id} ${outcome}`
    let made = this.#made.get(id)
    if (made === undefined) {
      const file = this.#files.find((f) => f.inode === inode)
      const bytes = file?.make(outcome) ?? new Uint8Array(0)
      made = { bytes, hash: digest(bytes) }
      this.#made.set(id, made)
    }
    return made
  }
}

function digest(bytes: Uint8Array): string {
  // Two independent 32-bit sums are enough to tell the few thousand contents of a run apart.
  let a = 0x811c9dc5
  let b = bytes.length
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193)
    b = (Math.imul(b, 31) + byte) | 0
  }
  return `${bytes.length}.${a >>> 0}.${b >>> 0}`
}

function* nodesUnder(root: Directory): Generator<Node> {
  const seen = new Set<Node>([root])
  for (const node of seen) {
    yield node
    if (node.kind === 'file') continue
    for (const child of [...node.volatile.values(), ...node.durable.values()]) seen.add(child)
    for (const { sets } of node.pending) {
      for (const set of sets) if (set.node !== undefined) seen.add(set.node)
    }
  }
}

function outcomesOf(inode: Inode): FileOutcomes {
  const before = inode.durable.view().slice()
  const pending = withoutEffectless(before.length, inode.pending)
  if (pending.some((change) => change.kind === 'truncate')) {
    // Cutting a file is metadata: it is there or not, with all that came before it.
    const make = (outcome: number): Uint8Array => apply(before, pending.slice(0, outcome))
    return { inode, count: pending.length + 1, sectors: 0, make }
  }
  const after = apply(before, pending)
  const versions = versionsOf(before, pending)
  // A file that grew may have its new size with zeros in it, before the data.
  const sizes = after.length > before.length ? 2 : 1
  const count = versions.reduce((product, v) => product * v.versions.length, sizes)
  const make = (outcome: number): Uint8Array => {
    let rest = outcome
    const full = rest % sizes === sizes - 1
    rest = Math.floor(rest / sizes)
    const bytes = new Uint8Array(after.length)
    bytes.set(before)
    let end = full ? after.length : before.length
    for (const { at, versions: list } of versions) {
      const version = list[rest % list.length] ?? new Uint8Array(0)
      if (rest % list.length > 0) end = Math.max(end, Math.min(at + sectorBytes, after.length))
      bytes.set(version.subarray(0, Math.max(0, after.length - at)), at)
      rest = Math.floor(rest / list.length)
    }
    return bytes.slice(0, end)
  }
  return { inode, count, sectors: versions.length, make }
}

/** Leaves out cuts of a file to the size that it has. */
function withoutEffectless(durableSize: number, changes: Changes): Changes {
  let size = durableSize
  return changes.filter((change) => {
    const next =
      change.kind === 'truncate'
        ? change.size
        : Math.max(size, change.position + change.bytes.length)
    const nothing = change.kind === 'truncate' && next === size
    size = next
    return !nothing
  })
}

type Changes = readonly Inode['pending'][number][]

function apply(before: Uint8Array, changes: Changes): Uint8Array {
  let bytes = before
  for (const change of changes) {
    const size =
      change.kind === 'truncate'
        ? change.size
        : Math.max(bytes.length, change.position + change.bytes.length)
    const next = new Uint8Array(size)
    next.set(bytes.subarray(0, size))
    if (change.kind === 'write') next.set(change.bytes, change.position)
    bytes = next
  }
  return bytes
}

/** By sector, what it held after each write that changed it; sectors that never changed are left out. */
function versionsOf(
  before: Uint8Array,
  changes: Changes,
): { readonly at: number; readonly versions: readonly Uint8Array[] }[] {
  const sectors = new Map<number, Uint8Array[]>()
  const sectorOf = (bytes: Uint8Array, at: number): Uint8Array => {
    const sector = new Uint8Array(sectorBytes)
    sector.set(bytes.subarray(at, at + sectorBytes))
    return sector
  }
  let bytes = before
  for (const change of changes) {
    bytes = apply(bytes, [change])
    if (change.kind !== 'write') continue
    const first = change.position - (change.position % sectorBytes)
    for (let at = first; at < change.position + change.bytes.length; at += sectorBytes) {
      const list = sectors.get(at) ?? [sectorOf(before, at)]
      const next = sectorOf(bytes, at)
      if (!Buffer.from(next).equals(list.at(-1) ?? next)) list.push(next)
      sectors.set(at, list)
    }
  }
  return [...sectors]
    .map(([at, versions]) => ({ at, versions }))
    .filter(({ versions }) => versions.length > 1)
}

import type { Inode } from './inode.ts'
import type { SeededRandom } from './prng.ts'

export type Node = Inode | Directory

/** One atomic change of names. A rename sets one name and removes another, in one directory or across two. */
export interface NameChange {
  readonly sets: readonly NameSet[]
  durable: boolean
}

interface NameSet {
  readonly directory: Directory
  readonly name: string
  /** Undefined removes the name. */
  readonly node: Node | undefined
}

/** A directory: names as programs see them, names as the disk has them, and the changes in between. */
export class Directory {
  readonly kind = 'directory'
  readonly id: number
  readonly volatile = new Map<string, Node>()
  readonly durable = new Map<string, Node>()
  pending: NameChange[] = []

  constructor(id: number) {
    this.id = id
  }

  sync(): void {
    this.#syncThrough(undefined)
  }

  /** As for a file: what could not be synced is forgotten, and no later sync brings it. */
  syncFailed(): void {
    this.pending = []
  }

  /** After a power cut programs see what the disk has. */
  reload(): void {
    this.pending = []
    this.volatile.clear()
    for (const [name, node] of this.durable) this.volatile.set(name, node)
  }

  /**
   * A change across two directories becomes durable, whole, with the first that is synced; the changes before it in
   * the other one come with it, so that no older change ever lands on a newer one.
   */
  #syncThrough(last: NameChange | undefined): void {
    for (const change of this.pending) {
      if (!change.durable) {
        change.durable = true
        for (const { directory } of change.sets) {
          if (directory !== this) directory.#syncThrough(change)
        }
        applyToDurable(change)
      }
      if (change === last) break
    }
    this.pending = this.pending.filter((change) => !change.durable)
  }
}

/** Changes names as programs see them; the disk follows when a directory is synced. */
export function changeNames(sets: readonly NameSet[]): void {
  const change: NameChange = { sets, durable: false }
  for (const { directory, name, node } of sets) {
    setName(directory.volatile, name, node)
    if (directory.pending.at(-1) !== change) directory.pending.push(change)
  }
}

/** What a power cut leaves of unsynced changes of names: all, none, a prefix of them, or any. */
export function loseNames(directories: readonly Directory[], random: SeededRandom): string {
  const all = [...new Set(directories.flatMap((directory) => directory.pending))]
  const how = all.length === 0 ? 'clean' : random.pick(['none', 'all', 'prefix', 'subset'])
  const prefix = random.int(all.length + 1)
  all.forEach((change, index) => {
    if (
      how === 'subset' ? random.chance(0.5) : how === 'all' || (how === 'prefix' && index < prefix)
    ) {
      applyToDurable(change)
    }
  })
  for (const directory of directories) directory.reload()
  return how
}

function applyToDurable(change: NameChange): void {
  change.durable = true
  for (const { directory, name, node } of change.sets) setName(directory.durable, name, node)
}

function setName(names: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) names.delete(name)
  else names.set(name, node)
}

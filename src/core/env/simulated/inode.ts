import { Content } from './content.ts'
import type { SeededRandom } from './prng.ts'

/** A disk writes a sector whole or not at all; more than one may go in any order. */
const sectorBytes = 512

export type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number }

/** A file: what programs see, what the disk has, and the changes that lead from the second to the first. */
export class Inode {
  readonly kind = 'file'
  readonly id: number
  volatile = new Content()
  durable = new Content()
  pending: FileChange[] = []
  modifiedMs = 0
  links = 0
  handles = 0

  constructor(id: number) {
    this.id = id
  }

  write(bytes: Uint8Array, position: number): void {
    this.#change({ kind: 'write', position, bytes: bytes.slice() })
  }

  truncate(size: number): void {
    this.#change({ kind: 'truncate', size })
  }

  #change(change: FileChange): void {
    apply(change, this.volatile)
    this.pending.push(change)
  }

  sync(): void {
    for (const change of this.pending) apply(change, this.durable)
    this.pending = []
  }

  /** After a failed sync Linux calls the pages clean: programs still see them, and no later sync writes them. */
  syncFailed(): void {
    this.pending = []
  }

  /** Inverts one bit on the disk, where a later sync of other bytes leaves it. */
  flip(byte: number, bit: number): void {
    for (const content of [this.durable, this.volatile]) {
      if (byte < content.size) content.flip(byte, bit)
    }
  }

  /** What a power cut leaves of the unsynced changes: none, all, a prefix of them, or any of their sectors. */
  losePower(random: SeededRandom): string {
    const how =
      this.pending.length === 0 ? 'clean' : random.pick(['none', 'all', 'prefix', 'sectors'])
    if (how === 'all') this.sync()
    if (how === 'prefix') this.#keepPrefix(random)
    if (how === 'sectors') this.#keepSectors(random)
    this.pending = []
    this.volatile = this.durable.copy()
    return how
  }

  #keepPrefix(random: SeededRandom): void {
    const kept = random.int(this.pending.length)
    for (const change of this.pending.slice(0, kept)) apply(change, this.durable)
    const torn = this.pending[kept]
    if (torn?.kind === 'write') {
      const bytes = torn.bytes.subarray(0, random.int(torn.bytes.length + 1))
      this.durable.write(bytes, torn.position)
    }
  }

  #keepSectors(random: SeededRandom): void {
    const garbage = random.chance(0.3)
    const sizes = [this.durable.size, this.volatile.size]
    for (const change of this.pending) {
      if (change.kind === 'truncate') sizes.push(change.size)
      else this.#keepSectorsOf(change.bytes, change.position, garbage, random)
    }
    // The size is metadata and goes its own way: a file may be longer than what of its data arrived, then zeros.
    if (random.chance(0.7)) this.durable.resize(sizes[random.int(sizes.length)] ?? 0)
  }

  #keepSectorsOf(
    bytes: Uint8Array,
    position: number,
    garbage: boolean,
    random: SeededRandom,
  ): void {
    let from = 0
    while (from < bytes.length) {
      const end = Math.min(bytes.length, from + sectorBytes - ((position + from) % sectorBytes))
      const fate = random.float()
      // Only bytes that were being written turn to garbage, never their neighbours in the sector.
      if (garbage && fate < 0.1) this.durable.write(random.bytes(end - from), position + from)
      else if (fate < 0.55) this.durable.write(bytes.subarray(from, end), position + from)
      from = end
    }
  }
}

function apply(change: FileChange, content: Content): void {
  if (change.kind === 'write') content.write(change.bytes, change.position)
  else content.resize(change.size)
}

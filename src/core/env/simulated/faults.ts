import type { SeededRandom } from './prng.ts'

export type DiskOperation =
  | 'open'
  | 'exists'
  | 'list'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'fsyncDir'
  | 'stat'
  | 'space'
  | 'lock'
  | 'read'
  | 'write'
  | 'size'
  | 'truncate'
  | 'fdatasync'
  | 'close'

/** Operations that change what is on the disk or what survives on it: the places where a crash makes a difference. */
const changing: ReadonlySet<DiskOperation> = new Set([
  'open',
  'mkdir',
  'rename',
  'unlink',
  'fsyncDir',
  'write',
  'truncate',
  'fdatasync',
])

export type CrashKind = 'kill' | 'power'

/**
 * - `error`: the operation fails with this errno and does nothing. A failed sync also forgets what it should have
 *   written: programs still see it, no later sync brings it (as ext4 and XFS do).
 * - `short`: a read or write handles this many bytes only.
 * - `slow`: it takes so many milliseconds, in which nothing else runs.
 * - `crash`: the process dies, or the machine loses power, before, after, or (a write) in the middle of the operation.
 */
export type DiskEffect =
  | { readonly error: string }
  | { readonly short: number }
  | { readonly slow: number }
  | { readonly crash: CrashKind; readonly moment?: 'before' | 'middle' | 'after' }

export interface DiskFault {
  /** `change` matches every operation that changes the disk; `any` matches all. */
  readonly on: DiskOperation | 'change' | 'any'
  /** Only paths that contain this; default all. */
  readonly path?: string
  /** The first match it acts on, counted from 1; default 1. */
  readonly nth?: number
  /** How many matches it acts on from there; default 1. */
  readonly times?: number
  readonly effect: DiskEffect
}

/** Faults that wait for their operation. */
export class Faults {
  readonly #waiting: { readonly fault: DiskFault; seen: number }[] = []

  /** Returns a function that takes the fault out again. */
  add(fault: DiskFault): () => void {
    const waiting = { fault, seen: 0 }
    this.#waiting.push(waiting)
    return () => {
      const index = this.#waiting.indexOf(waiting)
      if (index >= 0) this.#waiting.splice(index, 1)
    }
  }

  clear(): void {
    this.#waiting.length = 0
  }

  /** The effect due on this operation, if any. Counts it for every fault that matches. */
  next(operation: DiskOperation, path: string): DiskEffect | undefined {
    let effect: DiskEffect | undefined
    for (const waiting of this.#waiting) {
      const { on, path: part, nth = 1, times = 1 } = waiting.fault
      const matches =
        on === 'any' || on === operation || (on === 'change' && changing.has(operation))
      if (!matches || (part !== undefined && !path.includes(part))) continue
      waiting.seen += 1
      if (waiting.seen >= nth && waiting.seen < nth + times) effect ??= waiting.fault.effect
    }
    return effect
  }
}

export function isChanging(operation: DiskOperation): boolean {
  return changing.has(operation)
}

/** When within an operation a crash happens, where the fault does not say. */
export function crashMoment(
  operation: DiskOperation,
  random: SeededRandom,
): 'before' | 'middle' | 'after' {
  const moments: ['before', 'after', ...'middle'[]] = ['before', 'after']
  if (operation === 'write') moments.push('middle')
  return random.pick<'before' | 'middle' | 'after'>(moments)
}

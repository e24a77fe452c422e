/** A place in the engine's work on disk at which its process ends: before, in the middle of, or after one operation. */
export interface Point {
  readonly name: string
  /** What happens at the place: one of the calls that `preload.ts` watches. */
  readonly op:
    | 'open'
    | 'create'
    | 'write'
    | 'sync'
    | 'sync-directory'
    | 'truncate'
    | 'rename'
    | 'unlink'
    | 'mkdir'
    | 'sqlite'
  /** Matched against the path; of a rename the new one, of a statement its text. */
  readonly on: string
  readonly when: 'before' | 'half' | 'after'
  /** Of writes: only those at the start of a file, or only those behind it. */
  readonly at?: 'start' | 'behind'
  /** Only while an archive takes the place of segments, or only while none does. */
  readonly archiving?: boolean
  /** The first occurrence meant; 1 unless told. A process opens its log before it does anything else. */
  readonly from?: number
}

/** A point and the occurrence of it, in one thread, that ends the process: what the environment carries. */
export interface ArmedPoint extends Point {
  readonly nth: number
}

export const pointVariable = 'KILL_POINT'
/** Set where an engine shall be made small, so that it rolls, snapshots and archives within seconds: to KiB of a snapshot. */
export const smallVariable = 'KILL_SMALL'

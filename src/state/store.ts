/**
 * @contract Store: keyed state of one task (stage × partition).
 *
 * Invariants an implementation keeps:
 *  - S1 Changes are staged: `changes()` lists them for the commit frame, `committed()` makes them the base,
 *    `rollback()` restores exactly what the last `committed()` left, at a cost proportional to what was touched.
 *  - S2 `range` yields keys in ascending order of UTF-16 code units, staged changes included.
 *  - S3 Restoring the entries of any prefix of commits, in order, gives the state after that commit.
 *  - S4 `bytes` is bounded: what goes past the limit throws MR4xxx naming key count, TTL and RocksDB; never out of memory.
 * Invariants a user keeps:
 *  - A value from `get` or `range` is not mutated; `touch` gives one that may be, until the next `changes()`.
 *  - Only the owning task uses the store, from one thread.
 */

/** How values of one store are laid out. `encode` and `decode` are inverse; `clone` makes an independent copy. */
export interface ValueCodec<V> {
  encode(value: V): Uint8Array
  decode(bytes: Uint8Array): V
  clone(value: V): V
}

export interface StoreSpec<V> {
  /** Name within its stage: the identity of this state. */
  readonly name: string
  readonly codec: ValueCodec<V>
  /** The part of a key that decides its partition; its murmur2 mod 1024 is stored with every changelog entry. */
  partitionKey(key: string): string
  /** Bytes after which writes are refused. */
  readonly maxBytes: number
}

export interface StagedChanges {
  /** Changelog entries in the layout of changelog.ts: bucket, key, whole value or tombstone. */
  readonly bytes: Uint8Array
  readonly count: number
}

export interface Store<V> {
  readonly spec: StoreSpec<V>
  readonly size: number
  readonly bytes: number
  get(key: string): V | undefined
  put(key: string, value: V): void
  /** The value for mutation in place; its pre-image is kept for rollback and it will be in `changes()`. */
  touch(key: string): V | undefined
  delete(key: string): void
  /** Entries with from ≤ key < to, in key order. The store may be changed while iterating. */
  range(from: string, to: string): IterableIterator<readonly [string, V]>
  entries(): IterableIterator<readonly [string, V]>
  /** Bytes `changes()` would give now, nearly; 0 only when there are none. */
  readonly stagedBytes: number
  /** Staged changes since the last commit, last write per key; undefined where there are none. */
  changes(): StagedChanges | undefined
  committed(): void
  rollback(): void
  /** Applies changelog entries of one committed frame, or of a snapshot, while restoring. */
  restore(changes: Uint8Array): void
  /** Forgets everything, staged or not: restoring begins anew. */
  clear(): void
}

/** What restoring needs of a store. */
export type Restorable = Pick<Store<unknown>, 'restore' | 'clear'>

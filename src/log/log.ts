/**
 * @contract Log: the only way through. Append and read partitions in order; commit many partitions, positions and
 * state changes at once; fence old writers; readers see committed data only.
 *
 * Invariants an implementation keeps:
 *  - L1 `commit()` ends in exactly one of: durable and visible; refused (nothing of it is or will be visible); unknown
 *    (the writer is poisoned: open a new one, read positions back, go on from what they say).
 *  - L2 A commit is visible as a whole or not at all, across all partitions, positions and stores (I5).
 *  - L3 Opening a writer for an owner fences every older epoch of that owner: its commits are refused (I8).
 *  - L4 Offsets of a partition increase strictly and may have gaps. The next position is `nextOffset`, never base + count.
 *  - L5 Readers see a block only after it is durable (I9), each block once, in order of offset per partition (I4).
 *  - L6 Committed data that cannot be read is reported as `corrupt` and never skipped (I6).
 * Invariants a user keeps:
 *  - A writer belongs to one thread; between two commits everything staged is one transaction.
 *  - A block's bytes are read only until its arena is reset, and never written.
 */
import type { Arena } from '../core/arena.ts'
import type { MillraceError } from '../errors.ts'

/** `user`: read and written by anyone. `internal`: repartition and output topics of a pipeline. `changelog`: a store. */
export type TopicKind = 'user' | 'internal' | 'changelog'

export interface TopicSpec {
  readonly name: string
  readonly kind: TopicKind
  readonly partitions: number
  /** Blocks older than this may go (ms); undefined keeps them whatever their age. */
  readonly retentionMs?: number
  /** The oldest blocks may go while the topic holds more than this. */
  readonly retentionBytes?: number
  /** Free-form, e.g. the schema; at most 64 KiB as JSON. */
  readonly labels?: Readonly<Record<string, unknown>>
}

export interface TopicInfo extends TopicSpec {
  readonly id: number
}

export interface PartitionOffsets {
  /** The first offset that can still be read. */
  readonly earliest: number
  /** The offset the next record will get, or a later one. */
  readonly next: number
}

export interface Place {
  readonly topic: string
  readonly partition: number
}

/** Blocks are never cut: the first one read may begin below `offset`, and the reader leaves those records out. */
export interface ReadFrom extends Place {
  readonly offset: number
}

/** Where a group stands in one partition. Records below `offset` are done. `meta` is the group's own (≤ 16 KiB). */
export interface Position extends ReadFrom {
  readonly meta: string
}

/** What a commit says of one `append`. */
export interface Appended extends Place {
  readonly baseOffset: number
  readonly nextOffset: number
}

export interface Block extends Appended {
  readonly result: 'block'
  /** `records`: see block.ts. `control`: a watermark of one upstream task, internal topics only. `state`: changelog entries. */
  readonly kind: 'records' | 'control' | 'state'
  readonly count: number
  /** Log sequence number of the commit it came with. */
  readonly lsn: number
  readonly bytes: Uint8Array
}

export type ReadResult =
  | Block
  /** Nothing newer is committed. */
  | { readonly result: 'caught-up' }
  /** The next block does not fit beside what the arena holds: reset it and call again. */
  | { readonly result: 'arena-full' }
  /** Retention removed what the reader should read next; the reader goes on only after `seek`. */
  | (Place & { readonly result: 'gone'; readonly earliest: number })
  | { readonly result: 'corrupt'; readonly error: MillraceError }

export interface Reader {
  /** Synchronous; committed data only. After `corrupt` every call returns the same. */
  next(arena: Arena): ReadResult
  /** Resolves when something newer than the last `next()` saw may be there, or when `signal` aborts. */
  wait(signal?: AbortSignal): Promise<void>
  seek(from: ReadFrom): void
  /** Records committed and not yet read by this reader; an upper bound. Of a disk that fails, what is known. Never throws. */
  lag(): number
  /** The offset that a partition it reads ends at, as far as this reader knows: `lag` by partition. Never throws. */
  end(topic: string, partition: number): number
  close(): void
}

export type CommitResult =
  | {
      readonly outcome: 'committed'
      readonly lsn: number
      readonly commitNumber: number
      /** One per `append`, in that order. */
      readonly appended: readonly Appended[]
    }
  /** Fenced, full (disk), closed: nothing was written. What was staged is dropped. */
  | { readonly outcome: 'refused'; readonly error: MillraceError }
  /** The writer is poisoned. */
  | { readonly outcome: 'unknown'; readonly error: MillraceError }

export interface Writer {
  readonly owner: string
  readonly epoch: number
  /** What was staged since the last commit: bytes, and calls of `append`, `control` and `state` (`limits.commitSections`). */
  readonly stagedBytes: number
  readonly stagedSections: number
  /** Stages a block made by BlockBuilder; the bytes are copied. */
  append(topic: string, partition: number, block: Uint8Array, count: number): void
  /** Stages the watermark that `upstream` (a task index of the stage before) has reached; takes one offset. */
  control(topic: string, partition: number, upstream: number, watermark: number): void
  position(group: string, position: Position): void
  /** Stages changelog entries made by a store for (changelog topic, partition). */
  state(store: string, partition: number, changes: Uint8Array, count: number): void
  /** Commits all that is staged. With nothing staged it resolves at once. Never called while one is under way. */
  commit(): Promise<CommitResult>
  close(): Promise<void>
}

export interface Topics {
  list(onlyName?: string): Promise<readonly TopicInfo[]>
  /** The same spec again is a no-op, another one a conflict; with `change` only where kind or partitions are others. */
  create(spec: TopicSpec, how?: { readonly change: boolean }): Promise<TopicInfo>
  delete(name: string): Promise<void>
  offsets(name: string): Promise<readonly PartitionOffsets[]>
  /** The first offset whose block was appended at or after `timeMs`; the next offset where there is none. */
  offsetAt(name: string, partition: number, timeMs: number): Promise<number>
  /** Retention spares what `group` has not read of `topic`, up to these bounds. Durable; the same call again is a no-op. */
  hold(group: string, topic: string, holdMs: number, holdBytes: number): Promise<void>
  /** Records below `before` are needed no more: a changelog after its snapshot is durable. Never moves back. */
  trim(name: string, partition: number, before: number): Promise<void>
}

export interface Log {
  readonly topics: Topics
  open(owner: string): Promise<Writer>
  reader(from: readonly ReadFrom[]): Promise<Reader>
  positions(group: string): Promise<readonly Position[]>
}

/**
 * @contract Sink: where results go. A deliver task reads a topic, hands batches to the sink, and commits its position.
 *
 * Guarantees:
 *  - `transactional`: rows and our position are stored in one transaction; the sink's position is the true one.
 *  - `idempotent`: keyed writes; delivering the same records again changes nothing.
 *  - `at-least-once`: after a failure some records may arrive again; each carries an idempotency key.
 * Invariants an implementation keeps:
 *  - K1 When `deliver` resolves, all records that it does not list as rejected are durable on the other side.
 *  - K2 Records of a partition are applied in order of offset.
 *  - K3 `deliver` that throws leaves it unknown what arrived; the same records are delivered again, to a reopened writer.
 *  - K4 A transactional writer refuses to write when a newer epoch has opened it (I8), or when the stored position is not
 *    `batch.from`.
 *  - K5 A transactional writer stores what it rejected with the position behind it, until the next delivery: whoever
 *    opens it after a crash still learns of those rows.
 *  - K6 `open` and `deliver` throw a MillraceError of a kind other than `unavailable` where trying again cannot help;
 *    its `details.retryAfterMs` on `unavailable` is the least wait. Any other error counts as `unavailable`.
 */
import type { Env } from '../core/env/env.ts'

export type Guarantee = 'transactional' | 'idempotent' | 'at-least-once'

export interface SinkRecord {
  readonly offset: number
  /** Event time, or window start for aggregates; milliseconds. */
  readonly timestamp: number
  readonly key: string | undefined
  /** undefined is a tombstone: the row of this key goes. */
  readonly value: Readonly<Record<string, unknown>> | undefined
}

export interface SinkBatch {
  readonly partition: number
  /** Position before and after this batch. */
  readonly from: number
  readonly to: number
  readonly records: readonly SinkRecord[]
}

export interface Rejected {
  /** Index into `batch.records`. */
  readonly index: number
  readonly code: string
  readonly message: string
}

/** What a transactional sink knows of a partition. */
export interface StoredPosition {
  /** Records below it are applied, except those rejected. */
  readonly offset: number
  /** Of the last delivery, those that were not applied. */
  readonly rejected: readonly {
    readonly offset: number
    readonly code: string
    readonly message: string
  }[]
  /** A sentence that says how an operator deletes it, for messages. */
  readonly forget?: string
}

export interface SinkContext {
  readonly env: Env
  /** Identity of the data directory and of the topic in it; a stored position of another one is refused. */
  readonly logId: string
  readonly pipeline: string
  /** Stable name of the sink within the pipeline. */
  readonly name: string
  /** Rises with every opening by a new owner. */
  readonly epoch: number
  readonly partitions: readonly number[]
}

export interface SinkWriter {
  /** Transactional sinks: the position stored beside the rows, per partition; undefined where there is none yet. */
  stored?(partition: number): Promise<StoredPosition | undefined>
  /** Records that can never be accepted come back as rejected, all others were applied. Throws for what may pass later. */
  deliver(batch: SinkBatch): Promise<readonly Rejected[]>
  close(): Promise<void>
}

export interface Hold {
  /** How long, and how much, retention spares what this sink has not read. */
  readonly ms: number
  readonly bytes: number
}

export interface Sink {
  readonly kind: string
  /** Distinguishes several sinks of one kind on one stream, e.g. the table; part of the sink's name. */
  readonly target: string
  readonly guarantee: Guarantee
  readonly describe: string
  readonly hold?: Hold
  /** The most records and value bytes of one delivery; limits.deliver… where absent. */
  readonly batch?: { readonly rows: number; readonly bytes: number }
  /** Key fields that identify a row, where the sink needs them; checked against the stream's fields by the plan. */
  readonly keyFields?: readonly string[]
  /** Sinks served by the main thread from the topic itself (websocket): the path clients connect to. */
  readonly serve?: { readonly path: string }
  open?(context: SinkContext): Promise<SinkWriter>
}

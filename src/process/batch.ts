/**
 * @contract Batch: rows of many blocks and partitions of one stage, read once, and worked on operator by operator with a
 * selection vector. The reader behind it (JSON.parse today, a scanner later) is replaced without an operator noticing:
 * operators see columns and accessors, never bytes.
 *
 * Invariants: row indexes are dense and in reading order; rows of one partition are in order of offset. An accessor gives the
 * same value for the same row each time. A view is the plain object of the schema's shape; operators that keep it copy it.
 */

/** Columns shared by all rows of a batch. */
export interface Batch {
  readonly rows: number
  /** Task (partition of the stage) the row belongs to. */
  readonly partition: Int32Array
  /** Where it was read: index into the stage's inputs, and offset there. */
  readonly input: Int32Array
  readonly offset: Float64Array
  /** Event time in milliseconds. */
  readonly timestamp: Float64Array
  /** Watermark of the row's own source partition at its own offset, before the row itself. */
  readonly watermark: Float64Array
  /** Upstream task that watermark belongs to; the row's own partition on user topics. */
  readonly upstream: Int32Array
  /** Wall time at which the row's block was appended. */
  readonly appendTime: Float64Array
  /** The record's key, decoded; undefined where it has none. */
  key(row: number): string | undefined
  /** The row as a plain object. */
  view(row: number): object
  /** Reads one field path, e.g. `properties.page`; compiled once, called per row. Absent gives undefined. */
  accessor(path: string): (row: number) => unknown
  /** The value's bytes as they were read: for dead letters and for passing a row on unchanged. */
  raw(row: number): Uint8Array
}

/** Rows still in play, in order. `rows[0 … count)` are row indexes of a batch. */
export interface Selection {
  readonly rows: Int32Array
  readonly count: number
}

/**
 * @contract Batch: rows of many blocks and partitions of one stage, read once, and worked on operator by operator with a
 * selection vector. The reader behind it may be a scanner or JSON.parse: operators see columns and rows, never how they came.
 *
 * Invariants: row indexes are dense and in reading order; rows of one partition are in order of offset. A column gives the
 * same value for the same row each time. What `view` gives is valid until the next `view`, and is nobody's to keep or change;
 * what `plain` gives may be kept. Both look like the plain object of the schema's shape.
 */
import type { GroupKey } from './keys.ts'

/** One field of all rows of a batch, decoded when it is asked for. */
export interface Column {
  /** The field's value, as JSON.parse gives it; undefined where the row does not have it. It may be kept. */
  get(row: number): unknown
  /** Numbers for the values of these rows, where the column has any; valid until it is asked again. */
  codes?(selection: Selection): Codes | undefined
}

/**
 * Values by number. Under one dictionary a number stands for the same value always, so that whatever follows from a value is
 * worked out once and kept by its number.
 */
export interface Codes {
  readonly dictionary: object
  /** By row; -1: only the column knows the value. */
  readonly of: Int32Array
}

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
  /** The field at a path, e.g. `properties.page`: found once per batch, then asked per row. */
  column(path: string): Column
  /** What the row is grouped by; undefined where it has no key. */
  groupKey(row: number): GroupKey | undefined
  /** The row for a function of the pipeline. */
  view(row: number): unknown
  /** The row as an object that may be kept; undefined where a table's row is removed. */
  plain(row: number): unknown
  /** The value's bytes as they were read: for dead letters and for passing a row on unchanged. */
  raw(row: number): Uint8Array
}

/** Rows still in play, in order. `rows[0 … count)` are row indexes of a batch. */
export interface Selection {
  readonly rows: Int32Array
  readonly count: number
}

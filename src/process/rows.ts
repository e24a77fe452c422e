/**
 * Rows as operators pass them on. Operators that only narrow the selection hand on the same batch; those that change values
 * or keys share its columns; only flatMap and closing windows make columns of their own.
 */
import type { Condition } from '../pipeline/definition.ts'
import type { Batch, Codes, Column, Selection } from './batch.ts'
import type { GroupKey } from './keys.ts'

/** Columns of a batch, and where each row came from. */
export interface Columns {
  readonly partition: Int32Array
  readonly input: Int32Array
  readonly offset: Float64Array
  readonly timestamp: Float64Array
  readonly watermark: Float64Array
  readonly upstream: Int32Array
  readonly appendTime: Float64Array
  /** Row of the batch that was read, whose fate this row shares; -1 for rows that windows made. */
  readonly origin: Int32Array
}

export type KeyColumn = (row: number) => GroupKey | undefined
export type RawColumn = (row: number) => Uint8Array

/** What the rows of a batch hold: objects, or what a reader finds in bytes. */
export type Content = Pick<Batch, 'column' | 'view' | 'plain'>

/** Rows that are objects already. */
export class Objects implements Content {
  readonly #values: readonly unknown[]

  constructor(values: readonly unknown[]) {
    this.#values = values
  }

  column(path: string): Column {
    const get = fieldGetter(path)
    const values = this.#values
    return { get: (row) => get(values[row]) }
  }

  view(row: number): unknown {
    return this.#values[row]
  }

  plain(row: number): unknown {
    return this.#values[row]
  }
}

const encoder = new TextEncoder()

export class RowBatch implements Batch {
  readonly rows: number
  readonly columns: Columns
  readonly partition: Int32Array
  readonly input: Int32Array
  readonly offset: Float64Array
  readonly timestamp: Float64Array
  readonly watermark: Float64Array
  readonly upstream: Int32Array
  readonly appendTime: Float64Array
  readonly origin: Int32Array
  readonly content: Content
  /** Rows that are worth going on with, where the reader knows of some that are not; default: all. */
  selected: Selection | undefined
  /** Conditions that the selected rows are known to meet. */
  met: ReadonlySet<Condition> | undefined
  /** Numbers of the keys of the selected rows, where they have any. */
  keyCodes: Codes | undefined
  readonly #keys: KeyColumn
  readonly #raws: RawColumn | undefined
  readonly #exact: ((row: number) => boolean) | undefined

  /** `raws` undefined: the rows are no longer what was read. `exact` false: of this row they are not. */
  constructor(
    rows: number,
    columns: Columns,
    content: Content,
    keys: KeyColumn,
    raws?: RawColumn,
    exact?: (row: number) => boolean,
  ) {
    this.rows = rows
    this.columns = columns
    this.partition = columns.partition
    this.input = columns.input
    this.offset = columns.offset
    this.timestamp = columns.timestamp
    this.watermark = columns.watermark
    this.upstream = columns.upstream
    this.appendTime = columns.appendTime
    this.origin = columns.origin
    this.content = content
    this.#keys = keys
    this.#raws = raws
    this.#exact = exact
  }

  /** The bytes that were read, where they say the same as the value. */
  written(row: number): Uint8Array | undefined {
    if (this.#raws === undefined || this.#exact?.(row) === false) return undefined
    return this.#raws(row)
  }

  groupKey(row: number): GroupKey | undefined {
    return this.#keys(row)
  }

  column(path: string): Column {
    return this.content.column(path)
  }

  view(row: number): unknown {
    return this.content.view(row)
  }

  plain(row: number): unknown {
    return this.content.plain(row)
  }

  raw(row: number): Uint8Array {
    return this.#raws === undefined
      ? encoder.encode(JSON.stringify(this.plain(row)))
      : this.#raws(row)
  }

  /** The same rows with other values. */
  withValues(values: readonly unknown[]): RowBatch {
    return this.withContent(new Objects(values))
  }

  withContent(content: Content): RowBatch {
    return new RowBatch(this.rows, this.columns, content, this.#keys)
  }

  /** The same rows with other keys. */
  withKeys(keys: KeyColumn, codes?: Codes): RowBatch {
    const { rows, columns, content } = this
    const batch = new RowBatch(rows, columns, content, keys, this.#raws, this.#exact)
    batch.keyCodes = codes
    return batch
  }

  /** New rows, the i-th with the i-th value and everything else from row `from[i]`. */
  expanded(from: readonly number[], values: readonly unknown[]): RowBatch {
    const rows = from.length
    const made = newColumns(rows)
    for (let i = 0; i < rows; i++) {
      const row = from[i]!
      made.partition[i] = this.partition[row]!
      made.input[i] = this.input[row]!
      made.offset[i] = this.offset[row]!
      made.timestamp[i] = this.timestamp[row]!
      made.watermark[i] = this.watermark[row]!
      made.upstream[i] = this.upstream[row]!
      made.appendTime[i] = this.appendTime[row]!
      made.origin[i] = this.origin[row]!
    }
    return new RowBatch(rows, made, new Objects(values), (i) => this.#keys(from[i]!))
  }
}

export function newColumns(rows: number): Columns {
  return {
    partition: new Int32Array(rows),
    input: new Int32Array(rows),
    offset: new Float64Array(rows),
    timestamp: new Float64Array(rows),
    watermark: new Float64Array(rows),
    upstream: new Int32Array(rows),
    appendTime: new Float64Array(rows),
    origin: new Int32Array(rows),
  }
}

/** A selection that an operator fills and its followers read; valid until the operator's next batch. */
export class RowList implements Selection {
  rows = new Int32Array(1_024)
  count = 0

  /** Empties it and makes room for `rows` rows. */
  start(rows: number): void {
    if (this.rows.length < rows) this.rows = new Int32Array(Math.max(rows, this.rows.length * 2))
    this.count = 0
  }

  add(row: number): void {
    this.rows[this.count++] = row
  }

  /** Selects rows 0 … count. */
  all(count: number): this {
    this.start(count)
    for (let i = 0; i < count; i++) this.rows[i] = i
    this.count = count
    return this
  }
}

/** Reads own properties of plain objects along a dotted path; undefined where it leads nowhere. */
export function fieldGetter(path: string): (value: unknown) => unknown {
  const names = path.split('.')
  const [first, second] = names
  if (first !== undefined && names.length === 1) return (value) => field(value, first)
  if (first !== undefined && second !== undefined && names.length === 2) {
    return (value) => field(field(value, first), second)
  }
  return (value) => {
    let at = value
    for (const name of names) at = field(at, name)
    return at
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  const found = (value as Record<string, unknown>)[name]
  // Only names that every object inherits need the slower question.
  return found !== undefined && name in Object.prototype && !Object.hasOwn(value, name)
    ? undefined
    : found
}

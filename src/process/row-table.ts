/** Where the rows of a batch were read: their columns, and where value and key of each lie in the bytes of its block. */
import type { BlockView } from '../log/block.ts'
import type { GroupKey } from './keys.ts'
import { fromKeyJson } from './keys.ts'
import type { RowPlace } from './row-reader.ts'
import type { Columns } from './rows.ts'
import { newColumns } from './rows.ts'

/** Rows that are records of one block without a gap. */
export interface Run {
  /** First row, and the one behind the last. */
  readonly from: number
  to: number
  /** The record that is the first row. The block is not read anew before the batch is done with. */
  readonly first: number
  readonly view: BlockView
  readonly buffer: Buffer
}

/** Most inputs never have more in a batch, and an engine has many of them. */
const firstRows = 64

export class RowTable {
  readonly #input: number
  /** Keys are JSON, as in repartition topics. */
  readonly #typedKeys: boolean
  #capacity = firstRows
  columns: Columns
  /** Of the value in its block; -1 for a tombstone. */
  starts = new Int32Array(firstRows)
  ends = new Int32Array(firstRows)
  readonly runs: Run[] = []
  count = 0

  constructor(input: number, typedKeys: boolean) {
    this.#input = input
    this.#typedKeys = typedKeys
    this.columns = this.#newColumns(firstRows)
  }

  start(): void {
    this.count = 0
    this.runs.length = 0
  }

  /** Records `from` to `to` of a block become rows. `buffer` is over the block's bytes. */
  add(view: BlockView, buffer: Buffer, from: number, to: number, place: RowPlace): void {
    const row = this.count
    const end = row + to - from
    while (end > this.#capacity) this.#grow()
    const { partition, appendTime, timestamp, upstream, offset } = this.columns
    const { starts, ends } = this
    const { timestamps, upstreams, valueStarts, valueLengths } = view
    for (let at = row, i = from; i < to; at++, i++) {
      partition[at] = place.task
      appendTime[at] = view.appendTime
      timestamp[at] = timestamps[i]!
      upstream[at] = upstreams === undefined ? place.task : upstreams[i]!
      offset[at] = place.baseOffset + i
      // Where there is no value start and length say so together.
      starts[at] = valueStarts[i]!
      ends[at] = valueStarts[i]! + valueLengths[i]!
    }
    const run = this.runs.at(-1)
    if (run?.buffer === buffer && run.first + row - run.from === from) run.to = end
    else this.runs.push({ from: row, to: end, first: from, view, buffer })
    this.count = end
  }

  /** The value's bytes as they were read. */
  raw(row: number): Uint8Array {
    return this.#run(row).buffer.subarray(this.starts[row], this.ends[row])
  }

  text(row: number): string {
    return this.#run(row).buffer.toString('utf8', this.starts[row], this.ends[row])
  }

  /** The record's own key. */
  key(row: number): GroupKey | undefined {
    const { view, buffer, first, from } = this.#run(row)
    const i = first + row - from
    const start = view.keyStarts[i]!
    if (start < 0) return undefined
    const text = buffer.toString('utf8', start, start + view.keyLengths[i]!)
    return this.#typedKeys ? fromKeyJson(text) : text
  }

  #run(row: number): Run {
    const { runs } = this
    let i = runs.length - 1
    while (i > 0 && runs[i]!.from > row) i--
    return runs[i]!
  }

  /** What is the same in every batch is there already. */
  #newColumns(rows: number): Columns {
    const columns = newColumns(rows)
    columns.input.fill(this.#input)
    for (let row = 0; row < rows; row++) columns.origin[row] = row
    return columns
  }

  #grow(): void {
    const size = this.#capacity * 2
    const columns = this.#newColumns(size)
    for (const name of Object.keys(columns) as (keyof Columns)[])
      columns[name].set(this.columns[name])
    this.columns = columns
    this.starts = grown(this.starts, size)
    this.ends = grown(this.ends, size)
    this.#capacity = size
  }
}

function grown(array: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(size)
  out.set(array)
  return out
}

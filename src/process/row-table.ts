/** Where the rows of a batch were read: their columns, and where value and key of each lie in the bytes of its block. */
import type { BlockView } from '../log/block.ts'
import type { GroupKey } from './keys.ts'
import { fromKeyJson } from './keys.ts'
import type { RowPlace } from './row-reader.ts'
import type { Columns } from './rows.ts'
import { newColumns } from './rows.ts'

/** Rows of one block that follow each other. */
export interface Run {
  /** First row, and the one behind the last. */
  readonly from: number
  to: number
  readonly buffer: Buffer
}

/** Most inputs never have more in a batch, and an engine has many of them. */
const firstRows = 64

export class RowTable {
  readonly #input: number
  /** Keys are JSON, as in repartition topics. */
  readonly #typedKeys: boolean
  #capacity = firstRows
  columns: Columns = newColumns(firstRows)
  /** Of the value in its block; -1 for a tombstone. */
  starts = new Int32Array(firstRows)
  ends = new Int32Array(firstRows)
  #keyStarts = new Int32Array(firstRows)
  #keyEnds = new Int32Array(firstRows)
  readonly runs: Run[] = []
  count = 0

  constructor(input: number, typedKeys: boolean) {
    this.#input = input
    this.#typedKeys = typedKeys
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
    const { partition, input, appendTime, timestamp, upstream, offset, origin } = this.columns
    const { starts, ends } = this
    const { timestamps, upstreams, valueStarts, valueLengths, keyStarts, keyLengths } = view
    for (let at = row, i = from; i < to; at++, i++) {
      partition[at] = place.task
      input[at] = this.#input
      appendTime[at] = view.appendTime
      timestamp[at] = timestamps[i]!
      upstream[at] = upstreams === undefined ? place.task : upstreams[i]!
      offset[at] = place.baseOffset + i
      origin[at] = at
      // Where there is no value, or no key, start and length say so together.
      starts[at] = valueStarts[i]!
      ends[at] = valueStarts[i]! + valueLengths[i]!
      this.#keyStarts[at] = keyStarts[i]!
      this.#keyEnds[at] = keyStarts[i]! + keyLengths[i]!
    }
    const run = this.runs.at(-1)
    if (run?.buffer === buffer) run.to = end
    else this.runs.push({ from: row, to: end, buffer })
    this.count = end
  }

  /** The value's bytes as they were read. */
  raw(row: number): Uint8Array {
    return this.#buffer(row).subarray(this.starts[row], this.ends[row])
  }

  text(row: number): string {
    return this.#buffer(row).toString('utf8', this.starts[row], this.ends[row])
  }

  /** The record's own key. */
  key(row: number): GroupKey | undefined {
    const start = this.#keyStarts[row]!
    if (start < 0) return undefined
    const text = this.#buffer(row).toString('utf8', start, this.#keyEnds[row])
    return this.#typedKeys ? fromKeyJson(text) : text
  }

  #buffer(row: number): Buffer {
    const { runs } = this
    let i = runs.length - 1
    while (i > 0 && runs[i]!.from > row) i--
    return runs[i]!.buffer
  }

  #grow(): void {
    const size = this.#capacity * 2
    const columns = newColumns(size)
    for (const name of Object.keys(columns) as (keyof Columns)[])
      columns[name].set(this.columns[name])
    this.columns = columns
    this.starts = grown(this.starts, size)
    this.ends = grown(this.ends, size)
    this.#keyStarts = grown(this.#keyStarts, size)
    this.#keyEnds = grown(this.#keyEnds, size)
    this.#capacity = size
  }
}

function grown(array: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(size)
  out.set(array)
  return out
}

/** Makes rows of windows and hands them on in batches. */
import type { GroupKey } from '../keys.ts'
import type { Fanout } from '../operators/operator.ts'
import { newColumns, Objects, RowBatch, RowList } from '../rows.ts'
import type { Accumulators } from './accumulators.ts'
import { groupOf } from './window-keys.ts'

const BATCH = 1_024

export class Emitter {
  readonly #keyName: string
  readonly #sizeMs: number
  readonly #accumulators: Accumulators
  readonly #next: Fanout
  readonly #selection = new RowList()
  #task = 0
  #watermark = -Infinity
  #values: Record<string, unknown>[] = []
  #keys: GroupKey[] = []
  #starts: number[] = []
  #start = Number.NaN
  #startText = ''
  #endText = ''

  constructor(keyName: string, sizeMs: number, accumulators: Accumulators, next: Fanout) {
    this.#keyName = keyName
    this.#sizeMs = sizeMs
    this.#accumulators = accumulators
    this.#next = next
  }

  /** What follows belongs to `task` and is judged late by `watermark`. */
  begin(task: number, watermark: number): void {
    this.#task = task
    this.#watermark = watermark
  }

  add(storeKey: string, start: number, accumulator: Float64Array): void {
    const key = groupOf(storeKey)
    if (start !== this.#start) {
      this.#start = start
      this.#startText = new Date(start).toISOString()
      this.#endText = new Date(start + this.#sizeMs).toISOString()
    }
    const row: Record<string, unknown> = {
      [this.#keyName]: key,
      window_start: this.#startText,
      window_end: this.#endText,
    }
    this.#accumulators.result(accumulator, row)
    this.#values.push(row)
    this.#keys.push(key)
    this.#starts.push(start)
    if (this.#values.length === BATCH) this.end()
  }

  /** Hands on what was added. */
  end(): void {
    const rows = this.#values.length
    if (rows === 0) return
    const columns = newColumns(rows)
    columns.partition.fill(this.#task)
    columns.input.fill(-1)
    columns.offset.fill(-1)
    columns.timestamp.set(this.#starts)
    columns.watermark.fill(this.#watermark)
    columns.upstream.fill(this.#task)
    columns.origin.fill(-1)
    const keys = this.#keys
    const batch = new RowBatch(rows, columns, new Objects(this.#values), (row) => keys[row])
    this.#values = []
    this.#keys = []
    this.#starts = []
    this.#next.process(batch, this.#selection.all(rows))
  }
}

import { isAscii } from 'node:buffer'
import type { BlockView } from '../log/block.ts'
import type { StageInput } from '../plan/plan.ts'
import { parseJson } from '../schema/json-parse.ts'
import type { Field } from '../schema/schema.ts'
import type { InputRules } from './judge.ts'
import { Judge } from './judge.ts'
import type { GroupKey } from './keys.ts'
import { groupKey } from './keys.ts'
import type { Refused, RowPlace, RowReader } from './row-reader.ts'
import { RowTable } from './row-table.ts'
import type { Columns } from './rows.ts'
import { fieldGetter, Objects, RowBatch } from './rows.ts'
import { Shaper } from './shape.ts'

/** Reads JSON values with JSON.parse. */
export class JsonRows implements RowReader {
  readonly #judge: Judge
  readonly #keyField: ((value: unknown) => unknown) | undefined
  readonly #table: RowTable
  #values: unknown[] = []
  /** Rows whose bytes hold more than the row does. */
  readonly #narrowed = new Set<number>()
  readonly #shaper: Shaper
  /** The block last read from, and what holds for all of it. */
  #bytes: Uint8Array | undefined
  #buffer: Buffer = Buffer.alloc(0)
  #ascii = false

  /** `shape`: what the rows look like; default: what the rules' schema says. */
  constructor(
    index: number,
    role: StageInput['role'],
    rules: InputRules | undefined,
    shape: Field | undefined = rules?.schema.root,
  ) {
    this.#judge = new Judge(role, rules)
    this.#table = new RowTable(index, role === 'repartition')
    this.#shaper = new Shaper(shape)
    this.#keyField =
      role === 'stream' && rules?.key !== undefined ? fieldGetter(rules.key.path) : undefined
  }

  get count(): number {
    return this.#table.count
  }

  get columns(): Columns {
    return this.#table.columns
  }

  start(): void {
    this.#table.start()
    this.#values = []
    this.#bytes = undefined
    this.#narrowed.clear()
  }

  read(
    view: BlockView,
    from: number,
    to: number,
    place: RowPlace,
    refused: Refused,
    wanted?: (value: unknown) => boolean,
  ): void {
    if (view.bytes !== this.#bytes) this.#enter(view)
    for (let i = from; i < to; i++) {
      const refusal = this.#judge.refusal(view, this.#buffer, i)
      if (refusal === undefined) this.#record(view, i, place, wanted)
      else refused(i, refusal)
    }
  }

  batch(): RowBatch {
    const table = this.#table
    const narrowed = this.#narrowed
    return new RowBatch(
      table.count,
      table.columns,
      new Objects(this.#values),
      (row) => this.#key(row),
      (row) => table.raw(row),
      narrowed.size > 0 ? (row) => !narrowed.has(row) : undefined,
    )
  }

  #record(
    view: BlockView,
    i: number,
    place: RowPlace,
    wanted: ((value: unknown) => boolean) | undefined,
  ): void {
    const start = view.valueStarts[i]!
    const value = start < 0 ? undefined : this.#value(start, start + view.valueLengths[i]!)
    if (wanted?.(value) === false) return
    if (start >= 0 && this.#shaper.dropped) this.#narrowed.add(this.count)
    this.#table.add(view, this.#buffer, i, i + 1, place)
    this.#values.push(value)
  }

  #value(start: number, end: number): unknown {
    // What was not validated the judge has parsed already.
    const value =
      this.#judge.value ??
      parseJson(this.#buffer.toString(this.#ascii ? 'latin1' : 'utf8', start, end))
    return this.#shaper.shape(value)
  }

  #enter(view: BlockView): void {
    const { bytes } = view
    this.#bytes = bytes
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const first = view.valueStarts.find((start) => start >= 0) ?? bytes.length
    this.#ascii = isAscii(this.#buffer.subarray(first))
  }

  #key(row: number): GroupKey | undefined {
    return this.#keyField === undefined
      ? this.#table.key(row)
      : groupKey(this.#keyField(this.#values[row]))
  }
}

import { isAscii } from 'node:buffer'
import { MillraceError } from '../errors.ts'
import type { BlockView } from '../log/block.ts'
import type { StageInput } from '../plan/plan.ts'
import { parseEvent } from '../schema/json-gate.ts'
import { parseJson } from '../schema/json-parse.ts'
import type { Field, Schema } from '../schema/schema.ts'
import { typeOf } from './operators/operator.ts'
import type { GroupKey } from './keys.ts'
import { fromKeyJson, groupKey } from './keys.ts'
import type { Refused, RowPlace, RowReader } from './row-reader.ts'
import type { Columns } from './rows.ts'
import { fieldGetter, newColumns, Objects, RowBatch } from './rows.ts'
import { Shaper } from './shape.ts'

/** What the stream or table of an input says about its records; repartition topics are ours and say nothing. */
export interface InputRules {
  readonly schema: Schema
  readonly key: { readonly path: string } | undefined
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Most inputs never have more in a batch, and an engine has many of them. */
const firstRows = 64

/** Reads JSON values with JSON.parse. */
export class JsonRows implements RowReader {
  readonly #index: number
  readonly #role: StageInput['role']
  readonly #rules: InputRules | undefined
  readonly #keyField: ((value: unknown) => unknown) | undefined
  #capacity = firstRows
  #columns: Columns = newColumns(firstRows)
  #values: unknown[] = []
  #buffers: Buffer[] = []
  #starts = new Int32Array(firstRows)
  #ends = new Int32Array(firstRows)
  /** Rows whose bytes hold more than the row does. */
  readonly #narrowed = new Set<number>()
  readonly #shaper: Shaper
  #keyStarts = new Int32Array(firstRows)
  #keyEnds = new Int32Array(firstRows)
  count = 0
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
    this.#index = index
    this.#role = role
    this.#rules = rules
    this.#shaper = new Shaper(shape)
    this.#keyField =
      role === 'stream' && rules?.key !== undefined ? fieldGetter(rules.key.path) : undefined
  }

  start(): void {
    this.count = 0
    this.#values = []
    this.#buffers = []
    this.#bytes = undefined
    this.#narrowed.clear()
  }

  get columns(): Columns {
    return this.#columns
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
      const refusal = this.#record(view, i, place, wanted)
      if (refusal !== undefined) refused(i, refusal)
    }
  }

  #record(
    view: BlockView,
    i: number,
    place: RowPlace,
    wanted: ((value: unknown) => boolean) | undefined,
  ): MillraceError | undefined {
    const start = view.valueStarts[i]!
    const end = start < 0 ? start : start + view.valueLengths[i]!
    let value: unknown
    if (start >= 0) {
      const refused = this.#parse(view, start, end)
      if (refused !== undefined) return refused
      value = this.#shaper.shape(this.#parsed)
    } else if (this.#role !== 'table') {
      return new MillraceError(
        'MR4006',
        'The record has no value, and the topic is read as a stream.',
      )
    }
    const keyStart = view.keyStarts[i]!
    const keyEnd = keyStart < 0 ? keyStart : keyStart + view.keyLengths[i]!
    const badKey = this.#checkKey(view, keyStart, keyEnd)
    if (badKey !== undefined) return badKey
    if (wanted?.(value) === false) return undefined
    const row = this.count
    if (row === this.#capacity) this.#grow()
    const columns = this.#columns
    columns.partition[row] = place.task
    columns.input[row] = this.#index
    columns.offset[row] = place.baseOffset + i
    columns.timestamp[row] = view.timestamps[i]!
    columns.upstream[row] = view.upstreams?.[i] ?? place.task
    columns.appendTime[row] = view.appendTime
    columns.origin[row] = row
    if (start >= 0 && this.#shaper.dropped) this.#narrowed.add(row)
    this.#values.push(value)
    this.#buffers.push(this.#buffer)
    this.#starts[row] = start
    this.#ends[row] = end
    this.#keyStarts[row] = keyStart
    this.#keyEnds[row] = keyEnd
    this.count = row + 1
    return undefined
  }

  batch(): RowBatch {
    const keys = (row: number): GroupKey | undefined => this.#key(row)
    const raws = (row: number): Uint8Array =>
      this.#buffers[row]!.subarray(this.#starts[row], this.#ends[row])
    const exact = (row: number): boolean => !this.#narrowed.has(row)
    const narrowed = this.#narrowed.size > 0
    return new RowBatch(
      this.count,
      this.#columns,
      new Objects(this.#values),
      keys,
      raws,
      narrowed ? exact : undefined,
    )
  }

  #enter(view: BlockView): void {
    const { bytes } = view
    this.#bytes = bytes
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const first = view.valueStarts.find((start) => start >= 0) ?? bytes.length
    this.#ascii = isAscii(this.#buffer.subarray(first))
  }

  #parsed: unknown

  /** Leaves the value in `#parsed`. */
  #parse(view: BlockView, start: number, end: number): MillraceError | undefined {
    const rules = this.#rules
    if (rules === undefined || view.schemaVersion === rules.schema.version) {
      this.#parsed = parseJson(this.#buffer.toString(this.#ascii ? 'latin1' : 'utf8', start, end))
      return undefined
    }
    const parsed = parseEvent(this.#buffer, start, end)
    if (!parsed.ok) return new MillraceError('MR4006', parsed.what)
    const { value } = parsed
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return new MillraceError('MR4006', `The value is ${typeOf(value)}.`)
    }
    const problem = rules.schema.check(value)
    if (problem !== undefined)
      return new MillraceError('MR4007', problem.endsWith('.') ? problem : `${problem}.`)
    this.#parsed = value
    return undefined
  }

  /** Keys must be UTF-8 where they are used: a replaced byte would move the record to another group. */
  #checkKey(view: BlockView, start: number, end: number): MillraceError | undefined {
    if (start < 0) {
      return this.#role === 'table'
        ? new MillraceError('MR4004', 'The record of a table has no key.')
        : undefined
    }
    if (this.#rules === undefined || view.schemaVersion === this.#rules.schema.version)
      return undefined
    try {
      strictText.decode(view.bytes.subarray(start, end))
      return undefined
    } catch {
      return new MillraceError('MR4004', 'The key of the record is not UTF-8.')
    }
  }

  #key(row: number): GroupKey | undefined {
    if (this.#keyField !== undefined) return groupKey(this.#keyField(this.#values[row]))
    const start = this.#keyStarts[row]!
    if (start < 0) return undefined
    const text = this.#buffers[row]!.toString('utf8', start, this.#keyEnds[row])
    return this.#role === 'repartition' ? fromKeyJson(text) : text
  }

  #grow(): void {
    const size = this.#capacity * 2
    const columns = newColumns(size)
    for (const name of Object.keys(columns) as (keyof Columns)[])
      columns[name].set(this.#columns[name])
    this.#columns = columns
    this.#starts = grown(this.#starts, size)
    this.#ends = grown(this.#ends, size)
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

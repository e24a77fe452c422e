/** What a scanner found in the rows of a batch, as columns and views. */
import { valueOf } from '../schema/scan/decode.ts'
import { flags, kinds } from '../schema/scan/scanner.ts'
import type { Dictionary, Scanned, Scanner, Spans } from '../schema/scan/scanner.ts'
import { viewOf } from '../schema/scan/views.ts'
import type { FieldSource } from '../schema/scan/views.ts'
import type { Field } from '../schema/schema.ts'
import type { Codes, Column, Selection } from './batch.ts'
import type { Content } from './rows.ts'
import { fieldGetter } from './rows.ts'
import { Shaper } from './shape.ts'
import { TextCache } from './text-cache.ts'

const noFlags = new Uint8Array(0)

export class ScannedContent implements Content, FieldSource {
  readonly #scanner: Scanner
  readonly #indexes: ReadonlyMap<string, number>
  readonly #columns: readonly SpanColumn[]
  readonly #parsed: (row: number) => unknown
  readonly #view: object | undefined
  /** Where the view stands. */
  #row = 0
  #flags: Uint8Array = noFlags

  /** `parsed` gives a row as an object, by JSON.parse. */
  constructor(
    scanner: Scanner,
    paths: readonly string[],
    shape: Field | undefined,
    views: boolean,
    parsed: (row: number) => unknown,
  ) {
    this.#scanner = scanner
    this.#parsed = parsed
    this.#indexes = new Map(paths.map((path, i) => [path, i]))
    this.#columns = paths.map((path) => new SpanColumn(scanner, path, shapeAt(shape, path), parsed))
    this.#view = views && shape !== undefined ? viewOf(shape, this.#indexes, this) : undefined
  }

  found({ spans, flags: rowFlags }: Scanned): void {
    this.#flags = rowFlags
    for (const [i, column] of this.#columns.entries())
      column.found(spans[i]!, rowFlags, this.#scanner.memory)
  }

  column(path: string): Column {
    const index = this.#indexes.get(path)
    if (index !== undefined) return this.#columns[index]!
    const get = fieldGetter(path)
    return { get: (row) => get(this.#parsed(row)) }
  }

  view(row: number): unknown {
    if (this.#view === undefined || (this.#flags[row]! & flags.odd) !== 0) return this.#parsed(row)
    this.#row = row
    return this.#view
  }

  plain(row: number): unknown {
    return this.#parsed(row)
  }

  value(path: number): unknown {
    return this.#columns[path]!.get(this.#row)
  }

  isObject(path: number): boolean {
    return this.#columns[path]!.kinds[this.#row] === kinds.object
  }
}

class SpanColumn implements Column {
  readonly #getter: (value: unknown) => unknown
  readonly #shaper: Shaper
  readonly #parsed: (row: number) => unknown
  readonly #texts = new TextCache()
  #starts = new Int32Array(0)
  #ends = new Int32Array(0)
  kinds: Uint8Array = noFlags
  #flags: Uint8Array = noFlags
  #memory = Buffer.alloc(0)

  readonly #scanner: Scanner
  readonly #dictionary: Dictionary | undefined
  #spans: Spans | undefined
  #codes = new Int32Array(0)
  /** Values that were in the dictionary, and those that were not: with more of these it is not worth asking. */
  #met = 0
  #misses = 0

  constructor(
    scanner: Scanner,
    path: string,
    shape: Field | undefined,
    parsed: (row: number) => unknown,
  ) {
    this.#scanner = scanner
    this.#dictionary = scanner.dictionary(path)
    this.#getter = fieldGetter(path)
    this.#shaper = new Shaper(shape)
    this.#parsed = parsed
  }

  found(spans: Spans, rowFlags: Uint8Array, memory: Buffer): void {
    this.#spans = spans
    this.#starts = spans.starts as Int32Array<ArrayBuffer>
    this.#ends = spans.ends as Int32Array<ArrayBuffer>
    this.kinds = spans.kinds
    this.#flags = rowFlags
    this.#memory = memory as Buffer<ArrayBuffer>
  }

  get(row: number): unknown {
    if ((this.#flags[row]! & flags.odd) !== 0) return this.#getter(this.#parsed(row))
    const kind = this.kinds[row]!
    const [start, end] = [this.#starts[row]!, this.#ends[row]!]
    if (kind === kinds.ascii) return this.#texts.text(this.#memory, start, end)
    const value = valueOf(this.#memory, kind, start, end)
    return kind === kinds.object ? this.#shaper.shape(value) : value
  }

  codes({ rows, count }: Selection): Codes | undefined {
    const dictionary = this.#dictionary
    if (dictionary === undefined || this.#spans === undefined || this.#misses > this.#met)
      return undefined
    if (this.#codes.length < this.#scanner.maxRows)
      this.#codes = new Int32Array(this.#scanner.maxRows)
    const codes = this.#codes
    this.#scanner.intern(this.#spans, rows, count, dictionary, codes)
    for (let i = 0; i < count; i++) {
      const row = rows[i]!
      if ((this.#flags[row]! & flags.odd) !== 0) codes[row] = -1
      if (codes[row] === -1) this.#misses++
      else this.#met++
    }
    return { dictionary, of: codes }
  }
}

function shapeAt(shape: Field | undefined, path: string): Field | undefined {
  let at = shape
  for (const name of path.split('.')) {
    const { fields }: { fields?: Readonly<Record<string, Field>> } = at ?? {}
    at = fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : undefined
  }
  return at
}

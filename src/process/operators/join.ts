/** Fields of a table's rows beside those of the rows that looked them up: no row is copied for them. */
import type { Selection, Column } from '../batch.ts'
import { groupKey, textOf } from '../keys.ts'
import type { Content, RowBatch } from '../rows.ts'
import { fieldGetter, RowList } from '../rows.ts'
import type { TableStore } from './enrich.ts'
import type { Fanout, Operator, RowSelector } from './operator.ts'
import { failed } from './operator.ts'

/** The enrich of field paths: adds fields of the table's row of the same key, undefined where the table has none. */
export class Join implements Operator {
  readonly #tables: readonly (TableStore | undefined)[]
  readonly #key: RowSelector
  readonly #fields: Readonly<Record<string, string>>
  readonly #inner: boolean
  readonly #next: Fanout
  readonly #kept = new RowList()

  /** `tables` by task; `inner`: rows that find nothing go no further. */
  constructor(
    key: RowSelector,
    fields: Readonly<Record<string, string>>,
    inner: boolean,
    tables: readonly (TableStore | undefined)[],
    next: Fanout,
  ) {
    this.#key = key
    this.#fields = fields
    this.#inner = inner
    this.#tables = tables
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const found: (object | undefined)[] = new Array(batch.rows)
    const keyOf = this.#key(batch)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const value = keyOf(row)
      if (value === failed) continue
      const key = groupKey(value)
      const table = this.#tables[batch.partition[row]!]
      // A row without a usable key finds nothing, as in a left join.
      found[row] = key === undefined ? undefined : table?.get(textOf(key))
      if (found[row] !== undefined || !this.#inner) kept.add(row)
    }
    this.#next.process(batch.withContent(new Joined(batch.content, found, this.#fields)), kept)
  }
}

class Joined implements Content {
  readonly #base: Content
  readonly #found: readonly (object | undefined)[]
  readonly #fields: Readonly<Record<string, string>>

  constructor(
    base: Content,
    found: readonly (object | undefined)[],
    fields: Readonly<Record<string, string>>,
  ) {
    this.#base = base
    this.#found = found
    this.#fields = fields
  }

  column(path: string): Column {
    const [name = '', ...rest] = path.split('.')
    if (!Object.hasOwn(this.#fields, name)) return this.#base.column(path)
    const get = fieldGetter([this.#fields[name], ...rest].join('.'))
    const found = this.#found
    return { get: (row) => get(found[row]) }
  }

  view(row: number): unknown {
    return this.plain(row)
  }

  plain(row: number): unknown {
    const added: Record<string, unknown> = {}
    for (const [name, path] of Object.entries(this.#fields))
      added[name] = fieldGetter(path)(this.#found[row])
    return { ...(this.#base.plain(row) as object), ...added }
  }
}

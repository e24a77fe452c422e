/** Fields of a table's rows beside those of the rows that looked them up: no row is copied for them. */
import type { Selector } from '../../pipeline/definition.ts'
import type { Codes, Column, Selection } from '../batch.ts'
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
  readonly #path: string | undefined
  #found: Found | undefined
  readonly #fields: Readonly<Record<string, string>>
  readonly #inner: boolean
  readonly #next: Fanout
  readonly #kept = new RowList()

  /** `tables` by task; `inner`: rows that find nothing go no further. */
  constructor(
    selector: Selector,
    key: RowSelector,
    fields: Readonly<Record<string, string>>,
    inner: boolean,
    tables: readonly (TableStore | undefined)[],
    next: Fanout,
  ) {
    this.#key = key
    this.#path = 'path' in selector ? selector.path : undefined
    this.#fields = fields
    this.#inner = inner
    this.#tables = tables
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const found: (object | undefined)[] = new Array(batch.rows)
    const codes = this.#path === undefined ? undefined : batch.column(this.#path).codes?.(selection)
    const known = codes === undefined ? undefined : this.#foundBy(codes)
    const keyOf = this.#key(batch)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const task = batch.partition[row]!
      const code = codes?.of[row] ?? -1
      // Of a key that several tasks have rows of each has its own table.
      const isKnown = known !== undefined && code >= 0 && known.tasks[code] === task
      if (isKnown) found[row] = known.rows[code]
      else {
        const value = keyOf(row)
        if (value === failed) continue
        const key = groupKey(value)
        // A row without a usable key finds nothing, as in a left join.
        found[row] = key === undefined ? undefined : this.#tables[task]?.get(textOf(key))
        if (known !== undefined && code >= 0) known.take(code, task, found[row])
      }
      if (found[row] !== undefined || !this.#inner) kept.add(row)
    }
    const sameTasks = known?.mixed === false ? codes : undefined
    const content = new Joined(batch.content, found, this.#fields, known, sameTasks)
    this.#next.process(batch.withContent(content), kept)
  }

  /** What was found by number, as long as no table has changed. */
  #foundBy({ dictionary }: Codes): Found {
    let version = 0
    for (const table of this.#tables) version += table?.version ?? 0
    if (this.#found?.dictionary !== dictionary || this.#found.version !== version)
      this.#found = new Found(dictionary, version)
    return this.#found
  }
}

/** Rows of tables by the number of their key. As a dictionary its numbers stand for what was found. */
class Found {
  readonly dictionary: object
  readonly version: number
  readonly rows: (object | undefined)[] = []
  /** The task whose table a row was found in. */
  readonly tasks: (number | undefined)[] = []
  /** A key was looked up in the tables of several tasks: its number stands for no one row. */
  mixed = false

  constructor(dictionary: object, version: number) {
    this.dictionary = dictionary
    this.version = version
  }

  take(code: number, task: number, row: object | undefined): void {
    if (this.tasks[code] !== undefined) {
      this.mixed = true
      return
    }
    this.tasks[code] = task
    this.rows[code] = row
  }
}

class Joined implements Content {
  readonly #base: Content
  readonly #found: readonly (object | undefined)[]
  readonly #fields: Readonly<Record<string, string>>
  /** Numbers of what was found, and the dictionary that they are of. */
  readonly #known: object | undefined
  readonly #codes: Codes | undefined

  constructor(
    base: Content,
    found: readonly (object | undefined)[],
    fields: Readonly<Record<string, string>>,
    known: object | undefined,
    codes: Codes | undefined,
  ) {
    this.#known = known
    this.#codes = codes
    this.#base = base
    this.#found = found
    this.#fields = fields
  }

  column(path: string): Column {
    const [name = '', ...rest] = path.split('.')
    if (!Object.hasOwn(this.#fields, name)) return this.#base.column(path)
    const get = fieldGetter([this.#fields[name], ...rest].join('.'))
    const found = this.#found
    const [known, codes] = [this.#known, this.#codes]
    return {
      get: (row) => get(found[row]),
      // What is found by the number of a key has that number, and so have its fields.
      codes: () =>
        known === undefined || codes === undefined
          ? undefined
          : { dictionary: dictionaryOf(known, path), of: codes.of },
    }
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

const fieldDictionaries = new WeakMap<object, Map<string, object>>()

/** A number stands for another value in each field of what was found. */
function dictionaryOf(known: object, path: string): object {
  let fields = fieldDictionaries.get(known)
  if (fields === undefined) fieldDictionaries.set(known, (fields = new Map()))
  let dictionary = fields.get(path)
  if (dictionary === undefined) fields.set(path, (dictionary = {}))
  return dictionary
}

import { freeze } from '../../state/codecs.ts'
import type { Store } from '../../state/store.ts'
import type { Selection } from '../batch.ts'
import type { GroupKey } from '../keys.ts'
import { groupKey, textOf } from '../keys.ts'
import type { RowBatch } from '../rows.ts'
import { RowList } from '../rows.ts'
import type { Fanout, Operator, RowSelector, UserFunction } from './operator.ts'
import { failed } from './operator.ts'

/** The rows of a table in one task. */
export type TableStore = Store<object> & {
  /** Goes up with every change. */
  readonly version: number
}

/** Adds what a function makes of the row and the table's row of the same key; undefined where the table has none. */
export class Enrich implements Operator {
  readonly #tables: readonly (TableStore | undefined)[]
  readonly #key: RowSelector
  readonly #fn: UserFunction
  readonly #next: Fanout
  readonly #kept = new RowList()

  /** `tables` by task. */
  constructor(
    key: RowSelector,
    fn: UserFunction,
    tables: readonly (TableStore | undefined)[],
    next: Fanout,
  ) {
    this.#key = key
    this.#fn = fn
    this.#tables = tables
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const values: unknown[] = new Array(batch.rows)
    const keyOf = this.#key(batch)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const value = keyOf(row)
      if (value === failed) continue
      // A row without a usable key finds nothing, as in a left join.
      const key = groupKey(value)
      const found =
        key === undefined ? undefined : this.#tables[batch.partition[row]!]?.get(textOf(key))
      const added = this.#fn.callForRow(batch, row, found)
      if (added === failed) continue
      values[row] = { ...(batch.plain(row) as object), ...added }
      kept.add(row)
    }
    this.#next.process(batch.withValues(values), kept)
  }
}

/** Gives rows the key by which a later stage looks them up; one without a usable key passes without. */
export class LookupKey implements Operator {
  readonly #key: RowSelector
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(key: RowSelector, next: Fanout) {
    this.#key = key
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const keys: (GroupKey | undefined)[] = new Array(batch.rows)
    const keyOf = this.#key(batch)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const value = keyOf(row)
      if (value === failed) continue
      keys[row] = groupKey(value)
      kept.add(row)
    }
    this.#next.process(
      batch.withKeys((row) => keys[row]),
      kept,
    )
  }
}

/** Keeps a table's rows by key; a tombstone (a record without a value) removes one. */
export class TableUpdate implements Operator {
  readonly #tables: readonly (TableStore | undefined)[]
  readonly #fail: (task: number, error: unknown) => void

  constructor(
    tables: readonly (TableStore | undefined)[],
    fail: (task: number, error: unknown) => void,
  ) {
    this.#tables = tables
    this.#fail = fail
  }

  process(batch: RowBatch, selection: Selection): void {
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const task = batch.partition[row]!
      const table = this.#tables[task]
      const key = batch.groupKey(row)
      if (table === undefined || key === undefined) continue
      const value = batch.plain(row)
      try {
        if (value === undefined) table.delete(textOf(key))
        else table.put(textOf(key), freeze(value as object))
      } catch (error) {
        this.#fail(task, error)
      }
    }
  }
}

/** Operators that call a function of the pipeline for every row: filter, map, derive, flatMap. */
import { withoutViews } from '../../schema/scan/views.ts'
import type { Selection } from '../batch.ts'
import type { RowBatch } from '../rows.ts'
import { RowList } from '../rows.ts'
import type { Fanout, Operator, UserFunction } from './operator.ts'
import { failed, isRow, typeOf } from './operator.ts'

export class Filter implements Operator {
  readonly #fn: UserFunction
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(fn: UserFunction, next: Fanout) {
    this.#fn = fn
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const result = this.#fn.call(batch, row)
      if (result !== failed && result) kept.add(row)
    }
    this.#next.process(batch, kept)
  }
}

/** map replaces the row; derive adds fields to it. */
export class MapRows implements Operator {
  readonly #fn: UserFunction
  readonly #derive: boolean
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(fn: UserFunction, derive: boolean, next: Fanout) {
    this.#fn = fn
    this.#derive = derive
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const values: unknown[] = new Array(batch.rows)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const result = this.#fn.callForRow(batch, row)
      if (result === failed) continue
      values[row] = this.#derive ? { ...(batch.plain(row) as object), ...result } : result
      kept.add(row)
    }
    this.#next.process(batch.withValues(values), kept)
  }
}

/** Any number of rows for one; all or none of them. */
export class FlatMap implements Operator {
  readonly #fn: UserFunction
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(fn: UserFunction, next: Fanout) {
    this.#fn = fn
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const from: number[] = []
    const values: unknown[] = []
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const result = this.#fn.call(batch, row)
      if (result === failed) continue
      if (!Array.isArray(result) || !result.every(isRow)) {
        const got = Array.isArray(result)
          ? 'an array with something else than rows'
          : typeOf(result)
        this.#fn.reject(batch, row, 'MR4003', `The function returned ${got}.`)
        continue
      }
      for (const value of result) {
        from.push(row)
        values.push(withoutViews(value))
      }
    }
    this.#next.process(batch.expanded(from, values), this.#kept.all(from.length))
  }
}

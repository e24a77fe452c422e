/**
 * Tumbling windows with their aggregates. A row is late by its own watermark alone; the merged watermark of the task only
 * closes windows and lets them go. Closing is work that can stop after any row and go on from the key it stopped at.
 */
import { MillraceError } from '../../errors.ts'
import type { AggregateField, WindowSpec } from '../../pipeline/definition.ts'
import type { Store } from '../../state/store.ts'
import type { Selection } from '../batch.ts'
import type { GroupKey } from '../keys.ts'
import { storeKeyOf } from '../keys.ts'
import type { Fanout, Fates, Operator, RowSelector } from '../operators/operator.ts'
import { failed, rowSelector, typeOf, UserFunction } from '../operators/operator.ts'
import type { RowBatch } from '../rows.ts'
import { RowList } from '../rows.ts'
import { Accumulators } from './accumulators.ts'
import { Emitter } from './emitter.ts'
import { partialVersion } from './partials.ts'
import { prefixEnd, startOf, startPrefix } from './window-keys.ts'

export type WindowStore = Store<Float64Array>

export interface AggregateNode {
  readonly id: number
  readonly name: string
  readonly window: WindowSpec
  readonly keyName: string
  readonly fields: Readonly<Record<string, AggregateField>>
}

/** Rows a piece of work may still make before it must let a commit happen. */
export interface WorkBudget {
  rows: number
}

/** Bytes a dirty window adds to a commit, roughly. */
const DIRTY = 256

interface Windows {
  readonly store: WindowStore
  /** Starts of windows that have, or had, rows. */
  readonly starts: Set<number>
  /** Windows to emit again with the next commit. */
  readonly dirty: Set<string>
  /** Watermark up to which windows are closed. */
  applied: number
}

export class Aggregate implements Operator {
  readonly node: number
  readonly name: string
  /** Version of the partial aggregates it takes, and how many doubles they have. */
  readonly partials: number
  readonly partialLength: number
  readonly #spec: WindowSpec
  readonly #fates: Fates
  readonly #late: Fanout
  readonly #lateRows = new RowList()
  readonly #accumulators: Accumulators
  readonly #getters: readonly (RowSelector | undefined)[]
  readonly #fn: UserFunction
  readonly #values: Float64Array
  readonly #emitter: Emitter
  readonly #tasks: (Windows | undefined)[] = []
  #lastStart = Number.NaN
  #lastPrefix = ''

  constructor(
    node: AggregateNode,
    accumulators: Accumulators,
    fates: Fates,
    next: Fanout,
    late: Fanout,
  ) {
    this.node = node.id
    this.name = node.name
    this.partials = partialVersion(node)
    this.partialLength = accumulators.length
    this.#spec = node.window
    this.#fates = fates
    this.#late = late
    this.#accumulators = accumulators
    this.#values = new Float64Array(accumulators.fields.length)
    this.#fn = new UserFunction(node, () => undefined, fates)
    this.#getters = Object.values(node.fields).map(({ of }) =>
      of === undefined ? undefined : rowSelector(node, of, fates),
    )
    this.#emitter = new Emitter(node.keyName, node.window.sizeMs, accumulators, next)
  }

  /** Adds what a stage before added up of a group. It was judged there, and is never late. */
  merge(index: number, start: number, key: GroupKey, partial: Float64Array): void {
    const task = this.#tasks[index]
    if (task === undefined) return
    const storeKey = startPrefix(start) + storeKeyOf(key)
    if (!this.#add(index, task, start, storeKey, partial)) return
    if (this.#spec.emit === 'update' || start + this.#spec.sizeMs <= task.applied)
      task.dirty.add(storeKey)
  }

  /** How far the watermark of what comes out lags behind what goes in: no later row starts before it. */
  get shiftMs(): number {
    return this.#spec.latenessMs + this.#spec.sizeMs
  }

  /** Gives a task its store, and finds the windows in it. */
  bind(task: number, store: WindowStore, applied: number): void {
    const starts = new Set<number>()
    for (const [key] of store.entries()) starts.add(startOf(key))
    this.#tasks[task] = { store, starts, dirty: new Set(), applied }
  }

  /** Everything up to `applied` was closed before. */
  closedUpTo(task: number, applied: number): void {
    const windows = this.#tasks[task]
    if (windows !== undefined) windows.applied = Math.max(windows.applied, applied)
  }

  /** The task's store went back to its last commit. */
  rolledBack(task: number, applied: number): void {
    const windows = this.#tasks[task]
    if (windows !== undefined) this.bind(task, windows.store, applied)
  }

  stagedBytes(task: number): number {
    return (this.#tasks[task]?.dirty.size ?? 0) * DIRTY
  }

  process(batch: RowBatch, selection: Selection): void {
    const late = this.#lateRows
    late.start(selection.count)
    const { sizeMs, latenessMs, emit } = this.#spec
    const getters = this.#getters.map((get) => get?.(batch))
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const task = this.#tasks[batch.partition[row]!]
      if (task === undefined) continue
      const start = Math.floor(batch.timestamp[row]! / sizeMs) * sizeMs
      const end = start + sizeMs
      if (batch.watermark[row]! >= end + latenessMs) {
        late.add(row)
        this.#fates.late(batch, row)
        continue
      }
      const key = batch.groupKey(row)
      if (key === undefined) {
        this.#fn.reject(batch, row, 'MR4004', 'The row has no key.')
        continue
      }
      if (!this.#read(batch, row, getters)) continue
      if (start !== this.#lastStart) {
        this.#lastStart = start
        this.#lastPrefix = startPrefix(start)
      }
      const storeKey = this.#lastPrefix + storeKeyOf(key)
      if (!this.#add(batch.partition[row]!, task, start, storeKey)) continue
      if (emit === 'update' || end <= task.applied) task.dirty.add(storeKey)
    }
    this.#late.process(batch, late)
  }

  /**
   * Closes and lets go what the watermark `to` allows. `after` is where the last call stopped. Returns the key it stopped
   * at when the budget ran out, else undefined.
   */
  advance(
    index: number,
    to: number,
    after: string | undefined,
    budget: WorkBudget,
  ): string | undefined {
    const task = this.#tasks[index]
    if (task === undefined || to <= task.applied) return undefined
    const { sizeMs, latenessMs, emit } = this.#spec
    const expiresAt = (start: number): boolean => start + sizeMs + latenessMs <= to
    const closesAt = (start: number): boolean =>
      emit === 'close' && start + sizeMs <= to && start + sizeMs > task.applied
    // With a long lateness most of them have closed and wait for nothing but their end.
    const due: number[] = []
    for (const start of task.starts) if (expiresAt(start) || closesAt(start)) due.push(start)
    this.#emitter.begin(index, task.applied - this.shiftMs)
    let last = after ?? ''
    for (const start of due.toSorted((a, b) => a - b)) {
      const expires = expiresAt(start)
      const closes = closesAt(start)
      const prefix = startPrefix(start)
      // What lies before was emitted already, and let go where it expires.
      const from = after === undefined || after < prefix ? prefix : `${after}\0`
      for (const [key, value] of task.store.range(from, prefixEnd(prefix))) {
        if (budget.rows-- <= 0) {
          this.#emitter.end()
          return last
        }
        last = key
        const dirty = task.dirty.delete(key)
        if (dirty || closes) this.#emitter.add(key, start, value)
        if (expires) task.store.delete(key)
      }
      if (expires) task.starts.delete(start)
    }
    this.#emitter.end()
    task.applied = to
    return undefined
  }

  /** Emits windows that changed since the last commit: all of them on `update`, those already closed on `close`. */
  flush(index: number): void {
    const task = this.#tasks[index]
    if (task === undefined || task.dirty.size === 0) return
    this.#emitter.begin(index, task.applied - this.shiftMs)
    for (const key of task.dirty) {
      const value = task.store.get(key)
      if (value !== undefined) this.#emitter.add(key, startOf(key), value)
    }
    task.dirty.clear()
    this.#emitter.end()
  }

  /** Evaluates every field before any state changes; false when the row has left. */
  #read(
    batch: RowBatch,
    row: number,
    getters: readonly (((row: number) => unknown) | undefined)[],
  ): boolean {
    const { fields } = this.#accumulators
    for (let i = 0; i < fields.length; i++) {
      const get = getters[i]
      if (get === undefined) continue
      const value = get(row)
      if (value === failed) return false
      if (value === undefined || value === null) this.#values[i] = Number.NaN
      else if (typeof value === 'number' && Number.isFinite(value)) this.#values[i] = value
      else {
        const got = typeof value === 'number' ? String(value) : typeOf(value)
        this.#fn.reject(batch, row, 'MR4005', `The field ${fields[i]!.name} met ${got}.`)
        return false
      }
    }
    return true
  }

  /** Adds a partial aggregate, or else the values of a row. */
  #add(
    index: number,
    task: Windows,
    start: number,
    storeKey: string,
    partial?: Float64Array,
  ): boolean {
    try {
      let accumulator = task.store.touch(storeKey)
      const isNew = accumulator === undefined
      accumulator ??= this.#accumulators.empty()
      if (partial === undefined) this.#accumulators.add(accumulator, this.#values)
      else this.#accumulators.merge(accumulator, partial)
      if (isNew) {
        task.store.put(storeKey, accumulator)
        task.starts.add(start)
      }
      return true
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      this.#fates.fail(index, error)
      return false
    }
  }
}

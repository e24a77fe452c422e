/** What all operators share: who follows, and how a row that fails leaves the stream. */
import { MillraceError } from '../../errors.ts'
import { withoutViews } from '../../schema/scan/views.ts'
import type { OnError, Selector } from '../../pipeline/definition.ts'
import type { Selection } from '../batch.ts'
import type { RowBatch } from '../rows.ts'

export interface Operator {
  process(batch: RowBatch, selection: Selection): void
}

/** Everything that follows a node: operators and outputs, in the order of the pipeline. */
export class Fanout implements Operator {
  readonly targets: Operator[] = []

  process(batch: RowBatch, selection: Selection): void {
    if (selection.count === 0) return
    for (const target of this.targets) target.process(batch, selection)
  }
}

/** Where rows go that an operator cannot pass on. Implemented by the runner. */
export interface Fates {
  /** A function is about to be called for a row of this task: should it never return, this says where. */
  calling(task: number): void
  /** The row as it stands at `node`'s input becomes a dead letter. */
  deadLetter(
    batch: RowBatch,
    row: number,
    node: number,
    error: MillraceError,
    attempts: number,
  ): void
  skipped(batch: RowBatch, row: number): void
  late(batch: RowBatch, row: number): void
  /** The row's task stops with this error; what it staged since the last commit is dropped. */
  fail(task: number, error: MillraceError): void
  /** The same because the row's operator wants it so. `what` says what went wrong, in whole sentences. */
  stop(batch: RowBatch, row: number, what: string, cause: unknown): void
}

/** Stands for "no result": the row has left already. */
export const failed = Symbol('failed')

/** The operator that a function belongs to. */
export interface FunctionNode {
  readonly id: number
  readonly name: string
  readonly onError?: OnError
  readonly retries?: number
}

/** A function of the pipeline: called with its retries, its failures handled as its operator says. */
export class UserFunction {
  readonly #fn: (row: unknown, other?: unknown) => unknown
  readonly #node: number
  readonly #name: string
  readonly #onError: OnError
  readonly #retries: number
  readonly #fates: Fates

  constructor(node: FunctionNode, fn: (row: never, other: never) => unknown, fates: Fates) {
    this.#fn = fn as (row: unknown, other?: unknown) => unknown
    this.#node = node.id
    this.#name = node.name
    this.#onError = node.onError ?? 'deadLetter'
    this.#retries = node.retries ?? 0
    this.#fates = fates
  }

  /** The function's value for a row, or `failed` when the row has left the stream. */
  call(batch: RowBatch, row: number, other?: unknown): unknown {
    const value = batch.view(row)
    this.#fates.calling(batch.partition[row]!)
    for (let attempt = 1; ; attempt++) {
      try {
        const result = this.#fn(value, other)
        if (typeof result !== 'object' || result === null || !isThenable(result)) return result
        // Its rejection would otherwise end the process.
        result.then(undefined, () => {})
        return this.reject(
          batch,
          row,
          'MR4002',
          `The function of ${this.#name} returned a promise.`,
          attempt,
        )
      } catch (error) {
        if (attempt > this.#retries) {
          const what = `The function of ${this.#name} threw ${describe(error)}.`
          return this.reject(batch, row, 'MR4001', what, attempt, error)
        }
      }
    }
  }

  /** The same for a function that makes rows: what is none is a failure. */
  callForRow(batch: RowBatch, row: number, other?: unknown): Row | typeof failed {
    const made = this.call(batch, row, other)
    if (made === failed) return made
    if (isRow(made)) return withoutViews(made) as Row
    const what = `The function of ${this.#name} returned ${typeOf(made)}.`
    return this.reject(batch, row, 'MR4003', what)
  }

  /** The row leaves the stream as the operator says. */
  reject(
    batch: RowBatch,
    row: number,
    code: 'MR4001' | 'MR4002' | 'MR4003' | 'MR4004' | 'MR4005',
    what: string,
    attempts = 1,
    cause?: unknown,
  ): typeof failed {
    if (this.#onError === 'skip') {
      this.#fates.skipped(batch, row)
      return failed
    }
    if (this.#onError === 'fail') this.#fates.stop(batch, row, `${what} (${code})`, cause)
    else {
      const error = new MillraceError(code, what, { cause })
      this.#fates.deadLetter(batch, row, this.#node, error, attempts)
    }
    return failed
  }
}

/**
 * What a selector gives for the rows of a batch: a field's value, or that of a function; `failed` where the row has left.
 */
export type RowSelector = (batch: RowBatch) => (row: number) => unknown

export function rowSelector(node: FunctionNode, selector: Selector, fates: Fates): RowSelector {
  if ('path' in selector) {
    const { path } = selector
    return (batch) => {
      const column = batch.column(path)
      return (row) => column.get(row)
    }
  }
  const fn = new UserFunction(node, selector.fn, fates)
  return (batch) => (row) => fn.call(batch, row)
}

type Row = Record<string, unknown>

/** True for what map, derive, enrich and flatMap may return: an object that is no array. */
export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 500)
  return `${error.name}: ${error.message}`.slice(0, 500)
}

function isThenable(value: object): value is PromiseLike<unknown> {
  return 'then' in value && typeof value.then === 'function'
}

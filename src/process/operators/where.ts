import type { Condition } from '../../pipeline/definition.ts'
import type { Selection } from '../batch.ts'
import type { RowBatch } from '../rows.ts'
import { fieldGetter, RowList } from '../rows.ts'
import type { Fanout, Operator } from './operator.ts'

/** Keeps rows for which all conditions hold. Strings compare by UTF-16 code units, as JavaScript does. */
export class Where implements Operator {
  readonly #conditions: readonly {
    readonly condition: Condition
    readonly test: (value: unknown) => boolean
  }[]
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(conditions: readonly Condition[], next: Fanout) {
    this.#conditions = conditions.map((condition) => ({ condition, test: tester(condition) }))
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    kept.rows.set(selection.rows.subarray(0, selection.count))
    kept.count = selection.count
    for (const { condition, test } of this.#conditions) {
      if (batch.met?.has(condition) === true) continue
      const column = batch.column(condition.path)
      let count = 0
      for (let i = 0; i < kept.count; i++) {
        const row = kept.rows[i]!
        if (test(column.get(row))) kept.rows[count++] = row
      }
      kept.count = count
    }
    this.#next.process(batch, kept)
  }
}

/** Whether all conditions hold for a row that is in no batch. */
export function allHold(conditions: readonly Condition[]): (value: unknown) => boolean {
  const tests = conditions.map((condition) => ({
    get: fieldGetter(condition.path),
    test: tester(condition),
  }))
  return (value) => tests.every(({ get, test }) => test(get(value)))
}

type Scalar = string | number | boolean | null

function tester(condition: Condition): (value: unknown) => boolean {
  if (condition.op === 'in') {
    const { values } = condition
    const [only] = values
    if (values.length === 1 && only !== undefined) return (value) => value === only
    const set: ReadonlySet<unknown> = new Set(values.filter((value) => !Number.isNaN(value)))
    return (value) => set.has(value)
  }
  const { op, value: bound } = condition
  if (op === 'ne') return (value) => value !== bound
  return ordered(op, bound)
}

/** Values of another type than the bound's are in no order with it: the condition does not hold. */
function ordered(op: 'gt' | 'gte' | 'lt' | 'lte', bound: Scalar): (value: unknown) => boolean {
  if (typeof bound !== 'string' && typeof bound !== 'number') return () => false
  const type = typeof bound
  switch (op) {
    case 'gt':
      return (value) => typeof value === type && (value as typeof bound) > bound
    case 'gte':
      return (value) => typeof value === type && (value as typeof bound) >= bound
    case 'lt':
      return (value) => typeof value === type && (value as typeof bound) < bound
    default:
      return (value) => typeof value === type && (value as typeof bound) <= bound
  }
}

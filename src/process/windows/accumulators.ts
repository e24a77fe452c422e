/**
 * Accumulators of one window: a few doubles. count 1, sum 2 (sum, compensation), avg 3 (sum, compensation, count), min 1,
 * max 1. Sums are compensated (Neumaier), so that another order of the same values gives the same sum within 1e-12.
 */
import type { AggregateField } from '../../pipeline/definition.ts'

export interface AccumulatorField {
  readonly name: string
  readonly kind: AggregateField['kind']
  readonly slot: number
}

const slots = { count: 1, sum: 2, avg: 3, min: 1, max: 1 } as const

export class Accumulators {
  readonly fields: readonly AccumulatorField[]
  readonly length: number
  readonly #empty: Float64Array

  constructor(fields: Readonly<Record<string, AggregateField>>) {
    const laidOut: AccumulatorField[] = []
    let slot = 0
    for (const [name, { kind }] of Object.entries(fields)) {
      laidOut.push({ name, kind, slot })
      slot += slots[kind]
    }
    this.fields = laidOut
    this.length = slot
    this.#empty = new Float64Array(slot)
    for (const field of laidOut) {
      if (field.kind === 'min') this.#empty[field.slot] = Infinity
      if (field.kind === 'max') this.#empty[field.slot] = -Infinity
    }
  }

  empty(): Float64Array {
    return this.#empty.slice()
  }

  /** `values[i]` belongs to `fields[i]`; NaN where the row has none. */
  add(into: Float64Array, values: Float64Array): void {
    for (let i = 0; i < this.fields.length; i++) {
      const { kind, slot } = this.fields[i]!
      const value = values[i]!
      if (kind === 'count') {
        into[slot] = into[slot]! + 1
        continue
      }
      if (Number.isNaN(value)) continue
      if (kind === 'min') {
        if (value < into[slot]!) into[slot] = value
      } else if (kind === 'max') {
        if (value > into[slot]!) into[slot] = value
      } else {
        addTo(into, slot, value)
        if (kind === 'avg') into[slot + 2] = into[slot + 2]! + 1
      }
    }
  }

  /** Adds what was added up elsewhere. */
  merge(into: Float64Array, from: Float64Array): void {
    for (const { kind, slot } of this.fields) {
      const value = from[slot]!
      if (kind === 'count') into[slot] = into[slot]! + value
      else if (kind === 'min') {
        if (value < into[slot]!) into[slot] = value
      } else if (kind === 'max') {
        if (value > into[slot]!) into[slot] = value
      } else {
        addTo(into, slot, value)
        into[slot + 1] = into[slot + 1]! + from[slot + 1]!
        if (kind === 'avg') into[slot + 2] = into[slot + 2]! + from[slot + 2]!
      }
    }
  }

  /** Adds the fields' results to a row. avg, min and max of no values are null; a sum of none is 0. */
  result(of: Float64Array, into: Record<string, unknown>): void {
    for (const { name, kind, slot } of this.fields) {
      into[name] = value(of, kind, slot)
    }
  }
}

/** The sum at `slot`, and behind it what rounding took from it. */
function addTo(into: Float64Array, slot: number, value: number): void {
  const sum = into[slot]!
  const total = sum + value
  const lost = Math.abs(sum) >= Math.abs(value) ? sum - total + value : value - total + sum
  into[slot] = total
  into[slot + 1] = into[slot + 1]! + lost
}

function value(of: Float64Array, kind: AggregateField['kind'], slot: number): number | null {
  const first = of[slot]!
  switch (kind) {
    case 'count':
      return first
    case 'sum':
      return first + of[slot + 1]!
    case 'avg':
      return of[slot + 2] === 0 ? null : (first + of[slot + 1]!) / of[slot + 2]!
    default:
      return Number.isFinite(first) ? first : null
  }
}

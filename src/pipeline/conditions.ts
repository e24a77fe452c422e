import { MillraceError } from '../errors.ts'
import type { Condition } from './definition.ts'
import { kindOf } from './functions.ts'
import type { Scalar } from './paths.ts'
import type { Shape } from './shape.ts'
import { fieldAt } from './shape.ts'

const comparisons = ['gt', 'gte', 'lt', 'lte', 'ne'] as const

/** Conditions as a list, in the order written; `what` names them in errors. Throws MR3012 and MR3016. */
export function conditionsOf(
  conditions: Readonly<Record<string, unknown>>,
  shape: Shape,
  what = 'where()',
): readonly Condition[] {
  const list: Condition[] = []
  for (const [path, match] of Object.entries(conditions)) {
    fieldAt(shape, path, what)
    if (isScalar(match)) list.push({ path, op: 'in', values: [match] })
    else if (Array.isArray(match) && match.every(isScalar))
      list.push({ path, op: 'in', values: match })
    else list.push(...compared(what, path, match))
  }
  if (list.length > 0) return list
  throw new MillraceError('MR3016', `${what} has no conditions, e.g. { type: 'page_view' }.`)
}

function compared(what: string, path: string, match: unknown): readonly Condition[] {
  const plain = typeof match === 'object' && match !== null && !Array.isArray(match)
  const entries = plain ? Object.entries(match) : []
  if (entries.length === 0) throw unusable(what, path, kindOf(match))
  return entries.map(([name, value]) => {
    const op = comparisons.find((one) => one === name)
    if (op === undefined) throw unusable(what, path, `the comparison ${name}`)
    const orders = typeof value === 'string' || typeof value === 'number'
    if (!(op === 'ne' ? isScalar(value) : orders))
      throw unusable(what, path, `${name} ${kindOf(value)}`)
    return { path, op, value: value as Scalar & (string | number) }
  })
}

function unusable(what: string, path: string, got: string): MillraceError {
  const can = `a value, an array of values, or { ${comparisons.join(', ')} }`
  return new MillraceError('MR3016', `${what} compares ${path} with ${got}; it takes ${can}.`)
}

function isScalar(value: unknown): value is Scalar {
  if (typeof value === 'number') return Number.isFinite(value)
  return value === null || typeof value === 'string' || typeof value === 'boolean'
}

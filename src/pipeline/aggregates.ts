/** What `aggregate` computes per key and window, and the windows themselves. */
import type { AggregateField } from './definition.ts'
import { checkedFunction } from './functions.ts'
import type { NumberPath } from './paths.ts'
import type { Duration } from './units.ts'
import { positiveMilliseconds } from './units.ts'

declare const rowType: unique symbol
declare const resultType: unique symbol

/** One aggregate over rows of type T, giving a V. */
export interface Aggregate<in T, out V> {
  readonly field: AggregateField
  readonly [rowType]?: (row: T) => void
  readonly [resultType]?: V
}

/** Windows of a fixed size, side by side, aligned to 1970-01-01T00:00:00Z. */
export interface Tumbling {
  readonly kind: 'tumbling'
  readonly sizeMs: number
}

/** `tumbling('1m')`: windows of one minute. The size must be more than zero. */
export function tumbling(size: Duration): Tumbling {
  return { kind: 'tumbling', sizeMs: positiveMilliseconds('The size of the window', size) }
}

/** The number of rows. */
export function count(): Aggregate<unknown, number> {
  return { field: { kind: 'count' } }
}

/** The sum of a field, by path, or of what a function returns; 0 where no row has a number. */
export function sum<T>(
  of: NumberPath<T> | ((row: T) => number | null | undefined),
): Aggregate<T, number> {
  return numeric('sum', of)
}

/** The mean; null where no row has a number. */
export function avg<T>(
  of: NumberPath<T> | ((row: T) => number | null | undefined),
): Aggregate<T, number | null> {
  return numeric('avg', of)
}

/** The smallest; null where no row has a number. */
export function min<T>(
  of: NumberPath<T> | ((row: T) => number | null | undefined),
): Aggregate<T, number | null> {
  return numeric('min', of)
}

/** The largest; null where no row has a number. */
export function max<T>(
  of: NumberPath<T> | ((row: T) => number | null | undefined),
): Aggregate<T, number | null> {
  return numeric('max', of)
}

function numeric<T, V>(
  kind: AggregateField['kind'],
  of: string | ((row: T) => unknown),
): Aggregate<T, V> {
  if (typeof of === 'string') return { field: { kind, of: { path: of } } }
  return { field: { kind, of: { fn: checkedFunction(`${kind}()`, of) } } }
}

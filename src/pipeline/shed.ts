/** What a pipeline leaves out of a stream that it cannot keep up with: chosen by name, never by accident. */
import { MillraceError } from '../errors.ts'
import { conditionsOf } from './conditions.ts'
import type { Condition } from './definition.ts'
import { kindOf } from './functions.ts'
import { checkedOptions } from './graph.ts'
import type { Where } from './paths.ts'
import type { Shape } from './shape.ts'

/** Of the unread records of a partition the newest `maxLag` are never shed; of the older ones … */
type ShedBy<Conditions> =
  /** all are. */
  | { readonly policy: 'drop-oldest'; readonly maxLag: number }
  /** all but a share, more than 0 and less than 1. */
  | { readonly policy: 'sample'; readonly maxLag: number; readonly keep: number }
  /** all that do not meet every condition. */
  | { readonly policy: 'priority'; readonly maxLag: number; readonly keep: Conditions }

/** As users write it; the conditions are those of `where`. */
export type ShedOptions<T> = ShedBy<Where<T>>
/** As plan and tasks have it. */
export type Shed = ShedBy<readonly Condition[]>

/** `shed` of a stream. Throws MR3014, and MR3012 and MR3016 for the conditions. */
export function checkedShed(what: string, shed: ShedOptions<unknown>, shape: Shape): Shed {
  const where = `shed of ${what}`
  if (typeof shed !== 'object' || shed === null) {
    const text = `${where} is ${kindOf(shed)}; it is an object with policy and maxLag.`
    throw new MillraceError('MR3014', text)
  }
  const { policy, maxLag } = shed
  if (policy !== 'drop-oldest' && policy !== 'sample' && policy !== 'priority') {
    const text = `policy in ${where} is ${kindOf(policy)}; it can be drop-oldest, sample or priority.`
    throw new MillraceError('MR3014', text)
  }
  checkedOptions(where, shed, ['policy', 'maxLag', ...(policy === 'drop-oldest' ? [] : ['keep'])])
  if (!Number.isSafeInteger(maxLag) || maxLag < 1) {
    const text = `maxLag in ${where} is ${shown(maxLag)}; it is a whole number of records, 1 or more.`
    throw new MillraceError('MR3014', text)
  }
  if (policy === 'drop-oldest') return { policy, maxLag }
  if (policy === 'sample') return { policy, maxLag, keep: checkedShare(where, shed.keep) }
  if (typeof shed.keep === 'object' && shed.keep !== null)
    return { policy, maxLag, keep: conditionsOf(shed.keep, shape, `keep in ${where}`) }
  const text = `keep in ${where} is ${kindOf(shed.keep)}; with priority it is conditions as where() takes them.`
  throw new MillraceError('MR3014', text)
}

function checkedShare(where: string, keep: number): number {
  if (typeof keep === 'number' && keep > 0 && keep < 1) return keep
  const text = `keep in ${where} is ${shown(keep)}; with sample it is a share, more than 0 and less than 1.`
  throw new MillraceError('MR3014', text)
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : kindOf(value)
}

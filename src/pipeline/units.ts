/** Durations and sizes as people write them. */
import { MillraceError } from '../errors.ts'

const durations = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const sizes = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 } as const

/** Milliseconds, or a number with one unit: `'250ms'`, `'30s'`, `'10m'`, `'1.5h'`, `'7d'`. */
export type Duration = number | `${number}${keyof typeof durations}`

/** Bytes, or a number with one unit, powers of 1024: `'512KB'`, `'50MB'`, `'10GB'`. */
export type Size = number | `${number}${keyof typeof sizes}`

/** Milliseconds of `value`; `what` names the option in errors. Throws MR3013. */
export function milliseconds(what: string, value: Duration): number {
  const ms = parse(value, durations)
  if (ms !== undefined) return ms
  throw new MillraceError('MR3013', `${what} is ${shown(value)}, which is not a duration.`)
}

/** Milliseconds, more than zero. Throws MR3013. */
export function positiveMilliseconds(what: string, value: Duration): number {
  const ms = milliseconds(what, value)
  if (ms > 0) return ms
  throw new MillraceError('MR3013', `${what} is ${shown(value)}; it must be more than zero.`)
}

/** Bytes of `value`; more than zero. Throws MR3013. */
export function bytes(what: string, value: Size): number {
  const count = parse(value, sizes)
  if (count !== undefined && count > 0) return count
  throw new MillraceError('MR3013', `${what} is ${shown(value)}, which is not a size.`)
}

function parse(
  value: number | string,
  units: Readonly<Record<string, number>>,
): number | undefined {
  if (typeof value === 'number') return whole(value)
  if (typeof value !== 'string') return undefined
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]+)$/.exec(value)
  const unit = match === null ? undefined : units[match[2]!]
  return unit === undefined ? undefined : whole(Number(match![1]) * unit)
}

/** Parts of a millisecond or byte do not exist; `0.5s` does. */
function whole(value: number): number | undefined {
  const rounded = Math.round(value)
  if (!Number.isSafeInteger(rounded) || rounded < 0) return undefined
  return Math.abs(rounded - value) < 1e-6 ? rounded : undefined
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

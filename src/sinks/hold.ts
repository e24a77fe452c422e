import { MillraceError } from '../errors.ts'
import type { Hold } from './sink.ts'

/** The option `hold`, as a part of a sink. Throws MR5009. */
export function holdOf(kind: string, hold: Hold | undefined): { readonly hold?: Hold } {
  if (hold === undefined) return {}
  for (const name of ['ms', 'bytes'] as const) {
    const value: unknown = hold[name]
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) continue
    throw new MillraceError(
      'MR5009',
      `hold.${name} of the ${kind} sink is ${String(value)}; it must be a number, 0 or more.`,
    )
  }
  return { hold }
}

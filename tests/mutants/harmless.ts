/** Mechanical mutants that need no test, each with the reason. They are not planted. */
import type { MechanicalMutant } from './mechanical.ts'

export interface Harmless {
  readonly file: string
  /** The changed line as it was, and as it is. */
  readonly before: string
  readonly after: string
  /** Which one, where the file holds such a line more than once; from 1, which is the default. */
  readonly nth?: number
  /** Nothing that the program does is different: it counts as neither caught nor survived. */
  readonly equivalent: boolean
  readonly why: string
}

export const harmless: readonly Harmless[] = []

export function explained({ file, before, after, nth }: MechanicalMutant): Harmless | undefined {
  return harmless.find(
    (h) => h.file === file && h.before === before && h.after === after && (h.nth ?? 1) === nth,
  )
}

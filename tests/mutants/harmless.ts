/** Mechanical mutants that nothing can notice, each with the reason. */
import type { MechanicalMutant } from './mechanical.ts'

interface Harmless {
  readonly file: string
  /** The changed line as it was, and as it is. */
  readonly before: string
  readonly after: string
  readonly why: string
}

export const harmless: readonly Harmless[] = []

export function explained({ file, before, after }: MechanicalMutant): string | undefined {
  return harmless.find((h) => h.file === file && h.before === before && h.after === after)?.why
}

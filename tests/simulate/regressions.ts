/** Runs that once broke a promise, as small as they were found to be; `what` names the promise. */
import type { Config } from './config.ts'

export interface Regression {
  readonly seed: number
  readonly change: Partial<Config>
  readonly what: string
}

export const regressions: readonly Regression[] = []

import type { Random } from './env/env.ts'

export interface BackoffOptions {
  /** The longest wait after the first failure, milliseconds. */
  readonly baseMs: number
  /** The longest wait of all, milliseconds. */
  readonly maxMs: number
}

/**
 * How long to wait after the `failures`-th failure in a row (1 is the first): doubled each time up to the limit, then
 * drawn from its upper half, so that many who failed together do not come back together.
 */
export function backoff(options: BackoffOptions, failures: number, random: Random): number {
  const longest = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(failures - 1, 40))
  return longest / 2 + (random.float() * longest) / 2
}

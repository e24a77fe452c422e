import type { Random } from './env/env.ts'

export interface BackoffBounds {
  readonly firstMs: number
  readonly longestMs: number
}

/**
 * How long to wait before attempt `attempt` (0 = the first repetition): doubled each time up to the longest, then
 * drawn from its upper half, so that many who failed together do not come back together.
 */
export function backoffMs(attempt: number, bounds: BackoffBounds, random: Random): number {
  const ceiling = Math.min(bounds.longestMs, bounds.firstMs * 2 ** Math.min(attempt, 40))
  return ceiling / 2 + (random.float() * ceiling) / 2
}

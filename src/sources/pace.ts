import type { Clock } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'

/**
 * Lets through so many events per second, evenly, from the moment it is made. What was missed while nobody asked is made
 * up for, at most one second of it.
 */
export class Pace {
  readonly #clock: Clock
  readonly #perSecond: number
  #credit = 0
  #at: number

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#at = clock.monotonic()
  }

  /** How many events may go now. */
  allowed(): number {
    const now = this.#clock.monotonic()
    this.#credit = Math.min(
      this.#credit + ((now - this.#at) * this.#perSecond) / 1000,
      Math.max(1, this.#perSecond),
    )
    this.#at = now
    return Math.floor(this.#credit)
  }

  took(events: number): void {
    this.#credit -= events
  }

  /** Milliseconds until the next event may go, or a few may go together at high rates. */
  waitMs(): number {
    return Math.max(
      1,
      ((1 - this.#credit) / this.#perSecond) * 1000,
      Math.min(10, 10_000 / this.#perSecond),
    )
  }
}

/** Unlimited where `perSecond` is undefined. */
export function paceOf(clock: Clock, perSecond: number | undefined): Pace | undefined {
  return perSecond === undefined ? undefined : new Pace(clock, perSecond)
}

export function checkRate(source: string, perSecond: number | undefined): void {
  if (perSecond === undefined || (perSecond > 0 && perSecond <= 1e9)) return
  const what = `eventsPerSecond of the ${source} source is ${perSecond}; it is a number above 0 and at most 1000000000.`
  throw new MillraceError('MR1063', what)
}

import type { Clock } from '../../core/env/env.ts'

/**
 * The log's own time, by which retention counts ages. It is carried in the frames and goes on from the last one, so
 * it does not count the time a log was closed at once. It moves with the time that really passed and bends towards the
 * wall clock, at most twice and at least half as fast: a clock that jumps a year ahead, or back, removes nothing.
 */
export class LogClock {
  readonly #clock: Clock
  #time: number
  #monotonic: number

  /** `last` is the log time of the newest frame; 0 for a new log. */
  constructor(clock: Clock, last: number) {
    this.#clock = clock
    this.#time = last > 0 ? last : clock.now()
    this.#monotonic = clock.monotonic()
  }

  now(): number {
    const monotonic = this.#clock.monotonic()
    const passed = monotonic - this.#monotonic
    const behind = this.#clock.now() - this.#time
    this.#monotonic = monotonic
    this.#time += Math.min(2 * passed, Math.max(passed / 2, behind))
    return this.#time
  }
}

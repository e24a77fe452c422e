import type { Clock } from '../core/env/env.ts'

/**
 * What a start took, for whoever is on call: milliseconds from its beginning until each part of it was over, in the order in
 * which they end. Where workers are many, until the last of them was through.
 */
export class Phases {
  readonly #clock: Clock
  readonly #began: number
  readonly #ends: Partial<Record<Phase, number>> = {}

  constructor(clock: Clock) {
    this.#clock = clock
    this.#began = clock.monotonic()
  }

  /** Gives the milliseconds until now. */
  over(phase: Phase): number {
    return (this.#ends[phase] = this.elapsedMs)
  }

  /** Since the beginning. */
  get elapsedMs(): number {
    return Math.round(this.#clock.monotonic() - this.#began)
  }

  all(): Readonly<Partial<Record<Phase, number>>> {
    return this.#ends
  }
}

export type Phase =
  /** The log is verified, and takes commits. */
  | 'recovered'
  /** The pipelines are loaded on main's behalf, their topics made. */
  | 'planned'
  | 'listening'
  /** Workers have loaded the pipelines. */
  | 'loaded'
  /** Workers have read their state back. */
  | 'ready'

/** Judges whether one more request may wait for a worker. Not a queue: it only counts. */
export interface AdmissionLimits {
  /** How long what is admitted shall wait, milliseconds. */
  readonly waitMs: number
  /** So many may wait, however slow their answers are. */
  readonly least: number
}

/** A burst may be so many times what the rate allows for long, and so many times the least: that is before there is a rate. */
const burst = 2
const burstOfLeast = 4
/** After so long without a refusal there may be a burst again. */
const calmMs = 250
/** The rate is taken anew so often: several commits. */
const windowMs = 100
/** How much of a slower window counts: where little is answered, little may have been asked. */
const slower = 0.2

/**
 * As many requests may wait for a worker as it answers in `waitMs`, by how fast it answered lately: then what is taken in
 * is answered soon, whatever is asked for. A burst may pile up more, until that too is too much.
 */
export class Admission {
  readonly #now: () => number
  readonly #limits: AdmissionLimits
  #waiting = 0
  #perMs = 0
  #answered = 0
  #windowFrom: number
  #refusedAt = -Infinity

  /** `now` never goes back, milliseconds. */
  constructor(now: () => number, limits: AdmissionLimits) {
    this.#now = now
    this.#limits = limits
    this.#windowFrom = now()
  }

  get waiting(): number {
    return this.#waiting
  }

  /** How many may wait now. */
  get most(): number {
    const { least, waitMs } = this.#limits
    const byRate = Math.round(this.#perMs * waitMs)
    return this.#now() - this.#refusedAt < calmMs
      ? Math.max(least, byRate)
      : Math.max(least * burstOfLeast, byRate * burst)
  }

  /** Whether one more may wait. Where not, the one who asks refuses it. */
  admits(): boolean {
    if (this.#waiting < this.most) return true
    this.#refusedAt = this.#now()
    return false
  }

  begin(): void {
    this.#waiting++
  }

  /** It waits no more. What was lost and not `answered` says nothing of how fast the worker is. */
  end(answered: boolean): void {
    this.#waiting--
    if (answered) this.#answered++
    const now = this.#now()
    const elapsed = now - this.#windowFrom
    if (elapsed < windowMs) return
    const perMs = this.#answered / elapsed
    this.#perMs = perMs > this.#perMs ? perMs : this.#perMs + (perMs - this.#perMs) * slower
    this.#answered = 0
    this.#windowFrom = now
  }
}

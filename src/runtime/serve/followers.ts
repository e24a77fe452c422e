import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'

/** Who follows topics now: bounded, and ended together when the server closes. */
export class Followers {
  readonly #most: number
  readonly #stops = new Set<AbortController>()
  #closed = false

  constructor(most: number = limits.followers) {
    this.#most = most
  }

  get count(): number {
    return this.#stops.size
  }

  /** A place for one more; its signal ends when the server closes. Throws MR6030 when all are taken. */
  join(): { readonly signal: AbortSignal; leave(): void } {
    if (this.#closed || this.#stops.size >= this.#most) {
      throw new MillraceError(
        'MR6030',
        `${this.#stops.size} clients follow topics; the limit is ${this.#most}.`,
      )
    }
    const stop = new AbortController()
    this.#stops.add(stop)
    return {
      signal: stop.signal,
      leave: () => {
        this.#stops.delete(stop)
        stop.abort()
      },
    }
  }

  close(): void {
    this.#closed = true
    for (const stop of this.#stops) stop.abort()
  }
}

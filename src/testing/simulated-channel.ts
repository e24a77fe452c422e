import { cloneMessage } from '../core/clone.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import type { Port } from '../core/port.ts'

/**
 * A channel between two simulated threads. Messages arrive whole and in order, a little virtual time later; none comes
 * from a thread that died, and none reaches one.
 */
export function simulatedChannel(a: SimulatedEnv, b: SimulatedEnv): [Port, Port] {
  const here = new End(a)
  const there = new End(b)
  here.peer = there
  there.peer = here
  return [here, there]
}

class End implements Port {
  peer: End | undefined
  readonly #env: SimulatedEnv
  #receive: ((message: unknown) => void) | undefined
  #closed: (() => void) | undefined
  readonly #waiting: unknown[] = []
  #open = true
  #lastArrival = 0

  constructor(env: SimulatedEnv) {
    this.#env = env
  }

  post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#open || !this.#env.alive) return
    // A copy, so that the threads share nothing but shared memory.
    const copy = cloneMessage(message, transfer)
    this.peer?.arrives((end) => end.#deliver(copy))
  }

  onMessage(receive: (message: unknown) => void): void {
    this.#receive = receive
    for (const message of this.#waiting.splice(0)) receive(message)
  }

  onClose(closed: () => void): void {
    this.#closed = closed
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.peer?.arrives((end) => end.#peerClosed())
  }

  /** In the order of the calls, each a little later than it was sent: other channels may be faster. Never for the dead. */
  arrives(act: (end: End) => void): void {
    const { clock, random, timers } = this.#env
    const now = clock.monotonic()
    const luck = random.int(40)
    const slow = luck < 2 ? 10 : luck < 5 ? 1 : 0.03
    this.#lastArrival = Math.max(this.#lastArrival, now) + 0.001 + random.float() * slow
    timers.after(this.#lastArrival - now, () => {
      if (this.#open) act(this)
    })
  }

  #deliver(message: unknown): void {
    if (this.#receive === undefined) this.#waiting.push(message)
    else this.#receive(message)
  }

  #peerClosed(): void {
    this.#open = false
    this.#closed?.()
  }
}

import { cloneMessage } from '../core/clone.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import type { MessagePortLike } from '../core/port.ts'

/** A thread, as the end of a channel sees the one that has it. */
export interface Side {
  readonly env: SimulatedEnv
  /** The ends that it has, which close when it ends. */
  readonly ends: Set<ChannelEnd>
  /** A receiver threw. */
  threw(error: unknown): void
}

/**
 * A channel between two simulated threads. Messages arrive whole and in order, a little virtual time later; none comes
 * from a thread that died, and none reaches one.
 */
export function simulatedChannel(a: Side, b: Side): [ChannelEnd, ChannelEnd] {
  const here = new ChannelEnd(a)
  const there = new ChannelEnd(b)
  here.connect(there)
  there.connect(here)
  return [here, there]
}

export class ChannelEnd implements MessagePortLike {
  #peer: ChannelEnd | undefined
  #side: Side
  readonly #receivers: ((message: unknown) => void)[] = []
  readonly #closed: (() => void)[] = []
  readonly #waiting: unknown[] = []
  #open = true
  #lastArrival = 0

  constructor(side: Side) {
    this.#side = side
    side.ends.add(this)
  }

  connect(peer: ChannelEnd): void {
    this.#peer = peer
  }

  postMessage(message: unknown, transfer: readonly (ArrayBuffer | MessagePortLike)[] = []): void {
    const peer = this.#peer
    if (!this.#open || !this.#side.env.alive || peer === undefined) return
    // A copy, so that the threads share nothing but shared memory.
    const copy = copied(message, transfer, peer.#side)
    peer.arrives(() => peer.#deliver(copy))
  }

  on(event: 'message', listener: (message: unknown) => void): void
  on(event: 'close' | 'exit', listener: () => void): void
  on(event: 'message' | 'close' | 'exit', listener: (message?: unknown) => void): void {
    if (event === 'close') this.#closed.push(listener)
    if (event !== 'message') return
    this.#receivers.push(listener)
    for (const message of this.#waiting.splice(0)) this.#deliver(message)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#side.ends.delete(this)
    const peer = this.#peer
    peer?.arrives(() => peer.#peerClosed())
  }

  moveTo(side: Side): void {
    this.#side.ends.delete(this)
    this.#side = side
    side.ends.add(this)
  }

  /** In the order of the calls, each a little later than it was sent: other channels may be faster. Never for the dead. */
  arrives(act: () => void): void {
    const { clock, random, timers } = this.#side.env
    const now = clock.monotonic()
    const luck = random.int(40)
    const slow = luck < 2 ? 10 : luck < 5 ? 1 : 0.03
    this.#lastArrival = Math.max(this.#lastArrival, now) + 0.001 + random.float() * slow
    timers.after(this.#lastArrival - now, act)
  }

  #deliver(message: unknown): void {
    if (!this.#open) return
    if (this.#receivers.length === 0) this.#waiting.push(message)
    try {
      for (const receive of this.#receivers) receive(message)
    } catch (error) {
      this.#side.threw(error)
    }
  }

  #peerClosed(): void {
    if (!this.#open) return
    this.#open = false
    this.#side.ends.delete(this)
    for (const closed of this.#closed) closed()
  }
}

/** What arrives at a thread of a message, or of the data that it is started with. */
export function copied(
  message: unknown,
  transfer: readonly (ArrayBuffer | MessagePortLike)[],
  to: Side,
): unknown {
  if (transfer.length === 0) return cloneMessage(message)
  const buffers = transfer.filter((one) => one instanceof ArrayBuffer)
  const ends = transfer.filter((one) => one instanceof ChannelEnd)
  for (const end of ends) end.moveTo(to)
  return cloneMessage(message, buffers, ends)
}

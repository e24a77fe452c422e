import { cloneMessage } from './clone.ts'

/**
 * A Port is one end of a channel between two threads (or two halves of one thread in simulation): messages arrive
 * whole, in order, exactly once, as long as both ends live.
 */
export interface Port {
  /** Sends a message; the buffers in `transfer` move and are detached here. After `close()` it does nothing. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void
  /** Sets the one receiver. Messages that came before are kept for it. */
  onMessage(receive: (message: unknown) => void): void
  /** Called once when the other end closed or died; never for one's own `close()`. */
  onClose(closed: () => void): void
  close(): void
}

/** What worker_threads' MessagePort, Worker and parentPort have in common. */
export interface MessagePortLike {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'close' | 'exit', listener: () => void): unknown
  close?(): void
}

/** A Port over a MessagePort of worker_threads. */
export function portOf(port: MessagePortLike): Port {
  let open = true
  let closed: (() => void) | undefined
  const ended = (): void => {
    if (!open) return
    open = false
    closed?.()
  }
  port.on('close', ended)
  port.on('exit', ended)
  return {
    post(message, transfer = []) {
      if (open) port.postMessage(message, [...transfer])
    },
    onMessage(receive) {
      port.on('message', receive)
    },
    onClose(listener) {
      closed = listener
    },
    close() {
      open = false
      port.close?.()
    },
  }
}

class End implements Port {
  peer: End | undefined
  #receive: ((message: unknown) => void) | undefined
  #closed: (() => void) | undefined
  #waiting: unknown[] = []
  #open = true

  post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    const peer = this.peer
    if (!this.#open || peer === undefined) return
    // A copy, so that both halves share nothing but shared memory, exactly as across threads.
    const copy = cloneMessage(message, transfer)
    queueMicrotask(() => peer.#deliver(copy))
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
    const peer = this.peer
    if (peer !== undefined) queueMicrotask(() => peer.#peerClosed())
  }

  #deliver(message: unknown): void {
    if (!this.#open) return
    if (this.#receive === undefined) this.#waiting.push(message)
    else this.#receive(message)
  }

  #peerClosed(): void {
    if (!this.#open) return
    this.#open = false
    this.#closed?.()
  }
}

/** Both ends of a channel inside one thread; delivery is asynchronous and in order. */
export function portPair(): [Port, Port] {
  const a = new End()
  const b = new End()
  a.peer = b
  b.peer = a
  return [a, b]
}

/** One WebSocket client: what it is sent, how much may wait for it, and how it is told that it is too slow. */
import type { WebSocket } from 'ws'
import type { Env } from '../../core/env/env.ts'
import { limits } from '../../limits.ts'

export const closeCodes = {
  goingAway: 1001,
  internal: 1011,
  /** It did not read what it was sent. It may come back and resume. */
  tooSlow: 4008,
} as const

export class Client {
  readonly #env: Env
  readonly #socket: WebSocket
  readonly #end = new AbortController()
  #answered = true
  /** When what waits in the socket last became less. */
  #movedAt: number
  #waiting = 0

  constructor(env: Env, socket: WebSocket, signal: AbortSignal) {
    this.#env = env
    this.#socket = socket
    this.#movedAt = env.clock.monotonic()
    socket.on('close', () => this.#end.abort())
    // `close` follows; without a listener the error would end the process.
    socket.on('error', () => {})
    socket.on('pong', () => (this.#answered = true))
    if (signal.aborted) this.close(closeCodes.goingAway, 'The engine stops.')
    else
      signal.addEventListener(
        'abort',
        () => this.close(closeCodes.goingAway, 'The engine stops.'),
        { once: true },
      )
    void this.#beat()
  }

  /** Aborts when the connection has ended. */
  get ended(): AbortSignal {
    return this.#end.signal
  }

  send(text: string): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(text)
  }

  /** Whether more may be sent now. Notes whether what waits becomes less. */
  get ready(): boolean {
    const waiting = this.#socket.bufferedAmount
    if (waiting < this.#waiting || waiting < limits.followerBufferBytes)
      this.#movedAt = this.#env.clock.monotonic()
    this.#waiting = waiting
    return waiting < limits.followerBufferBytes
  }

  /** Whether it has read nothing for so long that it must go. */
  get stuck(): boolean {
    return !this.ready && this.#env.clock.monotonic() - this.#movedAt >= limits.followerStuckMs
  }

  /** Waits until more may be sent. False when the client is gone, or was too slow and told so. `resume`: where it stood. */
  async drained(resume: string): Promise<boolean> {
    while (!this.ended.aborted) {
      if (this.ready) return true
      if (this.stuck) {
        this.closeSlow(resume)
        return false
      }
      await this.#env.timers.sleep(20, this.ended)
    }
    return false
  }

  closeSlow(resume: string): void {
    this.close(
      closeCodes.tooSlow,
      `Nothing was read for ${limits.followerStuckMs} ms. Resume from ${resume}`,
    )
  }

  close(code: number, reason: string): void {
    // A close frame holds 123 bytes of reason.
    this.#socket.close(code, reason.slice(0, 120))
    // The frame waits behind what the client does not read.
    this.#env.timers.after(2_000, () => this.#socket.terminate())
  }

  /** Ends connections whose other side is gone without a word. */
  async #beat(): Promise<void> {
    for (;;) {
      await this.#env.timers.sleep(limits.followerBeatMs, this.ended)
      if (this.ended.aborted) return
      if (!this.#answered) {
        this.#socket.terminate()
        return
      }
      this.#answered = false
      this.#socket.ping()
    }
  }
}

import { backoff } from '../core/backoff.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { decide } from './answer.ts'
import type { Attempt, Refused } from './answer.ts'
import { thisMachine } from './machine.ts'
import type { Machine } from './machine.ts'
import { settingsOf } from './options.ts'
import type {
  EventResult,
  Producer,
  ProducerCounters,
  ProducerOptions,
  Queued,
  Settings,
} from './options.ts'

/**
 * Sends events to one topic of an engine: in batches, one request at a time, in order. Every request has a number, so that
 * one that is sent again because its answer was lost is stored once.
 */
export function producer<T = unknown>(options: ProducerOptions): Producer<T> {
  return new HttpProducer<T>(options)
}

interface Sender {
  readonly bytes: number
  readonly admit: () => void
  readonly refuse: (error: MillraceError) => void
}

interface Waiting {
  readonly bytes: Uint8Array
  readonly resolve: (result: EventResult) => void
}

const encoder = new TextEncoder()
const pauses = { baseMs: 50, maxMs: 5_000 }

class HttpProducer<T> implements Producer<T> {
  readonly id: string
  readonly #settings: Settings
  readonly #machine: Machine
  #epoch: number
  #sequence = 0
  #queue: Waiting[] = []
  /** Bytes of the queue and of the batch under way. */
  #bytes = 0
  #queuedBytes = 0
  /** Senders that wait for room, first come first served, so that their events keep their order. */
  readonly #senders: Sender[] = []
  #flushers: { readonly left: () => boolean; readonly resolve: () => void }[] = []
  #settled = 0
  #flushTo = 0
  #pumping = false
  #wake: (() => void) | undefined
  #closed = false
  #stopped: MillraceError | undefined
  readonly #counters = { sent: 0, acknowledged: 0, refused: 0, failed: 0, retries: 0 }

  constructor(options: ProducerOptions) {
    this.#settings = settingsOf(options)
    this.#machine = { ...thisMachine(), ...options.machine }
    this.id = options.id ?? `p-${randomName(this.#machine)}`
    this.#epoch = Math.floor(this.#machine.clock.now())
  }

  get counters(): ProducerCounters {
    return { ...this.#counters }
  }

  async send(event: T): Promise<Queued> {
    if (this.#closed) throw this.#isClosed()
    const text: string | undefined = JSON.stringify(event)
    const bytes = encoder.encode(text ?? '')
    if (this.#senders.length === 0 && this.#hasRoom(bytes.length)) this.#takeRoom(bytes.length)
    else await this.#room(bytes.length)
    const result = new Promise<EventResult>((resolve) => {
      const waiting = { bytes, resolve }
      if (text === undefined)
        this.#refuse(waiting, 'MR1001', `The event is ${typeof event}, which JSON cannot hold.`)
      else if (bytes.length > limits.eventBytes) {
        this.#refuse(
          waiting,
          'MR1020',
          `The event has ${bytes.length} bytes; at most ${limits.eventBytes} are taken.`,
        )
      } else if (this.#stopped !== undefined)
        this.#settle(waiting, { status: 'failed', error: this.#stopped })
      else this.#enqueue(waiting)
    })
    return { result }
  }

  flush(): Promise<void> {
    const until = this.#counters.sent
    if (this.#settled >= until) return Promise.resolve()
    this.#flushTo = until
    this.#wake?.()
    return new Promise((resolve) =>
      this.#flushers.push({ left: () => this.#settled < until, resolve }),
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { refuse } of this.#senders.splice(0)) refuse(this.#isClosed())
    await this.flush()
  }

  #isClosed(): MillraceError {
    return new MillraceError('MR6050', `The producer ${this.id} is closed.`)
  }

  #hasRoom(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#settings.queueBytes
  }

  #takeRoom(bytes: number): void {
    this.#bytes += bytes
    this.#counters.sent++
  }

  /** Resolves with the room taken. */
  #room(bytes: number): Promise<void> {
    return new Promise((admit, refuse) => this.#senders.push({ bytes, admit, refuse }))
  }

  #admit(): void {
    for (let next = this.#senders[0]; next !== undefined; next = this.#senders[0]) {
      if (!this.#hasRoom(next.bytes)) return
      this.#takeRoom(next.bytes)
      this.#senders.shift()
      next.admit()
    }
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.push(waiting)
    this.#queuedBytes += waiting.bytes.length + 1
    if (!this.#pumping) {
      this.#pumping = true
      void this.#pump()
    } else if (this.#full()) this.#wake?.()
  }

  #full(): boolean {
    const { batchEvents, batchBytes } = this.#settings
    return this.#queue.length >= batchEvents || this.#queuedBytes >= batchBytes
  }

  /** Runs while there is something to send. */
  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      if (!this.#full() && this.#settled >= this.#flushTo)
        await this.#sleep(this.#settings.lingerMs)
      await this.#deliver(this.#takeBatch())
    }
    this.#pumping = false
  }

  #takeBatch(): Waiting[] {
    const { batchEvents, batchBytes } = this.#settings
    let count = 0
    let bytes = 0
    for (const waiting of this.#queue) {
      if (count === batchEvents || (count > 0 && bytes + waiting.bytes.length + 1 > batchBytes))
        break
      bytes += waiting.bytes.length + 1
      count++
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  /** Tries until every event of the batch has its result. */
  async #deliver(batch: readonly Waiting[]): Promise<void> {
    const { clock } = this.#machine
    const giveUpAt = clock.monotonic() + this.#settings.deliveryMs
    const body = bodyOf(batch)
    for (let failures = 0; ;) {
      if (this.#stopped !== undefined) return this.#fail(batch, this.#stopped)
      const decision = decide(await this.#request(body))
      switch (decision.next) {
        case 'done':
          this.#sequence++
          return this.#judged(batch, decision.refused)
        case 'refuse':
          return this.#judged(batch, refuseAll(batch, decision.error))
        case 'split':
          return this.#split(batch)
        case 'stop':
          this.#stopped = decision.error
          continue
        case 'unknown':
          this.#newEpoch()
          return this.#fail(batch, decision.error)
        case 'reopen':
          this.#newEpoch()
          // A try before this one may have been stored under the session that is gone: nobody can say.
          if (failures > 0) return this.#fail(batch, decision.error)
          failures++
          continue
        case 'retry':
      }
      failures++
      const waitMs = Math.max(decision.afterMs, backoff(pauses, failures, withInt(this.#machine)))
      if (clock.monotonic() + waitMs >= giveUpAt) {
        // Its number may or may not be used up: only a new epoch is sure to go on.
        this.#newEpoch()
        const what = `${batch.length} events were tried for ${this.#settings.deliveryMs} ms (${decision.error.message}).`
        return this.#fail(batch, new MillraceError('MR6051', what, { cause: decision.error }))
      }
      this.#counters.retries++
      await this.#pause(waitMs)
    }
  }

  async #split(batch: readonly Waiting[]): Promise<void> {
    const [only] = batch
    if (batch.length === 1 && only !== undefined) {
      this.#refuse(
        only,
        'MR1030',
        `The event has ${only.bytes.length} bytes, which the engine does not take at once.`,
      )
      return
    }
    const half = Math.ceil(batch.length / 2)
    await this.#deliver(batch.slice(0, half))
    await this.#deliver(batch.slice(half))
  }

  #newEpoch(): void {
    this.#epoch = Math.max(this.#epoch + 1, Math.floor(this.#machine.clock.now()))
    this.#sequence = 0
  }

  async #request(body: Uint8Array): Promise<Attempt> {
    const { url, headers, requestMs } = this.#settings
    const abort = new AbortController()
    const cancel = this.#machine.timers.after(requestMs, () => abort.abort())
    try {
      const response = await this.#machine.fetch(url, {
        method: 'POST',
        headers: {
          ...headers,
          'content-type': 'application/x-ndjson',
          'millrace-producer': this.id,
          'millrace-epoch': String(this.#epoch),
          'millrace-sequence': String(this.#sequence),
        },
        body,
        signal: abort.signal,
      })
      return {
        status: response.status,
        text: await response.text(),
        retryAfter: response.headers.get('retry-after'),
      }
    } catch (error) {
      return { unreachable: error instanceof Error ? error.message : String(error) }
    } finally {
      cancel()
    }
  }

  #judged(batch: readonly Waiting[], refused: readonly Refused[]): void {
    const reasons = new Map(refused.map((one) => [one.index, one]))
    for (const [index, waiting] of batch.entries()) {
      const reason = reasons.get(index)
      if (reason === undefined) this.#settle(waiting, { status: 'acknowledged' })
      else this.#settle(waiting, { status: 'refused', code: reason.code, message: reason.message })
    }
  }

  #refuse(waiting: Waiting, code: string, message: string): void {
    this.#settle(waiting, { status: 'refused', code, message })
  }

  #fail(batch: readonly Waiting[], error: MillraceError): void {
    for (const waiting of batch) this.#settle(waiting, { status: 'failed', error })
  }

  #settle(waiting: Waiting, result: EventResult): void {
    this.#counters[result.status]++
    this.#settled++
    this.#bytes -= waiting.bytes.length
    waiting.resolve(result)
    this.#admit()
    if (this.#flushers.length === 0) return
    const done = this.#flushers.filter(({ left }) => !left())
    this.#flushers = this.#flushers.filter(({ left }) => left())
    for (const { resolve } of done) resolve()
  }

  /** Ends early when a batch is full, or at a flush. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        this.#wake = undefined
        resolve()
      }
      const cancel = this.#machine.timers.after(ms, done)
      this.#wake = done
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#machine.timers.after(ms, resolve))
  }
}

function bodyOf(batch: readonly Waiting[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const { bytes } of batch) length += bytes.length + 1
  const body = new Uint8Array(length)
  let at = 0
  for (const { bytes } of batch) {
    body.set(bytes, at)
    at += bytes.length
    body[at++] = 0x0a
  }
  return body
}

function refuseAll(batch: readonly Waiting[], { code, message }: MillraceError): Refused[] {
  return batch.map((_, index) => ({ index, code, message }))
}

function withInt({ random }: Machine): Parameters<typeof backoff>[2] {
  return {
    float: () => random.float(),
    int: (bound) => Math.floor(random.float() * bound),
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(random.float() * 256)),
  }
}

function randomName({ random }: Machine): string {
  return Array.from({ length: 20 }, () => Math.floor(random.float() * 36).toString(36)).join('')
}

import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Machine } from './machine.ts'

export interface ProducerOptions {
  /** Where the engine listens, e.g. `http://127.0.0.1:7171`. */
  readonly url: string
  readonly topic: string
  /**
   * Name of this producer, 1 to 100 of `A-Z a-z 0-9 . _ : -`; default: a random one. Two producers must not use one name
   * at the same time: the later one shuts the earlier out.
   */
  readonly id?: string
  /** Events in one request at most; default 500, at most 100,000. */
  readonly batchEvents?: number
  /** Bytes of one request, about; default 256 KiB, at most the engine's 5 MiB. */
  readonly batchBytes?: number
  /** How long an event waits for others to share its request, milliseconds; default 5. */
  readonly lingerMs?: number
  /** Bytes of events that wait or are on their way, at most; past it `send` waits. Default 8 MiB. */
  readonly queueBytes?: number
  /** How long one request may take, milliseconds; default 30,000. */
  readonly requestMs?: number
  /** How long an event is tried to be delivered, from its first request on, milliseconds; default 120,000. */
  readonly deliveryMs?: number
  /** Sent with every request, e.g. for a proxy. */
  readonly headers?: Readonly<Record<string, string>>
  /** fetch, clock, random and timers to use instead of the machine's own. */
  readonly machine?: Partial<Machine>
}

/**
 * What became of one event. `acknowledged`: it is durable, in the topic or, where the stream keeps invalid events, among
 * its dead letters. `failed`: it was not delivered in time, and may or may not be stored.
 */
export type EventResult =
  | { readonly status: 'acknowledged' }
  | { readonly status: 'refused'; readonly code: string; readonly message: string }
  | { readonly status: 'failed'; readonly error: MillraceError }

/** An event that has its place in the queue. */
export interface Queued {
  /** Never rejects. */
  readonly result: Promise<EventResult>
}

/** sent = acknowledged + refused + failed + what is still on its way. */
export interface ProducerCounters {
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
  readonly failed: number
  /** Requests that were sent once more. */
  readonly retries: number
}

export interface Producer<T> {
  readonly id: string
  readonly counters: ProducerCounters
  /** Waits for room in the queue. Rejects with MR6050 once the producer is closed. */
  send(event: T): Promise<Queued>
  /** Resolves when everything sent so far has its result; does not wait for a batch to fill. */
  flush(): Promise<void>
  /** Flushes, and takes nothing more. */
  close(): Promise<void>
}

export interface Settings {
  readonly url: string
  readonly batchEvents: number
  readonly batchBytes: number
  readonly lingerMs: number
  readonly queueBytes: number
  readonly requestMs: number
  readonly deliveryMs: number
  readonly headers: Readonly<Record<string, string>>
}

/** Defaults filled in. Throws MR6052 naming option, value and what it may be. */
export function settingsOf(options: ProducerOptions): Settings {
  const { url, topic, id, headers = {} } = options
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new MillraceError(
      'MR6052',
      `url is ${JSON.stringify(url)}; it is like http://127.0.0.1:7171.`,
    )
  }
  if (id !== undefined && !/^[A-Za-z0-9._:-]{1,100}$/.test(id)) {
    throw new MillraceError(
      'MR6052',
      `id is ${JSON.stringify(id)}; it is 1 to 100 of A-Z a-z 0-9 . _ : -.`,
    )
  }
  const between = (name: string, value: number, least: number, most: number): number => {
    if (Number.isFinite(value) && value >= least && value <= most) return value
    throw new MillraceError('MR6052', `${name} is ${value}; it is from ${least} to ${most}.`)
  }
  const day = 24 * 60 * 60 * 1000
  return {
    url: `${url.replace(/\/+$/, '')}/topics/${encodeURIComponent(topic)}`,
    batchEvents: between('batchEvents', options.batchEvents ?? 500, 1, limits.bodyEvents),
    batchBytes: between('batchBytes', options.batchBytes ?? 256 * 1024, 1, limits.bodyBytes),
    lingerMs: between('lingerMs', options.lingerMs ?? 5, 0, 60_000),
    queueBytes: between('queueBytes', options.queueBytes ?? 8 * 1024 * 1024, 1, 1024 ** 3),
    requestMs: between('requestMs', options.requestMs ?? 30_000, 1, day),
    deliveryMs: between(
      'deliveryMs',
      options.deliveryMs ?? 120_000,
      1,
      limits.producerSessionMs / 2,
    ),
    headers,
  }
}

import { createHash, createHmac } from 'node:crypto'
import type { NetRequest } from '../../core/env/env.ts'
import { NetError } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { holdOf } from '../hold.ts'
import type {
  Hold,
  Rejected,
  Sink,
  SinkBatch,
  SinkContext,
  SinkRecord,
  SinkWriter,
} from '../sink.ts'
import { judge } from './answer.ts'
import { ask, closed, failed, succeeded } from './breaker.ts'
import type { BreakerState } from './breaker.ts'

export interface WebhookOptions {
  /** `https:`; `http:` only with `allowPrivate`. */
  readonly url: string
  /** Signs every request. A text, or `whsec_` and base64 as the Standard Webhooks libraries give it. Take it from the environment. */
  readonly secret?: string
  readonly headers?: Readonly<Record<string, string>>
  /** `batch` (default): `{"records": […]}`. `single`: one request per record. */
  readonly send?: 'batch' | 'single'
  /** Records of one request at most, 1 to 1,000. Default 100. */
  readonly batchRows?: number
  /** How long to wait for an answer, milliseconds, 1 to 300,000. Default 10,000. */
  readonly timeoutMs?: number
  /** Lets the address be on a private network or this machine. Default false. */
  readonly allowPrivate?: boolean
  /** After so many failures in a row nothing is sent for `openMs`, then one attempt decides. Default 5, 15,000 ms. */
  readonly breaker?: { readonly failures?: number; readonly openMs?: number }
  readonly hold?: Hold
}

interface Settings {
  readonly url: URL
  readonly key: Buffer | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly send: 'batch' | 'single'
  readonly timeoutMs: number
  readonly allowPrivate: boolean
  readonly breaker: { readonly failures: number; readonly openMs: number }
}

const maxAnswerBytes = 64 * 1024

/**
 * POSTs records as JSON, at least once: after a failure the same records come again under the same `Idempotency-Key`, and
 * each record carries its partition and offset. Body: `{"pipeline", "sink", "partition", "records": [{"offset",
 * "timestamp", "key", "value"}]}`, or one such record with `send: 'single'`; `value` is null for a deleted key.
 *
 * With a secret each request is signed as Standard Webhooks does it: `webhook-id`, `webhook-timestamp` and
 * `webhook-signature: v1,<base64 HMAC-SHA256 of "id.timestamp.body">`.
 *
 * 2xx accepts. 410 stops the sink. 400, 413, 415, 422 and the like make it send halves until the refused record is alone,
 * which becomes a dead letter. 401, 403, 404 and the like, 408, 409, 429, 5xx, redirections and no answer are tried again
 * for ever, as late as `Retry-After` says. Addresses that are not public are refused unless allowed.
 *
 * Throws MR5009 when an option is wrong.
 */
export function webhook(options: WebhookOptions): Sink {
  const settings = settingsOf(options)
  const { url } = settings
  const rows = options.batchRows ?? 100
  between('batchRows', rows, 1, 1_000)
  const breaker: { state: BreakerState } = { state: closed }
  return {
    kind: 'webhook',
    // Some receivers have their secret in the path or the query: neither is shown.
    target: `${url.hostname}-${createHash('sha256').update(url.href).digest('hex').slice(0, 6)}`,
    guarantee: 'at-least-once',
    describe: `webhook POST ${url.origin}/…${settings.key === undefined ? ', not signed' : ', signed'}`,
    batch: { rows, bytes: 1024 * 1024 },
    ...holdOf('webhook', options.hold),
    // The breaker outlives writers: opening a new one does not make the receiver well.
    open: async (context) => new WebhookWriter(context, settings, breaker),
  }
}

class WebhookWriter implements SinkWriter {
  readonly #context: SinkContext
  readonly #settings: Settings
  readonly #breaker: { state: BreakerState }

  constructor(context: SinkContext, settings: Settings, breaker: { state: BreakerState }) {
    this.#context = context
    this.#settings = settings
    this.#breaker = breaker
  }

  async deliver(batch: SinkBatch): Promise<readonly Rejected[]> {
    const rejected: Rejected[] = []
    const { records } = batch
    if (this.#settings.send === 'batch') {
      if (records.length > 0) await this.#send(batch.partition, records, 0, rejected)
    } else {
      for (const [i, record] of records.entries())
        await this.#send(batch.partition, [record], i, rejected)
    }
    return rejected
  }

  async close(): Promise<void> {}

  /** Sends records in order; a refused lot is halved until the refused record is alone. */
  async #send(
    partition: number,
    records: readonly SinkRecord[],
    first: number,
    rejected: Rejected[],
  ): Promise<void> {
    const why = await this.#post(partition, records)
    if (why === undefined) return
    if (records.length === 1) {
      rejected.push({ index: first, code: 'MR5006', message: `${capital(why)}.` })
      return
    }
    const half = records.length >> 1
    await this.#send(partition, records.slice(0, half), first, rejected)
    await this.#send(partition, records.slice(half), first + half, rejected)
  }

  /** Resolves when the receiver took the records, or with why it will never take them. Throws otherwise. */
  async #post(partition: number, records: readonly SinkRecord[]): Promise<string | undefined> {
    const { clock, net } = this.#context.env
    const asked = ask(this.#breaker.state, clock.monotonic())
    if (!asked.go) throw later('too many failures in a row', asked.waitMs)
    this.#breaker.state = asked.state
    let answer
    try {
      answer = await net.request(this.#request(partition, records))
    } catch (error) {
      if (error instanceof NetError && error.kind === 'private-address') {
        this.#breaker.state = succeeded()
        throw new MillraceError(
          'MR5011',
          `The webhook ${this.#settings.url.host} was not called: ${error.message}.`,
        )
      }
      this.#fail()
      throw later(error instanceof Error ? error.message : String(error), undefined)
    }
    const verdict = judge(answer, clock.now())
    if (verdict.kind === 'later') {
      this.#fail()
      throw later(verdict.why, verdict.retryAfterMs)
    }
    // Whatever else it says, the receiver is there.
    this.#breaker.state = succeeded()
    if (verdict.kind === 'gone') {
      throw new MillraceError('MR5010', `The webhook ${this.#settings.url.host} answered 410.`)
    }
    return verdict.kind === 'refused' ? verdict.why : undefined
  }

  #request(partition: number, records: readonly SinkRecord[]): NetRequest {
    const { url, key, headers, send, timeoutMs, allowPrivate } = this.#settings
    const { pipeline, name, logId, env } = this.#context
    const lines = records.map(({ offset, timestamp, key: recordKey, value }) => ({
      offset,
      timestamp,
      key: recordKey ?? null,
      value: value ?? null,
    }))
    const content =
      send === 'single'
        ? { pipeline, sink: name, partition, ...lines[0] }
        : { pipeline, sink: name, partition, records: lines }
    const body = Buffer.from(JSON.stringify(content))
    const [from, to] = [records[0]?.offset, records.at(-1)?.offset]
    // The log is part of it: offsets of a new data directory begin at 0 again.
    const id = `${logId}:${pipeline}:${name}:${partition}:${from}-${to}`
    const stamp = String(Math.floor(env.clock.now() / 1000))
    const signature =
      key && createHmac('sha256', key).update(`${id}.${stamp}.`).update(body).digest('base64')
    return {
      url: url.href,
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/json',
        'idempotency-key': id,
        'webhook-id': id,
        'webhook-timestamp': stamp,
        ...(signature === undefined ? {} : { 'webhook-signature': `v1,${signature}` }),
      },
      body,
      timeoutMs,
      maxAnswerBytes,
      allowPrivate,
    }
  }

  #fail(): void {
    const { state } = this.#breaker
    this.#breaker.state = failed(state, this.#context.env.clock.monotonic(), this.#settings.breaker)
  }
}

function later(why: string, retryAfterMs: number | undefined): MillraceError {
  return new MillraceError('MR5007', `${capital(why)}.`, {
    details: retryAfterMs === undefined ? {} : { retryAfterMs },
  })
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function settingsOf(options: WebhookOptions): Settings {
  const {
    timeoutMs = 10_000,
    allowPrivate = false,
    send = 'batch',
    breaker = {},
    headers = {},
  } = options
  if (!URL.canParse(options.url)) throw wrong(`The url of the webhook is not a URL.`)
  const url = new URL(options.url)
  const allowed = url.protocol === 'https:' || (url.protocol === 'http:' && allowPrivate)
  if (!allowed)
    throw wrong(
      `The webhook's url begins with ${url.protocol}; it must be https:, or http: with allowPrivate.`,
    )
  if (url.username !== '' || url.password !== '') {
    throw wrong("The webhook's url has a user name or password in it; use `headers` or `secret`.")
  }
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw wrong(`The header ${JSON.stringify(name)} cannot be sent.`)
  }
  if (send !== 'batch' && send !== 'single')
    throw wrong(`send of the webhook is ${JSON.stringify(send)}; it can be batch or single.`)
  // As from an environment variable that is not set: nobody means to send unsigned then.
  if ('secret' in options && typeof options.secret !== 'string')
    throw wrong('The secret of the webhook has no value; leave it out to send without a signature.')
  const { failures = 5, openMs = 15_000 } = breaker
  between('timeoutMs', timeoutMs, 1, 300_000)
  between('breaker.failures', failures, 1, 1_000_000)
  between('breaker.openMs', openMs, 1, 86_400_000)
  return {
    url,
    key: keyOf(options.secret),
    headers,
    send,
    timeoutMs,
    allowPrivate,
    breaker: { failures, openMs },
  }
}

function keyOf(secret: string | undefined): Buffer | undefined {
  if (secret === undefined) return undefined
  const key = secret.startsWith('whsec_')
    ? Buffer.from(secret.slice(6), 'base64')
    : Buffer.from(secret)
  if (key.length === 0) throw wrong('The secret of the webhook is empty.')
  return key
}

function between(name: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return
  throw wrong(
    `${name} of the webhook is ${value}; it must be a whole number from ${low} to ${high}.`,
  )
}

function wrong(what: string): MillraceError {
  return new MillraceError('MR5009', what)
}

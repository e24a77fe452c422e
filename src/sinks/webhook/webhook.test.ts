import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { NetAnswer, NetRequest } from '../../core/env/env.ts'
import { realEnv } from '../../core/env/real/index.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../../core/env/simulated/index.ts'
import { batchOf, contextFor, good, goodBatch, sinkSuite } from '../sink.suite.ts'
import type { SinkSuite } from '../sink.suite.ts'
import type { Rejected, SinkBatch, SinkWriter } from '../sink.ts'
import { judge, retryAfter } from './answer.ts'
import { ask, closed, failed } from './breaker.ts'
import { webhook } from './index.ts'
import type { WebhookOptions } from './index.ts'

const url = 'https://hooks.example/in?token=s3cret'
const secret = `whsec_${Buffer.from('a key of enough bytes').toString('base64')}`

interface Body {
  readonly partition: number
  readonly records: readonly {
    offset: number
    timestamp: number
    key: string | null
    value: { bad?: boolean } | null
  }[]
}

const bodyOf = (request: NetRequest): Body =>
  JSON.parse(new TextDecoder().decode(request.body)) as Body
const status = (code: number, headers: Record<string, string> = {}): NetAnswer => ({
  status: code,
  headers,
  body: new Uint8Array(),
})

/** A receiver in the simulated network, and a writer to it. */
function receiver(
  answer: (request: NetRequest, nth: number) => NetAnswer,
  options: Partial<WebhookOptions> = {},
): {
  readonly simulation: Simulation
  readonly env: SimulatedEnv
  readonly requests: NetRequest[]
  deliver(batch: SinkBatch): Promise<readonly Rejected[]>
} {
  const simulation = new Simulation({ seed: 1 })
  const env = simulation.env('p')
  const requests: NetRequest[] = []
  simulation.network.handle('hooks.example', (request) => {
    requests.push(request)
    return answer(request, requests.length)
  })
  const sink = webhook({ url, secret, ...options })
  return {
    simulation,
    env,
    requests,
    // As the runner does: another writer after each failure.
    deliver: async (batch) => {
      const writer = await sink.open!(contextFor(env))
      return inTime(simulation, writer.deliver(batch))
    },
  }
}

async function inTime<T>(simulation: Simulation, promise: Promise<T>): Promise<T> {
  let done = false
  const watched = promise.finally(() => (done = true))
  watched.catch(() => {})
  await simulation.runUntil(() => done)
  return watched
}

const suite: SinkSuite = {
  name: 'webhook',
  bad: { id: 'bad', bad: true },
  make: async () => {
    const got: Body['records'][number][] = []
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as Body
        const refuse = body.records.some((record) => record.value?.bad === true)
        if (!refuse)
          got.push(...body.records.map((record) => ({ ...record, partition: body.partition })))
        response.writeHead(refuse ? 422 : 204).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    return {
      sink: webhook({ url: `http://127.0.0.1:${port}/in`, allowPrivate: true }),
      env: realEnv(),
      keeps: 'append',
      contents: async (partition) =>
        got
          .filter((record) => (record as unknown as { partition: number }).partition === partition)
          .map((r) => r.value),
      close: async () => {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  },
}
sinkSuite(suite)

describe('a request', () => {
  test('is signed over id, time and body, and a receiver can check it', async () => {
    const { requests, deliver } = receiver(() => status(200))
    await deliver(goodBatch(1, 5, 2))
    const { headers, body, method } = requests[0]!
    expect(method).toBe('POST')
    expect(headers['content-type']).toBe('application/json')
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${new TextDecoder().decode(body)}`
    const key = Buffer.from(secret.slice(6), 'base64')
    expect(headers['webhook-signature']).toBe(
      `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
    )
    expect(headers['webhook-timestamp']).toBe(String(Date.UTC(2024, 0, 1) / 1000))
    expect(bodyOf(requests[0]!)).toEqual({
      pipeline: 'shop',
      sink: 'out',
      partition: 1,
      records: [5, 6].map((n) => ({
        offset: n,
        timestamp: 1_700_000_000_000 + n,
        key: good(n, 1)['id'],
        value: good(n, 1),
      })),
    })
  })

  test('comes again under the same key, and no other records ever have that key', async () => {
    const { requests, deliver } = receiver((_, nth) => status(nth === 1 ? 500 : 200))
    await expect(deliver(goodBatch(0, 0, 3))).rejects.toMatchObject({
      code: 'MR5007',
      kind: 'unavailable',
    })
    await deliver(goodBatch(0, 0, 3))
    await deliver(goodBatch(1, 0, 3))
    await deliver(goodBatch(0, 3, 3))
    const keys = requests.map(({ headers }) => headers['idempotency-key'])
    expect(keys[0]).toBe(keys[1])
    expect(new Set(keys).size).toBe(3)
  })

  test('carries one record where single ones are wanted; a deleted key is null', async () => {
    const { requests, deliver } = receiver(() => status(200), { send: 'single' })
    await deliver(batchOf(0, 7, [good(1), undefined]))
    expect(
      requests.map((request) => JSON.parse(new TextDecoder().decode(request.body)) as unknown),
    ).toMatchObject([
      { offset: 7, value: good(1) },
      { offset: 8, key: 'k0-1', value: null },
    ])
  })

  test('goes to public addresses only, unless allowed', async () => {
    const { simulation, env } = receiver(() => status(200))
    simulation.network.handle('intranet.example', () => status(200), { private: true })
    const closedOne = await webhook({ url: 'https://intranet.example/' }).open!(contextFor(env))
    await expect(inTime(simulation, closedOne.deliver(goodBatch(0, 0, 1)))).rejects.toMatchObject({
      code: 'MR5011',
      kind: 'invalid',
    })
    const open = await webhook({ url: 'https://intranet.example/', allowPrivate: true }).open!(
      contextFor(env),
    )
    expect(await inTime(simulation, open.deliver(goodBatch(0, 0, 1)))).toEqual([])
  })
})

describe('answers', () => {
  test('each status has one meaning', () => {
    const kinds = (from: number, to: number): Record<string, number[]> => {
      const all: Record<string, number[]> = {}
      for (let code = from; code <= to; code++) (all[judge(status(code), 0).kind] ??= []).push(code)
      return all
    }
    expect(Object.keys(kinds(200, 299))).toEqual(['accepted'])
    expect(Object.keys(kinds(300, 399))).toEqual(['later'])
    expect(Object.keys(kinds(500, 599))).toEqual(['later'])
    const client = kinds(400, 499)
    expect(client['gone']).toEqual([410])
    expect(client['later']).toEqual([
      401, 402, 403, 404, 405, 407, 408, 409, 421, 423, 425, 426, 429, 451,
    ])
    expect(client['refused']).toContain(400)
    expect(client['refused']).toContain(422)
  })

  test.each([
    ['3', 3_000],
    ['Mon, 01 Jan 2024 00:00:10 GMT', 10_000],
    ['Sun, 31 Dec 2023 00:00:00 GMT', 0],
    ['99999999', 86_400_000],
    ['-1', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('Retry-After %j waits %s ms', (text, ms) => {
    const now = Date.UTC(2024, 0, 1)
    const found = retryAfter(text, now)
    if (ms === undefined) expect([undefined, 0]).toContain(found)
    else expect(found).toBe(ms)
  })

  test('429 and 503 hand their Retry-After to whoever tries again', async () => {
    const { deliver } = receiver(() => status(503, { 'retry-after': '7' }))
    await expect(deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({
      code: 'MR5007',
      details: { retryAfterMs: 7_000 },
    })
  })

  test('410 stops the sink; a redirection is not followed', async () => {
    const gone = receiver(() => status(410))
    await expect(gone.deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({
      code: 'MR5010',
      kind: 'invalid',
    })
    const moved = receiver(() => status(302, { location: 'http://169.254.169.254/' }))
    await expect(moved.deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({
      code: 'MR5007',
      message: expect.stringContaining('302'),
    })
    expect(moved.requests).toHaveLength(1)
  })

  test('whichever records are refused, exactly those come back, the others arrive once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), async (badOnes) => {
        const { requests, deliver } = receiver((request) =>
          status(bodyOf(request).records.some((r) => r.value?.bad) ? 400 : 200),
        )
        const batch = batchOf(
          0,
          100,
          badOnes.map((bad, i) => ({ id: `${i}`, bad })),
        )
        const rejected = await deliver(batch)
        expect(rejected.map((r) => r.index)).toEqual(badOnes.flatMap((bad, i) => (bad ? [i] : [])))
        const taken = requests
          .map(bodyOf)
          .filter(({ records }) => !records.some((r) => r.value?.bad))
        expect(taken.flatMap(({ records }) => records.map((r) => r.offset))).toEqual(
          badOnes.flatMap((bad, i) => (bad ? [] : [100 + i])),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('a lost answer or no answer at all is told as a failure, within the deadline', async () => {
    const { simulation, deliver } = receiver(() => status(200), { timeoutMs: 3_000 })
    for (const kind of ['refuse', 'lose-answer', 'silence'] as const) {
      simulation.network.script('hooks.example', { kind })
      const began = simulation.scheduler.now
      await expect(deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({ code: 'MR5007' })
      expect(simulation.scheduler.now - began).toBeLessThanOrEqual(3_001)
    }
  })
})

describe('the circuit breaker', () => {
  const options = { failures: 3, openMs: 1_000 }

  test('opens after failures in a row, lets one attempt through after its time, and that one decides', () => {
    let state = closed
    for (let i = 0; i < 3; i++) {
      expect(ask(state, 0).go).toBe(true)
      state = failed(state, 0, options)
    }
    expect(ask(state, 999)).toEqual({ go: false, waitMs: 1 })
    const probe = ask(state, 1_000)
    expect(probe).toEqual({ go: true, state: { kind: 'half-open' } })
    expect(ask({ kind: 'half-open' }, 1_000).go).toBe(false)
    expect(failed({ kind: 'half-open' }, 1_000, options)).toEqual({ kind: 'open', until: 2_000 })
  })

  test('while it is open nothing is sent', async () => {
    const { simulation, requests, deliver } = receiver((_, nth) => status(nth <= 3 ? 500 : 200), {
      breaker: options,
    })
    for (let i = 0; i < 3; i++)
      await expect(deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({ code: 'MR5007' })
    await expect(deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({
      details: { retryAfterMs: expect.any(Number) },
    })
    expect(requests).toHaveLength(3)
    await simulation.advance(1_000)
    expect(await deliver(goodBatch(0, 0, 1))).toEqual([])
    expect(requests).toHaveLength(4)
  })
})

test('neither secret nor token shows in what is printed', () => {
  const sink = webhook({ url, secret, headers: { authorization: 'Bearer hidden' } })
  expect(JSON.stringify(sink)).not.toMatch(/s3cret|hidden|whsec|\/in/)
})

test('options that cannot work are refused when they are given', () => {
  for (const options of [
    { url: 'nonsense' },
    { url: 'http://hooks.example/' },
    { url: 'ftp://hooks.example/' },
    { url: 'https://u:p@hooks.example/' },
    { url, secret: '' },
    { url, batchRows: 0 },
    { url, timeoutMs: 1e9 },
    { url, headers: { 'x y': '1' } },
    { url, headers: { x: 'a\r\nb' } },
    { url, headers: { x: 'π' } },
    { url, send: 'each' },
    { url, secret: undefined },
  ]) {
    expect(() => webhook(options as WebhookOptions)).toThrow(/MR5009/)
  }
})

test('a private address is refused by the real network at connect time, written or resolved', async () => {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(request.url ?? '')
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  for (const host of ['127.0.0.1', 'localhost', '[::ffff:7f00:1]', '0x7f.1', '2130706433']) {
    const writer: SinkWriter = await webhook({ url: `https://${host}:${port}/` }).open!(
      contextFor(realEnv()),
    )
    await expect(writer.deliver(goodBatch(0, 0, 1))).rejects.toMatchObject({ code: 'MR5011' })
  }
  expect(hits).toEqual([])
})

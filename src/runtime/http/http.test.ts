import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { fastify } from 'fastify'
import type { FastifyInstance } from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import type { Env } from '../../core/env/env.ts'
import { realEnv } from '../../core/env/real/index.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import { limits } from '../../limits.ts'
import { outcomeAnswer, refusalAnswer } from '../../process/ingest-request.ts'
import type { IngestAnswer, IngestRequest } from '../../process/ingest-request.ts'
import {
  answerClientError,
  boundConnections,
  guardHost,
  ingestRoutes,
  wrongMethod,
} from './index.ts'
import type { IngestRoutesOptions } from './index.ts'

interface Taken {
  readonly topic: string
  readonly request: IngestRequest
}

interface Front {
  readonly app: FastifyInstance
  readonly port: number
  readonly taken: Taken[]
  /** What the ingest tasks answer. */
  answer: (taken: Taken) => Promise<IngestAnswer>
}

const open: FastifyInstance[] = []
const sockets: Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const app of open.splice(0)) {
    app.server.closeAllConnections()
    await app.close()
  }
})

interface Changes extends Partial<IngestRoutesOptions> {
  readonly host?: string
  readonly connections?: number
  readonly headersTimeout?: number
}

/** A server as the runtime makes it, with ingest tasks that accept everything. */
async function front(changes: Changes = {}): Promise<Front> {
  const { connections, host = '127.0.0.1', ...rest } = changes
  const { headersTimeout = limits.headersTimeoutMs, ...options } = rest
  const paths = [{ path: '/shop/orders', topic: 'orders' }]
  const app = fastify({
    clientErrorHandler: answerClientError,
    http: { maxHeaderSize: limits.headerBytes, headersTimeout, connectionsCheckingInterval: 20 },
  })
  open.push(app)
  boundConnections(app.server, connections)
  const taken: Taken[] = []
  const made = { app, port: 0, taken, answer: () => accepted(1) }
  const submit = (topic: string, request: IngestRequest): Promise<IngestAnswer> => {
    // As an engine does: the body moves to another thread.
    const body = structuredClone(request.body, { transfer: [request.body.buffer as ArrayBuffer] })
    taken.push({ topic, request: { ...request, body } })
    return (made as Front).answer({ topic, request })
  }
  const gateway = { topics: () => ['events', 'orders'], refusal: () => undefined, submit }
  guardHost(app, host, () => false)
  ingestRoutes(app, { env: realEnv(), gateway, paths, ...options })
  app.setNotFoundHandler((request, reply) => {
    const wrong = wrongMethod(app, paths, request)
    if (wrong === undefined) return reply.code(404).send('nothing')
    return reply.code(405).header('allow', wrong.allow).send({ error: wrong.error.toJSON() })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return Object.assign(made, { port: (app.server.address() as AddressInfo).port })
}

function accepted(count: number): Promise<IngestAnswer> {
  return Promise.resolve(
    outcomeAnswer({ accepted: count, deadLettered: 0, verdicts: [], single: false }),
  )
}

interface Got {
  readonly status: number
  readonly code: string | undefined
  readonly json: { error?: { code: string; message: string }; accepted?: number }
  readonly headers: Headers
}

async function post(
  to: Front,
  body: string | Uint8Array | ReadableStream,
  headers: Record<string, string> = {},
  path = '/topics/events',
): Promise<Got> {
  const response = await fetch(`http://127.0.0.1:${to.port}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    duplex: 'half',
  } as RequestInit)
  const json = (await response.json()) as Got['json']
  return { status: response.status, code: json.error?.code, json, headers: response.headers }
}

/** Everything a server sends over one connection until it closes it, or until `enough`. */
function raw(to: Front, send: string, enough = /\r\n\r\n.*\}/s): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(to.port, '127.0.0.1', () => socket.write(send))
    sockets.push(socket)
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString()
      if (enough.test(received)) resolve(received)
    })
    socket.on('close', () => resolve(received))
    socket.on('error', reject)
  })
}

const head = (more: string): string =>
  `POST /topics/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${more}`

describe('the HTTP front', () => {
  test('hands a body on as it came, in memory of its own, with format and producer', async () => {
    const to = await front()
    const body = '{"a":"ä"}\n{"b":2}\n'
    const producer = {
      'millrace-producer': 'web-1',
      'millrace-epoch': '1700000000000',
      'millrace-sequence': '7',
    }
    expect(await post(to, body, producer)).toMatchObject({ status: 200, json: { accepted: 1 } })
    await post(to, '[]', { 'content-type': 'Application/JSON; charset=utf-8' }, '/shop/orders')
    const [first, second] = to.taken
    expect(Buffer.from(first!.request.body).toString()).toBe(body)
    expect(first!.request.body.buffer.byteLength).toBe(first!.request.body.length)
    expect({ ...first!.request, body: undefined }).toEqual({
      body: undefined,
      format: 'ndjson',
      producer: { id: 'web-1', epoch: 1_700_000_000_000, sequence: 7 },
    })
    expect(second).toMatchObject({ topic: 'orders', request: { format: 'json' } })
    expect(second!.request.producer).toBeUndefined()
  })

  test('answers only when the ingest task has answered, with its status, body and Retry-After', async () => {
    const to = await front()
    let release: (answer: IngestAnswer) => void = () => undefined
    to.answer = () => new Promise((resolve) => (release = resolve))
    let answered = false
    const got = post(to, '{}').finally(() => (answered = true))
    await expect.poll(() => to.taken.length).toBe(1)
    expect(answered).toBe(false)
    release(refusalAnswer('MR2007', 'There are 0 bytes free.'))
    expect(await got).toMatchObject({ status: 507, code: 'MR2007' })
    expect((await got).headers.get('retry-after')).toBe('1')
    expect((await got).headers.get('content-type')).toMatch(/^application\/json/)
  })

  test.each([
    ['an unknown topic', 404, 'MR1035', '/topics/nope', {}],
    ['an unknown content type', 415, 'MR1034', '/topics/events', { 'content-type': 'text/plain' }],
    [
      'another charset',
      415,
      'MR1034',
      '/topics/events',
      { 'content-type': 'application/json; charset=latin1' },
    ],
    ['brotli', 415, 'MR1032', '/topics/events', { 'content-encoding': 'br' }],
    ['chained encodings', 415, 'MR1032', '/topics/events', { 'content-encoding': 'gzip, gzip' }],
    [
      'a producer without a sequence',
      400,
      'MR1048',
      '/topics/events',
      { 'millrace-producer': 'a', 'millrace-epoch': '0' },
    ],
    [
      'a producer id with blanks',
      400,
      'MR1048',
      '/topics/events',
      { 'millrace-producer': 'a b', 'millrace-epoch': '0', 'millrace-sequence': '0' },
    ],
    [
      'a sequence that is no number',
      400,
      'MR1048',
      '/topics/events',
      { 'millrace-producer': 'a', 'millrace-epoch': '0', 'millrace-sequence': '-1' },
    ],
  ] as const)('refuses %s with %i %s', async (_, status, code, path, headers) => {
    const to = await front()
    expect(await post(to, '{}', { ...headers }, path)).toMatchObject({ status, code })
    expect(to.taken).toEqual([])
  })

  test('names the topics there are', async () => {
    const to = await front()
    expect((await post(to, '{}', {}, '/topics/nope')).json.error!.message).toContain(
      'events, orders',
    )
  })

  test('answers the wrong method with 405 and what is allowed, and other paths with 404', async () => {
    const to = await front()
    for (const path of ['/topics/events', '/shop/orders']) {
      const response = await fetch(`http://127.0.0.1:${to.port}${path}`, {
        method: 'PUT',
        body: 'x',
      })
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
      expect(await response.json()).toMatchObject({ error: { code: 'MR1036' } })
    }
    expect((await fetch(`http://127.0.0.1:${to.port}/shop/other`, { method: 'POST' })).status).toBe(
      404,
    )
  })

  test('does not answer to another name while it listens on this machine only', async () => {
    const to = await front()
    const answer = await raw(
      to,
      'POST /topics/events HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    )
    expect(answer).toMatch(/^HTTP\/1.1 421 .*MR1051/s)
    for (const name of ['localhost:7171', '[::1]:80', '127.0.0.1']) {
      const fine = await raw(
        to,
        `POST /topics/events HTTP/1.1\r\nHost: ${name}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      )
      expect(fine).toMatch(/^HTTP\/1.1 200 /)
    }
    const everywhere = await front({ host: '0.0.0.0' })
    const named = await raw(
      everywhere,
      'POST /topics/events HTTP/1.1\r\nHost: mill.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    )
    expect(named).toMatch(/^HTTP\/1.1 200 /)
  })
})

describe('a body', () => {
  test('that is too large is refused by its length, and while it arrives', async () => {
    const to = await front()
    const tooMuch = Buffer.alloc(limits.bodyBytes + 1)
    expect(await post(to, tooMuch)).toMatchObject({ status: 413, code: 'MR1030' })
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < tooMuch.length; at += 65_536)
          controller.enqueue(tooMuch.subarray(at, at + 65_536))
        controller.close()
      },
    })
    expect(await post(to, stream)).toMatchObject({ status: 413, code: 'MR1030' })
    expect(await post(to, '{}')).toMatchObject({ status: 200 })
    expect(to.taken).toHaveLength(1)
  })

  test('that goes on and on after its refusal is cut off', async () => {
    const to = await front()
    const socket = connect(to.port, '127.0.0.1')
    sockets.push(socket)
    const closed = new Promise<void>((resolve) => {
      // Whether it is told of the end or cut off while it writes is up to the system.
      socket.on('error', () => {}).on('close', () => resolve())
    })
    const piece = Buffer.alloc(256 * 1024)
    let sent = 0
    const sendOn = (): void => {
      while (!socket.destroyed && sent < 512 * 1024 * 1024 && socket.write(piece))
        sent += piece.length
    }
    socket.on('drain', sendOn)
    socket.write(head('Content-Length: 1000000000\r\n\r\n'))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1.1 413 /)
    sendOn()
    await closed
    expect(sent).toBeLessThan(256 * 1024 * 1024)
  })

  test('that was compressed is inflated, also in several members', async () => {
    const to = await front()
    const text = '{"a":1}\n'.repeat(1_000)
    const gzip = { 'content-encoding': 'gzip' }
    expect((await post(to, gzipSync(text), gzip)).status).toBe(200)
    expect((await post(to, Buffer.concat([gzipSync(text), gzipSync(text)]), gzip)).status).toBe(200)
    expect(to.taken.map((taken) => Buffer.from(taken.request.body).toString())).toEqual([
      text,
      text + text,
    ])
  })

  test.each([
    ['inflates beyond all proportion', 413, 'MR1031', gzipSync(Buffer.alloc(4 * 1024 * 1024))],
    ['inflates to too much', 413, 'MR1030', gzipSync(noise(limits.bodyInflatedBytes + 1))],
    ['is not gzip', 400, 'MR1033', Buffer.from('{"a":1}')],
    ['is brotli that calls itself gzip', 400, 'MR1033', brotliCompressSync(Buffer.from('{"a":1}'))],
    ['is cut off', 400, 'MR1033', gzipSync('{"a":1}').subarray(0, -3)],
    [
      'has something behind it',
      400,
      'MR1033',
      Buffer.concat([gzipSync('{"a":1}'), Buffer.from('more')]),
    ],
    ['has zeros behind it', 400, 'MR1033', Buffer.concat([gzipSync('{"a":1}'), Buffer.alloc(10)])],
  ])('that %s is refused with %i %s', async (_, status, code, body) => {
    const to = await front()
    expect(await post(to, body, { 'content-encoding': 'gzip' })).toMatchObject({ status, code })
    expect(to.taken).toEqual([])
  })

  test('that arrives too slowly is given up with 408', async () => {
    const world = new Simulation({ seed: 1 })
    const { clock, timers } = world.env('http')
    const env: Env = { ...realEnv(), clock, timers }
    const to = await front({ env })
    const answer = raw(to, head('Content-Length: 100000\r\n\r\n{"a":'))
    await expect.poll(() => to.app.server.listening && world.scheduler.pending > 0).toBe(true)
    await world.advance(limits.bodyGraceMs + 1)
    expect(await answer).toMatch(/^HTTP\/1.1 408 .*MR1038/s)
  })

  test('is refused with 429 when too much is being received at once', async () => {
    const to = await front({ limits: { receivingBytes: 1_000 } })
    const first = raw(to, head(`Content-Length: 2000\r\n\r\n${'x'.repeat(900)}`))
    void first
    await expect.poll(async () => (await post(to, 'x'.repeat(200))).code).toBe('MR1039')
    sockets[0]!.destroy()
    await expect.poll(async () => (await post(to, 'x'.repeat(200))).status).toBe(200)
  })

  test('whose client goes away before its end is forgotten', async () => {
    const to = await front()
    void raw(to, head('Content-Length: 100\r\n\r\n{"a":'))
    await expect.poll(async () => connections(to.app)).toBe(1)
    sockets[0]!.destroy()
    await expect.poll(async () => connections(to.app)).toBe(0)
    expect(to.taken).toEqual([])
    expect((await post(to, '{}')).status).toBe(200)
  })
})

describe('a connection', () => {
  test('with too large headers is refused with 431', async () => {
    const to = await front()
    const answer = await raw(to, head(`X-Big: ${'x'.repeat(limits.headerBytes)}\r\n\r\n`))
    expect(answer).toMatch(/^HTTP\/1.1 431 .*MR1037/s)
  })

  test('that is not HTTP, or says its length twice, is refused with 400', async () => {
    const to = await front()
    expect(await raw(to, 'hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*MR1053/s)
    const smuggled = head(
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n',
    )
    expect(await raw(to, smuggled)).toMatch(/^HTTP\/1.1 400 .*MR1053/s)
    expect(to.taken).toEqual([])
  })

  test('whose headers do not arrive is given up with 408', async () => {
    const to = await front({ headersTimeout: 50 })
    expect(await raw(to, 'POST /topics/events HT')).toMatch(/^HTTP\/1.1 408 .*MR1038/s)
  })

  test('past the limit is refused with 503, and there is room again when others close', async () => {
    const to = await front({ connections: 2 })
    const idle = [0, 1].map(() => raw(to, 'POST /topics/events HT'))
    void idle
    await expect.poll(async () => connections(to.app)).toBe(2)
    expect(await raw(to, head('Content-Length: 2\r\n\r\n{}'))).toMatch(
      /^HTTP\/1.1 503 .*Retry-After.*MR1040/s,
    )
    for (const socket of sockets.splice(0)) socket.destroy()
    await expect.poll(async () => connections(to.app)).toBe(0)
    expect(await raw(to, head('Content-Length: 2\r\n\r\n{}'))).toMatch(/^HTTP\/1.1 200 /)
  })

  test('is served among hundreds that send nothing', async () => {
    const to = await front()
    for (let i = 0; i < 300; i++) void raw(to, head('Content-Length: 100000\r\n\r\n{'))
    await expect.poll(async () => connections(to.app)).toBe(300)
    for (let i = 0; i < 20; i++) expect((await post(to, '{}')).status).toBe(200)
  })
})

function connections(app: FastifyInstance): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
  })
}

/** Bytes that compress to half their size: no bomb, only a large body. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0, state = 1; i < length; i += 2) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

describe('a request while too many wait', () => {
  const tooMany = { code: 'MR1039', what: 'Too many wait.' } as const

  test('is refused by its headers, before its body has come', async () => {
    const gateway = { topics: () => ['events'], refusal: () => tooMany, submit: () => accepted(1) }
    const to = await front({ gateway })
    const answer = await raw(to, `${head('Content-Length: 1000\r\n\r\n')}{`)
    expect(answer).toMatch(/^HTTP\/1\.1 429 .*retry-after: 1\r\n.*MR1039/is)
  })

  test('leaves its connection unread until about the time that it was told', async () => {
    const waits: [ms: number, fn: () => void][] = []
    const after = (ms: number, fn: () => void): (() => void) => {
      if (ms < limits.bodyGraceMs) waits.push([ms, fn])
      return () => undefined
    }
    const env = realEnv()
    let refusal: typeof tooMany | undefined = tooMany
    const submit = (): Promise<IngestAnswer> => accepted(1)
    const to = await front({
      env: { ...env, timers: { ...env.timers, after } },
      gateway: { topics: () => ['events'], refusal: () => refusal, submit },
    })
    const request = `${head('Content-Length: 2\r\n\r\n')}{}`
    const socket = connect(to.port, '127.0.0.1', () => socket.write(request))
    sockets.push(socket)
    await new Promise((resolve) => socket.once('data', resolve))
    refusal = undefined
    let received = ''
    socket.on('data', (chunk) => (received += chunk.toString()))
    socket.write(request)
    // Others are served meanwhile.
    expect((await post(to, '{}')).status).toBe(200)
    expect((await post(to, '{}')).status).toBe(200)
    expect(received).toBe('')
    const [[ms, readOn]] = waits as [[number, () => void]]
    expect(ms).toBeGreaterThanOrEqual(500)
    expect(ms).toBeLessThanOrEqual(1_000)
    readOn()
    await new Promise((resolve) => socket.once('data', resolve))
    expect(received).toMatch(/^HTTP\/1\.1 200 /)
  })
})

import { createServer } from 'node:http'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, test } from 'vitest'
import { NetError } from '../env.ts'
import type { Net, NetAnswer, NetRequest } from '../env.ts'
import { isPublicAddress } from './address.ts'
import { realNet } from './net.ts'
import type { Resolve } from './net.ts'

const closers: (() => void)[] = []

afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server on the loopback address; returns its port. */
async function serve(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<number> {
  const server = createServer(handle)
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const defaults: NetRequest = {
  url: '',
  method: 'GET',
  headers: {},
  timeoutMs: 5000,
  maxAnswerBytes: 1000,
  allowPrivate: true,
}

const get = (net: Net, url: string, change: Partial<NetRequest> = {}): Promise<NetAnswer> =>
  net.request({ ...defaults, ...change, url })

/** The kind of error a request ends with, or the status of its answer. */
async function outcome(request: Promise<NetAnswer>): Promise<string> {
  try {
    return String((await request).status)
  } catch (error) {
    expect(error).toBeInstanceOf(NetError)
    return error instanceof NetError ? error.kind : String(error)
  }
}

/** A resolver that gives these addresses, one list per call, the last one for ever; and how often it was asked. */
function resolver(...answers: string[][]): { resolve: Resolve; asked: () => number } {
  let calls = 0
  const resolve: Resolve = (_hostname, done) => {
    const addresses = answers[Math.min(calls, answers.length - 1)] ?? []
    calls += 1
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    queueMicrotask(() => done(null, found))
  }
  return { resolve, asked: () => calls }
}

describe('where private addresses are not allowed, nothing is sent to', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '0',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '[ff02::1]',
    'localhost',
  ])('%s', async (host) => {
    let hits = 0
    const port = await serve((_request, response) => {
      hits += 1
      response.end()
    })
    const url = `http://${host}:${port}/`
    expect(await outcome(get(realNet(), url, { allowPrivate: false }))).toBe('private-address')
    expect(hits).toBe(0)
  })

  test.each([
    ['a private address', ['127.0.0.1']],
    ['a private address beside a public one', ['93.184.216.34', '127.0.0.1']],
    ['a private address in IPv6 clothes', ['::ffff:127.0.0.1']],
    ['the metadata address', ['169.254.169.254']],
  ])('a name that resolves to %s', async (_case, addresses) => {
    const { resolve } = resolver(addresses)
    const answer = get(realNet(resolve), 'http://innocent.test/', { allowPrivate: false })
    expect(await outcome(answer)).toBe('private-address')
  })

  test('a name over a connection that was opened where they are allowed', async () => {
    let hits = 0
    const port = await serve((_request, response) => {
      hits += 1
      response.end()
    })
    const net = realNet(resolver(['127.0.0.1']).resolve)
    const url = `http://peer.test:${port}/`
    expect(await outcome(get(net, url))).toBe('200')
    expect(await outcome(get(net, url, { allowPrivate: false }))).toBe('private-address')
    expect(hits).toBe(1)
  })
})

test('a name is resolved once for each connection: what was checked is what is connected to', async () => {
  const port = await serve((_request, response) => response.end())
  const { resolve, asked } = resolver(['127.0.0.1'], ['192.0.2.1'])
  expect(await outcome(get(realNet(resolve), `http://peer.test:${port}/`))).toBe('200')
  expect(asked()).toBe(1)
})

test('public addresses are told from all others', () => {
  for (const address of ['8.8.8.8', '172.15.0.1', '172.32.0.1', '100.63.0.1', '2606:4700::1111']) {
    expect([address, isPublicAddress(address)]).toEqual([address, true])
  }
  for (const address of ['168.63.129.16', '2001:db8::1', 'fe80::1%eth0', 'example.org', '']) {
    expect([address, isPublicAddress(address)]).toEqual([address, false])
  }
})

describe('a request', () => {
  test('brings method, headers and body there and the whole answer back', async () => {
    const port = await serve((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        response.setHeader('x-seen', `${request.method} ${String(request.headers['x-key'])}`)
        response.statusCode = 202
        response.end(Buffer.concat([...chunks, ...chunks]))
      })
    })
    const answer = await get(realNet(), `http://127.0.0.1:${port}/path?q=1`, {
      method: 'PUT',
      headers: { 'x-key': 'value' },
      body: new TextEncoder().encode('abc'),
    })
    expect(answer.status).toBe(202)
    expect(answer.headers['x-seen']).toBe('PUT value')
    expect(new TextDecoder().decode(answer.body)).toBe('abcabc')
  })

  test('does not follow a redirect: that is the answer', async () => {
    const seen: (string | undefined)[] = []
    const port = await serve((request, response) => {
      seen.push(request.url)
      response.writeHead(302, { location: '/elsewhere' })
      response.end()
    })
    const answer = await get(realNet(), `http://127.0.0.1:${port}/first`)
    expect([answer.status, answer.headers['location']]).toEqual([302, '/elsewhere'])
    expect(seen).toEqual(['/first'])
  })

  test('ends as refused where nothing was sent', async () => {
    const port = await serve((_request, response) => response.end())
    const net = realNet()
    for (const close of closers.splice(0)) close()
    expect(await outcome(get(net, `http://127.0.0.1:${port}/`))).toBe('refused')
    expect(await outcome(get(net, 'ftp://127.0.0.1/'))).toBe('refused')
    expect(await outcome(get(net, 'not a url'))).toBe('refused')
    const headers = { 'x-split': 'a\r\nb: c' }
    expect(await outcome(get(net, `http://127.0.0.1:${port}/`, { headers }))).toBe('refused')
    expect(await outcome(get(realNet(resolver([]).resolve), 'http://nowhere.test/'))).toBe(
      'refused',
    )
  })

  test('ends as refused where TLS could not be agreed on', async () => {
    const port = await serve((_request, response) => response.end())
    expect(await outcome(get(realNet(), `https://127.0.0.1:${port}/`))).toBe('refused')
  })

  test('ends as unknown where the peer went away after it had the request', async () => {
    const port = await serve((request) => request.socket.destroy())
    expect(await outcome(get(realNet(), `http://127.0.0.1:${port}/`))).toBe('unknown')
  })

  test('ends as unknown where that happens on a connection that stood already', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/first') response.end()
      else request.socket.destroy()
    })
    const net = realNet()
    expect(await outcome(get(net, `http://127.0.0.1:${port}/first`))).toBe('200')
    expect(await outcome(get(net, `http://127.0.0.1:${port}/second`))).toBe('unknown')
  })

  test('ends as unknown where the answer is cut off, or longer than the bound', async () => {
    const port = await serve((request, response) => {
      response.writeHead(200, { 'content-length': '1001' })
      response.write('x'.repeat(request.url === '/cut' ? 10 : 1001), () => {
        if (request.url === '/cut') request.socket.destroy()
        else response.end()
      })
    })
    const net = realNet()
    expect(await outcome(get(net, `http://127.0.0.1:${port}/cut`))).toBe('unknown')
    expect(await outcome(get(net, `http://127.0.0.1:${port}/long`))).toBe('unknown')
    const answer = await get(net, `http://127.0.0.1:${port}/long`, { maxAnswerBytes: 1001 })
    expect(answer.body.length).toBe(1001)
  })

  test('ends at its deadline when the peer is silent, and when it drips', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/silent') return
      const drip = setInterval(() => response.write('.'), 5)
      response.on('close', () => clearInterval(drip))
    })
    const net = realNet()
    const soon = { timeoutMs: 60 }
    expect(await outcome(get(net, `http://127.0.0.1:${port}/silent`, soon))).toBe('timeout')
    expect(await outcome(get(net, `http://127.0.0.1:${port}/drip`, soon))).toBe('timeout')
  })
})

test('a connection that is used again and again gathers nothing', async () => {
  const sockets = new Set<Socket>()
  const seen = (message: unknown): void => {
    const { socket } = (message as { request: ClientRequest }).request
    if (socket !== null) sockets.add(socket)
  }
  subscribe('http.client.response.finish', seen)
  closers.push(() => unsubscribe('http.client.response.finish', seen))
  const port = await serve((_request, response) => response.end('ok'))
  const net = realNet()
  for (let i = 0; i < 5; i++) await get(net, `http://127.0.0.1:${port}/`)
  expect(sockets.size).toBe(1)
  expect([...sockets].map((socket) => socket.listenerCount('connect'))).toEqual([0])
})

import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { WebSocket } from 'ws'
import { Simulation } from '../../core/env/simulated/index.ts'
import { limits } from '../../limits.ts'
import { BlockBuilder } from '../../log/block.ts'
import type { Log } from '../../log/log.ts'
import { encodeLetter } from '../../process/dead-letters.ts'
import type { LiveMessage } from './index.ts'
import { stagesOf, totalsOf } from './live-stages.ts'
import { LiveHub } from './live.ts'
import { encoder, Listener, report, serve } from './serve.suite.ts'
import { Client } from './socket.ts'
import { serveUpgrades } from './upgrade.ts'
import type { UpgradeOptions } from './upgrade.ts'

/** What a Client needs of a WebSocket, with what waits in it set by hand. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  bufferedAmount = 0
  sent: string[] = []
  closes: [number, string][] = []
  pings = 0
  terminated = false
  send(text: string): void {
    this.sent.push(text)
  }
  ping(): void {
    this.pings++
  }
  close(code: number, reason: string): void {
    this.closes.push([code, reason])
  }
  terminate(): void {
    this.terminated = true
    this.emit('close')
  }
}

describe('a slow client', () => {
  const make = (): { simulation: Simulation; socket: FakeSocket; client: Client } => {
    const simulation = new Simulation({ seed: 1 })
    const socket = new FakeSocket()
    const client = new Client(
      simulation.env('p'),
      socket as unknown as WebSocket,
      new AbortController().signal,
    )
    return { simulation, socket, client }
  }

  test('is sent nothing while too much waits, and goes on when it has read', async () => {
    const { simulation, socket, client } = make()
    socket.bufferedAmount = limits.followerBufferBytes
    let drained: boolean | undefined
    void client.drained('0:1').then((result) => (drained = result))
    for (let second = 0; second < 30; second++) {
      await simulation.advance(1_000)
      // As long as something moves it may be slow.
      socket.bufferedAmount = 3 * limits.followerBufferBytes - second
      socket.emit('pong')
      expect(drained).toBeUndefined()
    }
    socket.bufferedAmount = 0
    await simulation.advance(100)
    expect(drained).toBe(true)
    expect(socket.closes).toEqual([])
  })

  test('that reads nothing at all is told where it stood and closed, then cut off', async () => {
    const { simulation, socket, client } = make()
    socket.bufferedAmount = limits.followerBufferBytes
    let drained: boolean | undefined
    void client.drained('0:17').then((result) => (drained = result))
    await simulation.advance(limits.followerStuckMs + 100)
    expect(drained).toBe(false)
    expect(socket.closes).toEqual([[4008, 'Nothing was read for 10000 ms. Resume from 0:17']])
    await simulation.advance(3_000)
    expect(socket.terminated).toBe(true)
    expect(client.ended.aborted).toBe(true)
  })

  test('that does not answer is ended after two beats', async () => {
    const { simulation, socket } = make()
    await simulation.advance(limits.followerBeatMs + 1)
    expect([socket.pings, socket.terminated]).toEqual([1, false])
    await simulation.advance(limits.followerBeatMs + 1)
    expect(socket.terminated).toBe(true)
  })
})

test('nothing is looked up any more when the last who looked has gone', async () => {
  const simulation = new Simulation({ seed: 1 })
  let asked = 0
  const hub = new LiveHub({
    env: simulation.env('p'),
    log: {} as Log,
    snapshot: () => {
      asked++
      return Promise.resolve({ state: 'ready', version: '0', upMs: 1, notReady: [], tasks: [] })
    },
    outputs: [],
    deadLetters: [],
  })
  const gone = new AbortController()
  const sent: string[] = []
  const client = { ended: gone.signal, ready: true, send: (text: string) => void sent.push(text) }
  hub.join(client as unknown as Client)
  await simulation.advance(5_500)
  expect([asked, sent.length]).toEqual([6, 6])
  gone.abort()
  await simulation.advance(10_000)
  expect([asked, sent.length]).toEqual([6, 6])
})

test('a connection that fails in its handshake ends alone', () => {
  const server = new EventEmitter()
  const options = { host: '127.0.0.1', origins: [] } as unknown as UpgradeOptions
  serveUpgrades(server as Server, options)
  const socket = new PassThrough()
  const request = { headers: { host: 'example.org' }, url: '/live' }
  server.emit('upgrade', request, socket, Buffer.alloc(0))
  socket.emit('error', new Error('reset'))
  expect(socket.destroyed).toBe(true)
})

describe('the live page', () => {
  test('is three files without anything inline, under a policy that allows nothing else', async () => {
    const { url } = await serve()
    const page = await fetch(url)
    const policy = page.headers.get('content-security-policy')!
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
    const html = await page.text()
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=/)
    for (const [path, type] of [
      ['/live.js', 'text/javascript'],
      ['/live.css', 'text/css'],
    ] as const) {
      const response = await fetch(`${url}${path}`)
      expect(response.headers.get('content-type')).toContain(type)
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    }
    const script = readFileSync(new URL('./page/live.js', import.meta.url), 'utf8')
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacent|document\.write|eval|srcdoc/)
  })

  test('gets stages, latest rows and dead letters over one WebSocket', async () => {
    const { url, log, produce: add } = await serve()
    await add(
      'sales',
      0,
      Array.from({ length: 30 }, (_, n) => ({
        page: `<b>${n}</b>`,
        seconds: 1 / 3,
        nested: { a: 1 },
      })),
    )
    const letters = await log.open('letters')
    const letter = {
      id: 'x',
      stage: 'shop/main',
      operator: 'map',
      node: 1,
      code: 'MR4001',
      message: 'it threw',
      attempts: 1,
      planHash: 'h',
      topic: 'events',
      partition: 0,
      offset: 3,
      timestamp: 1,
      watermark: undefined,
      upstream: undefined,
      key: 'k',
      raw: encoder.encode('{"a":1}'),
      at: 5,
    }
    const block = new BlockBuilder()
    block.add(0, undefined, encodeLetter(letter))
    letters.append('shop.dead-letters', 0, block.finish(0), 1)
    await letters.commit()
    const listener = new Listener(url, '/live', { origin: url })
    await listener.until(() => listener.messages.length > 0)
    const message = listener.messages[0] as unknown as LiveMessage
    expect(message).toMatchObject({
      type: 'live',
      state: 'ready',
      stages: [{ id: 'shop/main', read: 5 }],
      totals: { lag: 1 },
    })
    expect(message.tables).toHaveLength(1)
    expect(message.tables[0]!.rows).toHaveLength(12)
    expect(message.tables[0]!.rows[0]).toEqual([
      ['page', '<b>29</b>'],
      ['seconds', '0.33333333'],
      ['nested', '{"a":1}'],
    ])
    expect(message.letters).toEqual([
      {
        at: 5,
        stage: 'shop/main',
        operator: 'map',
        code: 'MR4001',
        message: 'it threw',
        raw: '{"a":1}',
      },
    ])
    await add('sales', 1, [{ page: 'new' }])
    await listener.until(() => JSON.stringify(listener.messages.at(-1)).includes('"new"'))
  })

  test('of a window that is updated again and again only the newest row shows', async () => {
    const { url, produce: add } = await serve()
    const row = (n: number): object => ({
      page: 'a',
      window_start: '2024-01-01T00:00:00.000Z',
      views: n,
    })
    for (let n = 1; n <= 20; n++) await add('sales', 0, [row(n)])
    await add('sales', 0, [{ ...row(1), window_start: '2024-01-01T00:01:00.000Z' }])
    const listener = new Listener(url, '/live')
    await listener.until(() => listener.messages.length > 0)
    const [table] = (listener.messages[0] as unknown as LiveMessage).tables
    expect(table!.rows.map((shown) => shown.map(([, value]) => value))).toEqual([
      ['a', '2024-01-01T00:01:00.000Z', '1'],
      ['a', '2024-01-01T00:00:00.000Z', '20'],
    ])
  })

  test('rates come from what the counters grew by; a task that starts over never counts backwards', () => {
    const delivery = { boundsMs: [], counts: [], sumMs: 0, failures: 0 }
    const before = [
      report('ingest/e/0', 100),
      report('p/main/0', 50),
      report('p/main/1', 70),
      report('p/out/0', 10, { delivery }),
    ]
    const now = [
      report('ingest/e/0', 300),
      report('p/main/0', 0, { status: 'failed' }),
      report('p/main/1', 90, {
        watermark: 7,
        counters: { ...before[2]!.counters, read: 90, shed: 20 },
      }),
      report('p/out/0', 12, { delivery, status: 'retrying' }),
    ]
    const stages = stagesOf(now, before, 2)
    expect(stages.map(({ id, kind, status, perSecond }) => [id, kind, status, perSecond])).toEqual([
      ['ingest/e', 'ingest', 'running', 100],
      ['p/main', 'stage', 'failed', 10],
      ['p/out', 'sink', 'retrying', 1],
    ])
    expect(stages[1]!.watermark).toBe(7)
    expect(totalsOf(stages)).toMatchObject({
      inPerSecond: 100,
      processedPerSecond: 10,
      deliveredPerSecond: 1,
      lag: 4,
      shed: 20,
    })
    expect(stagesOf(now, [], 0).every(({ perSecond }) => perSecond === 0)).toBe(true)
  })
})

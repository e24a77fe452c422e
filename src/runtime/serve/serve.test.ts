import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import { limits } from '../../limits.ts'
import { openEmbeddedLog } from '../../log/embedded/index.ts'
import { TopicCursor } from './cursor.ts'
import { Followers } from './followers.ts'
import { encoder, linesIn, Listener, offsetsIn, produce, refusal, serve } from './serve.suite.ts'

describe('topics over HTTP', () => {
  test('any program can read a topic: from anywhere, one partition or all, as many as it wants', async () => {
    const { url, produce: add } = await serve()
    await add('sales', 0, [{ n: 0 }, { n: 1 }])
    await add('sales', 1, [{ n: 2 }])
    await add('sales', 0, [{ n: 3 }])
    const get = async (query: string): Promise<Record<string, unknown>[]> => {
      const response = await fetch(`${url}/topics/sales/records${query}`)
      expect(response.headers.get('content-type')).toContain('application/x-ndjson')
      return linesIn(await response.text())
    }
    expect(await get('')).toEqual([
      { topic: 'sales', partition: 0, offset: 0, timestamp: 1_000, key: 'k0', value: { n: 0 } },
      { topic: 'sales', partition: 0, offset: 1, timestamp: 1_001, key: 'k1', value: { n: 1 } },
      { topic: 'sales', partition: 1, offset: 0, timestamp: 1_000, key: 'k0', value: { n: 2 } },
      { topic: 'sales', partition: 0, offset: 2, timestamp: 1_000, key: 'k0', value: { n: 3 } },
    ])
    expect(offsetsIn(await get('?partition=0&from=1'))).toEqual([1, 2])
    expect(offsetsIn(await get('?partition=0&limit=2'))).toEqual([0, 1])
    expect(await get('?from=0:2,1:1')).toMatchObject([{ partition: 0, offset: 2 }])
    expect(await get('?from=latest')).toEqual([])
    expect(linesIn(await (await fetch(`${url}/topics/sales`)).text())).toHaveLength(4)
  })

  test('every line is JSON, whatever the bytes; JSON comes as it was sent', async () => {
    const { url, produce: add } = await serve()
    const pretty = encoder.encode('{\n  "big": 12345678901234567890,\r\n  "text": "a\\nb"\n}')
    await add('sales', 0, [
      pretty,
      undefined,
      new Uint8Array([0xff, 0x00]),
      encoder.encode('no json'),
    ])
    const text = await (await fetch(`${url}/topics/sales/records`)).text()
    expect(text).toContain('"big": 12345678901234567890')
    expect(linesIn(text)).toMatchObject([
      { value: { text: 'a\nb' } },
      { value: null },
      { value: null, valueBase64: '/wA=' },
      { value: null, valueBase64: Buffer.from('no json').toString('base64') },
    ])
  })

  test('where a topic cannot be read on, what could be comes first and then the reason', async () => {
    const { url, log, produce: add } = await serve()
    await add('sales', 0, [{ n: 0 }])
    const writer = await log.open('broken')
    writer.append('sales', 0, new Uint8Array(48), 1)
    await writer.commit()
    const lines = linesIn(await (await fetch(`${url}/topics/sales/records`)).text())
    expect(lines).toMatchObject([{ value: { n: 0 } }, { error: { code: 'MR2005' } }])
  })

  test('a follower gets what comes, and nobody is kept when it leaves or the server closes', async () => {
    const served = await serve()
    const { url, produce: add } = served
    await add('sales', 0, [{ n: 0 }])
    const response = await fetch(`${url}/topics/sales/records?follow=true`)
    const reader = response.body!.getReader()
    let text = ''
    const until = async (count: number): Promise<void> => {
      while (linesIn(text).length < count) {
        const { value, done } = await reader.read()
        if (done) break
        text += new TextDecoder().decode(value)
      }
    }
    await until(1)
    await add('sales', 1, [{ n: 1 }, { n: 2 }])
    await until(3)
    expect(linesIn(text).map((line) => line['value'])).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
    const left = await fetch(`${url}/topics/sales/records?follow=true`)
    await left.body!.cancel()
    await served.close()
    expect((await reader.read().catch(() => ({ done: true }))).done).toBe(true)
  })

  test('a long topic is read whole, in order, by several at once', async () => {
    const { url, produce: add } = await serve()
    const rows = Array.from({ length: 5_000 }, (_, n) => ({ n, filler: 'x'.repeat(100) }))
    await add('sales', 0, rows)
    await add('sales', 0, rows)
    const texts = await Promise.all(
      Array.from({ length: 4 }, async () => (await fetch(`${url}/topics/sales/records`)).text()),
    )
    for (const text of texts)
      expect(offsetsIn(linesIn(text))).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
  })

  test.each([
    ['/topics/nothing/records', 404, 'MR6010'],
    ['/topics/state/records', 400, 'MR6011'],
    ['/topics/sales/records?partition=2', 400, 'MR6011'],
    ['/topics/sales/records?partition=-1', 400, 'MR6011'],
    ['/topics/sales/records?partition=0&from=9', 400, 'MR6011'],
    ['/topics/sales/records?from=0:9', 400, 'MR6011'],
    ['/topics/sales/records?from=yesterday', 400, 'MR6011'],
    ['/topics/sales/records?follow=maybe', 400, 'MR6011'],
    ['/topics/sales/records?limit=1&limit=2', 400, 'MR6011'],
    ['/topics/sales/records?form=0', 400, 'MR6011'],
  ])('%s is answered %i %s', async (path, status, code) => {
    const { url } = await serve()
    const response = await fetch(`${url}${path}`)
    expect([
      response.status,
      ((await response.json()) as { error: { code: string } }).error.code,
    ]).toEqual([status, code])
  })

  test('a page that gave its own name our address is refused', async () => {
    const { url } = await serve()
    for (const path of ['/', '/topics/sales/records']) {
      const [response] = (await once(
        request(`${url}${path}`, { headers: { host: 'evil.example' } }).end(),
        'response',
      )) as [{ statusCode: number }]
      expect(response.statusCode).toBe(421)
    }
  })

  test('where retention was faster the reader is told, and goes on', async () => {
    const simulation = new Simulation({ seed: 1 })
    const simulated = simulation.env('p')
    const inTime = async <T>(promise: Promise<T>): Promise<T> => {
      let done = false
      void promise.finally(() => (done = true))
      await simulation.runUntil(() => done)
      return promise
    }
    const log = await inTime(
      openEmbeddedLog({
        env: simulated,
        directory: '/data',
        segmentBytes: 20_000,
        checkpointBytes: 10_000,
        retentionCheckMs: 100,
      }),
    )
    await inTime(
      log.topics.create({ name: 'sales', kind: 'user', partitions: 1, retentionMs: 500 }),
    )
    const writer = await inTime(log.open('test'))
    const cursor = await inTime(
      TopicCursor.open(log, { topic: 'sales', partition: undefined, from: 'earliest' }),
    )
    await inTime(produce(writer, 'sales', 0, [{ n: 0 }]))
    expect(cursor.next(1_000)).toMatchObject({ kind: 'records' })
    for (let n = 1; n < 60; n++) {
      await inTime(produce(writer, 'sales', 0, [{ n, filler: 'x'.repeat(1_500) }]))
      await simulation.advance(50)
    }
    const gone = cursor.next(1_000)
    expect(gone).toMatchObject({ kind: 'gone', partition: 0, from: 1 })
    const piece = cursor.next(1_000)
    expect(
      piece.kind === 'records' && (JSON.parse(piece.records[0]!) as { offset: number }).offset,
    ).toBe(gone.kind === 'gone' ? gone.earliest : -1)
    cursor.close()
    await inTime(log.stop())
  })
})

describe('topics over WebSocket', () => {
  test('a client follows, breaks off, and resumes where it stood: every record once, in order', async () => {
    const { url, produce: add } = await serve()
    await add('sales', 0, [{ n: 0 }, { n: 1 }])
    const first = new Listener(url, '/live/sales')
    await first.until(() => first.records.length >= 2)
    await add('sales', 1, [{ n: 2 }])
    await first.until(() => first.records.length >= 3)
    const resume = String(first.messages.at(-1)!['resume'])
    first.socket.terminate()
    await add('sales', 0, [{ n: 3 }])
    const second = new Listener(url, `/topics/sales/records?from=${resume}`)
    await second.until(() => second.records.length >= 1)
    expect(first.messages[0]).toEqual({ type: 'hello', topic: 'sales', resume: '0:0,1:0' })
    expect([...first.records, ...second.records].map((record) => record['value'])).toEqual([
      { n: 0 },
      { n: 1 },
      { n: 2 },
      { n: 3 },
    ])
    expect(second.messages.at(-1)).toMatchObject({ resume: '0:3,1:1', lag: 0 })
  })

  test('refusals are HTTP answers that say why', async () => {
    const { url } = await serve({ origins: ['https://shop.example'] })
    expect(await refusal(url, '/nowhere')).toEqual([404, 'MR6010'])
    expect(await refusal(url, '/topics/nothing/records')).toEqual([404, 'MR6010'])
    expect(await refusal(url, '/topics/%E0%A4%A/records')).toEqual([404, 'MR6010'])
    expect(await refusal(url, '/live/sales?from=0:7')).toEqual([400, 'MR6011'])
    expect(await refusal(url, '/live/sales', { origin: 'https://evil.example' })).toEqual([
      403,
      'MR6031',
    ])
    expect(await refusal(url, '/live', { origin: 'null' })).toEqual([403, 'MR6031'])
    expect(
      await refusal(url, '/live', { host: 'evil.example', origin: 'http://evil.example' }),
    ).toEqual([421, 'MR1051'])
    for (const origin of [url, 'https://shop.example']) {
      const listener = new Listener(url, '/live/sales', { origin })
      await listener.until(() => listener.messages.length > 0)
    }
  })

  test('a handshake that is none leaves no place taken; an offer of another protocol is passed over', async () => {
    const { url } = await serve()
    const offer = async (upgrade: string): Promise<number | undefined> => {
      const headers = { connection: 'Upgrade', upgrade }
      const asked = request(`${url}/topics/sales/records`, { headers, agent: false }).end()
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      answer.resume()
      await once(answer, 'close')
      return answer.statusCode
    }
    for (let i = 0; i <= limits.followers; i++) expect(await offer('websocket')).toBe(400)
    expect(await offer('h2c')).toBe(200)
    const listener = new Listener(url, '/live/sales')
    await listener.until(() => listener.messages.length > 0)
  })

  test('a message that is too long ends the connection; a short one is ignored', async () => {
    const { url } = await serve()
    const listener = new Listener(url, '/live/sales')
    await listener.until(() => listener.messages.length > 0)
    listener.socket.send('hello')
    listener.socket.send('x'.repeat(limits.followerMessageBytes + 1))
    await listener.until(() => listener.closed !== undefined)
    expect(listener.closed?.code).toBe(1009)
  })

  test('when the server closes, clients are told', async () => {
    const served = await serve()
    const listener = new Listener(served.url, '/live/sales')
    await listener.until(() => listener.messages.length > 0)
    await served.close()
    await listener.until(() => listener.closed !== undefined)
    expect(listener.closed).toEqual({ code: 1001, reason: 'The engine stops.' })
  })

  test('places are bounded, and free again when somebody leaves', () => {
    const followers = new Followers(2)
    const places = [followers.join(), followers.join()]
    expect(() => followers.join()).toThrow(/MR6030/)
    places[0]!.leave()
    expect(followers.join().signal.aborted).toBe(false)
    followers.close()
    expect(places[1]!.signal.aborted).toBe(true)
    expect(() => followers.join()).toThrow(/MR6030/)
  })
})

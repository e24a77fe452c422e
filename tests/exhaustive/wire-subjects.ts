/** Decoders of what clients send, and of the small files and records that an engine reads back. */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Disk, Env } from '../../src/core/env/env.ts'
import { Simulation } from '../../src/core/env/simulated/index.ts'
import { MillraceError } from '../../src/errors.ts'
import { BlockBuilder } from '../../src/log/block.ts'
import {
  decodeLetterRecord,
  decodeReplay,
  encodeLetter,
  encodeReplay,
  encodeResolution,
} from '../../src/process/dead-letters.ts'
import { sessionStoreSpec } from '../../src/process/ingest-sessions.ts'
import { encodeCheckedJson } from '../../src/core/checked-json.ts'
import { encodingOf, formatOf, hostRefusal, producerOf } from '../../src/runtime/http/headers.ts'
import { Receiver, receiveLimits } from '../../src/runtime/http/receive.ts'
import { Paused } from '../../src/runtime/paused.ts'
import { readPlans } from '../../src/runtime/plans.ts'
import { TopicCursor } from '../../src/runtime/serve/cursor.ts'
import { generator } from '../../src/sources/index.ts'
import { MemoryLog } from '../support/memory-log.ts'
import { Bytes, must, refusing } from './subject.ts'
import type { Subject } from './subject.ts'

const utf8 = new TextEncoder()
const env = new Simulation({ seed: 'decoders', order: 'fifo', traceLines: 1 }).env('engine')

export async function wireSubjects(): Promise<readonly Subject[]> {
  const log = await logToRead()
  return [
    { name: 'gzip body', seeds: gzips(), slow: true, decode: gzipBody },
    { name: 'headers', seeds: heads(), decode: headers },
    { name: 'cursor', seeds: froms(), decode: (bytes) => cursor(log, bytes) },
    { name: 'dead letter', seeds: letters(), json: true, decode: letter },
    { name: 'replayed letter', seeds: replays(), json: true, decode: replay },
    { name: 'producer session', seeds: sessions(), decode: session },
    { name: 'paused.json', seeds: pausedFiles(), json: true, decode: paused },
    { name: 'plans.json', seeds: planFiles(), json: true, decode: plans },
    { name: 'generator position', seeds: generated(), json: true, decode: generatorPosition },
  ]
}

const bounds = { ...receiveLimits, bodyBytes: 100_000, inflatedBytes: 200_000, inflateRatio: 50 }
const receiver = new Receiver(env, bounds)

function gzips(): Uint8Array[] {
  const text = Buffer.from('{"user_id":"u1","n":1}\n'.repeat(40))
  const bomb = gzipSync(new Uint8Array(4_000_000))
  return [gzipSync(text), gzipSync(text, { level: 0 }), bomb, gzipSync(new Uint8Array(0))]
}

/** What zlib makes of the bytes, or a refusal by name; never more than may be inflated. */
async function gzipBody(bytes: Uint8Array): Promise<boolean> {
  const request = Object.assign(Readable.from([Buffer.from(bytes)]), { headers: {} })
  const body = await receiver.receive(request as unknown as IncomingMessage, 'gzip')
  must(receiver.held === 0, `${receiver.held} bytes of a body are still counted`)
  if (body === undefined) throw new Error('the client is taken for gone')
  if (!(body instanceof Uint8Array)) {
    must(['MR1030', 'MR1031', 'MR1033'].includes(body.code), `refused by ${body.code}`)
    return false
  }
  must(body.length <= Math.max(64 * 1024, bytes.length * bounds.inflateRatio), 'took a bomb')
  must(body.length <= bounds.inflatedBytes, `inflated to ${body.length} bytes`)
  must(Buffer.compare(gunzipSync(bytes), body) === 0, 'inflated to something else')
  return true
}

const names = [
  'millrace-producer',
  'millrace-epoch',
  'millrace-sequence',
  'content-type',
  'content-encoding',
  'host',
] as const

function heads(): Uint8Array[] {
  const lines = [
    ['p-1', '1767225600000', '17', 'application/json; charset=utf-8', 'gzip', '127.0.0.1:4004'],
    ['a:b.c_d', '0', '9007199254740991', 'application/x-ndjson', 'identity', 'localhost'],
    ['p', '1', '0', 'application/jsonl', 'x-gzip', '[::1]:80'],
  ]
  return lines.map((line) => utf8.encode(line.join('\n')))
}

function headers(bytes: Uint8Array): boolean {
  const lines = Buffer.from(bytes).toString('latin1').split('\n')
  const given: Partial<Record<(typeof names)[number], string>> = {}
  for (const [i, name] of names.entries()) {
    const line = lines[i]?.trim()
    // White space around it is no part of a header, and other bytes in it end the request before anybody looks.
    if (line !== undefined && /^[\t\x20-\x7e\x80-\xff]+$/.test(line)) given[name] = line
  }
  const format = formatOf(given['content-type'])
  const encoding = encodingOf(given['content-encoding'])
  const refused = hostRefusal('127.0.0.1', given.host)
  if (refused === undefined) {
    const name = (given.host ?? '').replace(/:\d*$/, '')
    // By whatever name a browser would go there, it is this machine.
    must(isThisMachine(name), `answers to ${JSON.stringify(given.host)}`)
  }
  for (const one of [format, encoding, refused]) {
    if (typeof one === 'object') must(one.what.length < 1_000, 'quotes all that was sent')
  }
  const producer = producerOf(given)
  if (producer === undefined || 'code' in producer) return false
  const { id, epoch, sequence } = producer
  must(id === given['millrace-producer'] && id.length <= 100, 'another producer')
  must(BigInt(given['millrace-epoch']!) === BigInt(epoch), 'another epoch')
  must(BigInt(given['millrace-sequence']!) === BigInt(sequence), 'another sequence')
  return true
}

function isThisMachine(name: string): boolean {
  const url = URL.parse(`http://${name}/`)
  const host = url?.hostname ?? ''
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

async function logToRead(): Promise<MemoryLog> {
  const log = new MemoryLog()
  await log.topics.create({ name: 'events', kind: 'user', partitions: 2 })
  const writer = await log.open('w')
  const block = new BlockBuilder()
  for (let i = 0; i < 6; i++) {
    block.add(i, utf8.encode(`k${i}`), utf8.encode(`{"n":${i}}`))
    writer.append('events', i % 2, block.finish(i), 1)
  }
  await writer.commit()
  return log
}

function froms(): Uint8Array[] {
  const texts = ['earliest', 'latest', '2', '2026-01-01T00:00:00.000Z', '0:3,1:1', '0:0,1:99']
  return texts.map((text) => utf8.encode(text))
}

/** Where a client says that it goes on: nothing before that place comes, and what comes is in order. */
async function cursor(log: MemoryLog, bytes: Uint8Array): Promise<boolean> {
  const from = Buffer.from(bytes).toString()
  let opened: TopicCursor
  try {
    opened = await TopicCursor.open(log, { topic: 'events', partition: undefined, from })
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'MR6011') return false
    throw error
  }
  const places = new Map(
    opened.resume.split(',').map((p) => p.split(':').map(Number) as [number, number]),
  )
  const next = new Map(places)
  for (let piece = opened.next(1_000); piece.kind !== 'end'; piece = opened.next(1_000)) {
    if (piece.kind === 'gone') throw new Error('something is gone where nothing was removed')
    for (const line of piece.records) {
      const { partition, offset } = JSON.parse(line) as { partition: number; offset: number }
      must(offset === next.get(partition), `offset ${offset} out of order`)
      next.set(partition, offset + 1)
    }
  }
  must(
    [...next.values()].every((offset) => offset === 3),
    'did not get to the end',
  )
  opened.close()
  return true
}

const raw = utf8.encode('{"n":1,"text":"é\\n"}')
const origin = {
  topic: 'events',
  partition: 1,
  offset: 7,
  timestamp: 1_000,
  watermark: 900,
  upstream: 0,
  key: 'k',
}

function letters(): Uint8Array[] {
  const whole = { ...origin, id: 'shop/main:map@events/1/7', stage: 'shop/main', operator: 'map' }
  const failed = { code: 'MR4002', message: 'It failed.', attempts: 3, planHash: 'abc', at: 5 }
  const sent = { ...whole, ...failed, node: 4 }
  return [
    encodeLetter({ ...sent, raw }),
    encodeLetter({ ...sent, raw: Uint8Array.of(0xff, 0xfe, 0), typedKey: [1, 'a', null] }),
    encodeResolution({ resolves: 3, how: 'replayed', at: 9 }),
  ]
}

/** What is taken can be written, and is then taken as the same. */
function letter(bytes: Uint8Array): boolean {
  const record = decodeLetterRecord(bytes)
  if (record === undefined) return false
  const again =
    record.kind === 'letter' ? encodeLetter(record.letter) : encodeResolution(record.resolution)
  must(stable(decodeLetterRecord(again)) === stable(record), 'a letter that is another')
  return true
}

function replays(): Uint8Array[] {
  const sent = { ...origin, node: 4, raw, letter: 12, attempts: 2 }
  return [encodeReplay(sent), encodeReplay({ ...sent, typedKey: 5 })]
}

function replay(bytes: Uint8Array): boolean {
  const record = decodeReplay(bytes)
  if (record === undefined) return false
  must(stable(decodeReplay(encodeReplay(record))) === stable(record), 'a letter that is another')
  return true
}

/** Null is how JSON says that there is none, and what infinity becomes in it. */
const stable = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => {
    if (one instanceof Uint8Array) return Buffer.from(one).toString('hex')
    return one === null || one === Infinity ? undefined : one
  })

const { codec } = sessionStoreSpec(1e6)

function sessions(): Uint8Array[] {
  const answer = (sequence: number) => ({
    sequence,
    status: 200,
    body: utf8.encode('{"accepted":1}'),
  })
  const told = { epoch: 1_767_225_600_000, seen: 1_767_225_600_500 }
  return [
    codec.encode({ ...told, next: 3, answers: [answer(1), answer(2)] }),
    codec.encode({ ...told, next: 1, answers: [answer(0)] }),
  ]
}

function session(bytes: Uint8Array): boolean {
  return refusing('MR4011', () => {
    const again = codec.encode(codec.decode(bytes))
    must(Buffer.compare(again, bytes) === 0, 'a session that is another')
  })
}

/** A disk whose every file is these bytes. */
function diskOf(bytes: Uint8Array): Pick<Env, 'disk'> {
  const disk: Partial<Disk> = { exists: () => true, open: () => new Bytes(bytes) }
  return { disk: disk as Disk }
}

function pausedFiles(): Uint8Array[] {
  const value = { paused: ['shop/main/0', 'shop/out/1'] }
  return [encodeCheckedJson(value), utf8.encode(JSON.stringify(value))]
}

function paused(bytes: Uint8Array): boolean {
  return refusing('MR6016', () => {
    const { tasks } = new Paused(diskOf(bytes), 'data')
    must(
      tasks.every((task) => typeof task === 'string'),
      'a task that is none',
    )
  })
}

function planFiles(): Uint8Array[] {
  return [
    encodeCheckedJson([{ pipeline: 'shop', hash: 'a' }]),
    utf8.encode('[{"pipeline":"shop"}]'),
  ]
}

function plans(bytes: Uint8Array): boolean {
  return refusing('MR6016', () => {
    must(Array.isArray(readPlans(diskOf(bytes), 'data')), 'plans that are no list')
  })
}

const numbers = generator({ event: (i) => ({ i }) })

function generated(): Uint8Array[] {
  return [utf8.encode('{"next":12,"startedAt":1767225600000}')]
}

function generatorPosition(bytes: Uint8Array): boolean {
  return refusing('MR1061', () => {
    const position = Buffer.from(bytes).toString()
    numbers.open!({ env, partition: 0, position, start: 'earliest' }).close()
  })
}

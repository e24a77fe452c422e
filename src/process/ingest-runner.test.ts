import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { partitionOf } from '../core/hash.ts'
import { limits } from '../limits.ts'
import type { LocalLog } from '../log/embedded/index.ts'
import type { Writer } from '../log/log.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import {
  bucketCount,
  IngestWorld,
  lettersTopic,
  ndjson,
  readAnswer,
  rules,
  sessionsTopic,
  topic,
} from './ingest.fixture.ts'
import type { ReadAnswer } from './ingest.fixture.ts'
import type { IngestRequest, ProducerRef } from './ingest-request.ts'
import { IngestQueue, PushIngestRunner } from './ingest-runner.ts'
import type { PushIngestOptions } from './ingest-runner.ts'
import { IngestStage } from './ingest-stage.ts'

class PushWorld extends IngestWorld {
  runner: PushIngestRunner | undefined
  readonly #changes: Partial<PushIngestOptions>

  constructor(seed = 1, changes: Partial<PushIngestOptions> = {}) {
    super(seed)
    this.#changes = changes
  }

  async begin(): Promise<void> {
    await this.start((env, log) => {
      this.runner = new PushIngestRunner({ ...options(env, log), ...this.#changes })
      return [this.runner]
    })
  }

  /** Sends and waits for the answer; undefined when the engine died before it. */
  async send(request: IngestRequest, bucket = 0): Promise<ReadAnswer> {
    return readAnswer(await this.until(this.runner!.submit(bucket, request)))
  }
}

function options(env: SimulatedEnv, log: LocalLog): PushIngestOptions {
  return {
    env,
    log,
    topic,
    rules,
    onInvalid: 'refuse',
    deadLetters: lettersTopic,
    planHash: 'abc',
    buckets: Array.from({ length: bucketCount }, (_, bucket) => bucket),
    bucketCount,
    sessions: sessionsTopic,
    queue: new IngestQueue(),
  }
}

async function begun(changes: Partial<PushIngestOptions> = {}): Promise<PushWorld> {
  const world = new PushWorld(1, changes)
  await world.begin()
  return world
}

const at = '2024-01-01T00:00:00Z'
const event = (id: string, more: object = {}): object => ({ id, at, ...more })
const ref = (sequence: number, epoch = 0, id = 'p'): ProducerRef => ({ id, epoch, sequence })

describe('a pushed event', () => {
  test('is stored as it was sent, under its key and time, before it is acknowledged', async () => {
    const world = await begun()
    const raw = `{"id":"käse", "at":"${at}",\t"x":1.50}`
    const body = Buffer.from(`\uFEFF  ${raw}\r\n\r\n\n${JSON.stringify(event('b'))}`)
    expect(await world.send({ body, format: 'ndjson' })).toEqual({
      status: 200,
      accepted: 2,
      refused: 0,
      deadLettered: 0,
      verdicts: [],
    })
    const stored = await world.records()
    const first = stored.find((record) => record.key === 'käse')
    expect(first).toEqual({
      partition: partitionOf(Buffer.from('käse'), rules.partitions),
      offset: 0,
      key: 'käse',
      value: raw,
      timestamp: Date.UTC(2024, 0, 1),
      schemaVersion: 7,
    })
    expect(stored).toHaveLength(2)
  })

  test('may come alone, in an array or by the line', async () => {
    const world = await begun()
    const bodies: [string, 'json' | 'ndjson', number][] = [
      [` ${JSON.stringify(event('a'))} `, 'json', 1],
      [
        `[ ${JSON.stringify(event('b'))} , ${JSON.stringify(event('c', { list: [1, ']'], text: '\\"[{,' }))} ]`,
        'json',
        2,
      ],
      ['[]', 'json', 0],
      [`${JSON.stringify(event('d'))}\n`, 'ndjson', 1],
    ]
    for (const [body, format, accepted] of bodies) {
      expect(await world.send({ body: Buffer.from(body), format })).toMatchObject({
        status: 200,
        accepted,
      })
    }
    expect((await world.records()).map((record) => record.key).toSorted()).toEqual([
      'a',
      'b',
      'c',
      'd',
    ])
  })

  const refusals: [string, string, string | object][] = [
    ['that is not JSON', 'MR1001', '{"id":'],
    ['that is not UTF-8', 'MR1002', 'latin1:{"id":"\xff"}'],
    ['nested too deep', 'MR1003', `{"id":"a","x":${'['.repeat(70)}${']'.repeat(70)}}`],
    ['with a key __proto__', 'MR1004', `{"id":"a","at":"${at}","__proto__":{"admin":true}}`],
    ['with a key twice', 'MR1005', `{"id":"a","id":"b","at":"${at}"}`],
    ['too large', 'MR1020', event('a', { x: 'x'.repeat(limits.eventBytes) })],
    ['of another shape', 'MR1021', event('a', { name: 5 })],
    ['that is no object', 'MR1021', '5'],
    ['without its key', 'MR1022', { at }],
    ['with null as its key', 'MR1022', { id: null, at }],
    ['with an object as its key', 'MR1023', { id: {}, at }],
    ['with half a character in its key', 'MR1023', `{"id":"\\ud800","at":"${at}"}`],
    [
      'with a number as its key that is not exact',
      'MR1023',
      `{"id":9007199254740993,"at":"${at}"}`,
    ],
    ['with a long key', 'MR1024', event('x'.repeat(limits.keyBytes + 1))],
    ['with a key that is long in UTF-8', 'MR1024', event('€'.repeat(limits.keyBytes / 2))],
    ['without its time', 'MR1025', { id: 'a' }],
    ['with a time that is none', 'MR1026', { id: 'a', at: 'yesterday' }],
    ['with a time of no zone', 'MR1026', { id: 'a', at: '2024-01-01T00:00:00' }],
    ['on a day that is not in the calendar', 'MR1026', { id: 'a', at: '2023-02-29' }],
    ['with an absurd time', 'MR1026', { id: 'a', at: 1e18 }],
    ['from the future', 'MR1027', { id: 'a', at: Date.UTC(2024, 0, 2) }],
  ]

  test.each(refusals)(
    '%s is refused with %s, and the others of its body are stored',
    async (_, code, bad) => {
      const world = await begun()
      const line = typeof bad === 'string' ? bad : JSON.stringify(bad)
      const bytes = line.startsWith('latin1:')
        ? Buffer.from(line.slice(7), 'latin1')
        : Buffer.from(line)
      const good = Buffer.from(JSON.stringify(event('good')))
      const body = Buffer.concat([good, Buffer.from('\n'), bytes, Buffer.from('\n'), good])
      const answer = await world.send({ body, format: 'ndjson' })
      expect(answer).toMatchObject({
        status: 200,
        accepted: 2,
        refused: 1,
        verdicts: [{ index: 1, code }],
      })
      expect(answer.verdicts![0]!.message).toMatch(/^[A-Z].*\.$/)
      const alone = await world.send({ body: bytes, format: 'json' })
      expect(alone.status).toBeGreaterThanOrEqual(400)
      expect(alone).toMatchObject({ accepted: 0, refused: 1, verdicts: [{ index: 0, code }] })
      expect(await world.values()).toEqual([good.toString(), good.toString()])
      expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('admin')
    },
  )

  test.each([
    ['is empty', 'MR1028', '  \n ', 'json'],
    ['is empty', 'MR1028', '\n\n', 'ndjson'],
    ['is an array that does not end', 'MR1028', `[${JSON.stringify(event('a'))},`, 'json'],
    ['is an array with a hole', 'MR1028', `[${JSON.stringify(event('a'))},,1]`, 'json'],
    ['goes on behind its array', 'MR1028', `[${JSON.stringify(event('a'))}]]`, 'json'],
    ['has too many events', 'MR1029', '1\n'.repeat(limits.bodyEvents + 1), 'ndjson'],
    [
      'has too many refused events',
      'MR1050',
      `${'1\n'.repeat(limits.bodyRefusals + 1)}${JSON.stringify(event('a'))}`,
      'ndjson',
    ],
    ['is too large', 'MR1030', ' '.repeat(limits.bodyInflatedBytes + 1), 'ndjson'],
  ] as const)('is not stored when its body %s (%s)', async (_, code, body, format) => {
    const world = await begun()
    const answer = await world.send({ body: Buffer.from(body), format })
    expect(answer.error?.code).toBe(code)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(await world.values()).toEqual([])
  })

  test('that is invalid becomes a dead letter where the stream is declared so', async () => {
    const world = await begun({ onInvalid: 'deadLetter' })
    const answer = await world.send(ndjson(['{"id":', event('a'), event('b', { name: 1 })]))
    expect(answer).toEqual({ status: 200, accepted: 1, refused: 0, deadLettered: 2, verdicts: [] })
    const letters = (await world.values(lettersTopic, 1)).map((value) =>
      decodeLetterRecord(Buffer.from(value)),
    )
    const seen = letters.map(
      (record) =>
        record?.kind === 'letter' && [
          record.letter.code,
          record.letter.id,
          Buffer.from(record.letter.raw).toString(),
        ],
    )
    expect(seen).toEqual([
      ['MR1001', 'ingest/events:ingest@events/0/0', '{"id":'],
      ['MR1021', 'ingest/events:ingest@events/0/2', JSON.stringify(event('b', { name: 1 }))],
    ])
    expect(world.runner!.report()[0]!.counters).toMatchObject({
      read: 3,
      processed: 1,
      deadLettered: 2,
      skipped: 0,
    })
  })

  test('without a time field has the time of its arrival, without a key goes round the partitions', async () => {
    const world = await begun({ rules: { ...rules, key: undefined, time: undefined } })
    await world.send(ndjson([{}, {}, {}, {}]))
    const stored = await world.records()
    expect(stored.map((record) => record.partition).toSorted()).toEqual([0, 1, 2, 3])
    expect(stored.every((record) => Math.abs(record.timestamp - world.now) < 100)).toBe(true)
  })

  test('is refused when the key function or the validator throws', async () => {
    const key = { fn: (row: { id: string }) => (row.id === 'bad' ? JSON.parse('{') : row.id) }
    const check = (value: unknown): undefined => {
      if ((value as { id: string }).id === 'worse') throw new Error('no')
    }
    const world = await begun({ rules: { ...rules, key, schema: { ...rules.schema, check } } })
    const answer = await world.send(ndjson([event('bad'), event('worse'), event('good')]))
    expect(answer.verdicts?.map((verdict) => verdict.code)).toEqual(['MR1023', 'MR1021'])
    expect(answer.accepted).toBe(1)
  })
})

test('what is rolled back leaves nothing behind', () => {
  const stage = new IngestStage({
    id: 'ingest/events',
    topic,
    positionTopic: sessionsTopic,
    deadLetters: lettersTopic,
    planHash: '',
    schemaVersion: 1,
  })
  const staged: string[] = []
  const writer = {
    append: (name: string) => void staged.push(name),
    position: (group: string) => void staged.push(group),
  } as unknown as Writer
  stage.open([0], [])
  const fill = (): void => {
    stage.record(0, 1, undefined, Buffer.from('{}'), 1)
    stage.letter(Buffer.from('{}'), 1)
    stage.count(0, 1, 1, 0)
  }
  fill()
  stage.rollback()
  expect(stage.bytes).toBe(0)
  stage.stage(writer)
  expect(staged).toEqual([])
  fill()
  stage.stage(writer)
  expect(staged).toEqual([topic, lettersTopic, 'ingest/events'])
  expect(stage.counters(0)).toMatchObject({ read: 2, processed: 1, deadLettered: 1 })
})

describe('overload and failure', () => {
  test('a full queue is answered with 429, and holds what it took', async () => {
    const world = await begun({ queue: new IngestQueue(20_000) })
    const request = (): IngestRequest => ndjson(Array.from({ length: 100 }, () => event('a')))
    const sent = Array.from({ length: 30 }, () => world.runner!.submit(0, request()))
    const answers = (await world.until(Promise.all(sent))).map((answer) => readAnswer(answer))
    const refused = answers.filter((answer) => answer.status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]).toMatchObject({ error: { code: 'MR1039' }, retryAfterSeconds: 1 })
    expect(await world.values()).toHaveLength((30 - refused.length) * 100)
    expect((await world.send(request())).status).toBe(200)
  })

  test('the largest bodies share no commit that could not hold them', async () => {
    const world = await begun()
    const line = JSON.stringify(event('k'.repeat(limits.keyBytes)))
    const lines = Array.from(
      { length: Math.floor(limits.bodyBytes / (line.length + 1)) },
      () => line,
    )
    // The first leaves room in the commit, but not for another one of the largest.
    const bodies = [lines.slice(0, lines.length * 0.7), lines, lines]
    const sent = bodies.map((body) => world.runner!.submit(0, ndjson(body)))
    const answers = (await world.until(Promise.all(sent))).map((answer) => readAnswer(answer))
    expect(answers.map((answer) => answer.accepted)).toEqual(bodies.map((body) => body.length))
    expect(world.ended).toBeUndefined()
  })

  test('a full disk is answered with 507; when there is space again, it goes on by itself', async () => {
    const world = await begun()
    const disk = world.world.disk()
    disk.capacityBytes = disk.usedBytes + 1_000
    await world.world.advance(2_000)
    const answer = await world.send(ndjson([event('a')]))
    expect(answer).toMatchObject({ status: 507, error: { code: 'MR2007' }, retryAfterSeconds: 1 })
    disk.capacityBytes = 2 ** 40
    await world.world.advance(20_000)
    expect((await world.send(ndjson([event('b')]))).status).toBe(200)
    expect((await world.records()).map((record) => record.key)).toEqual(['b'])
  })

  test('a full disk leaves nobody waiting, and counts nothing', async () => {
    const world = await begun()
    const disk = world.world.disk()
    disk.capacityBytes = disk.usedBytes + 1_000
    await world.world.advance(2_000)
    const large = (): IngestRequest =>
      ndjson(Array.from({ length: 30 }, () => event('a', { x: 'x'.repeat(90_000) })))
    const sent = Array.from({ length: 6 }, () => world.runner!.submit(0, large()))
    const before = world.world.scheduler.now
    const answers = (await world.until(Promise.all(sent))).map((answer) => answer.status)
    expect(answers).toEqual(answers.map(() => 507))
    expect(world.world.scheduler.now - before).toBeLessThan(40)
    expect(world.runner!.report()[0]!.counters).toMatchObject({ read: 0, emitted: 0 })
  })

  test('a paused or stopped ingest says so', async () => {
    const world = await begun()
    world.runner!.pause('ingest/events/0')
    expect(await world.send(ndjson([event('a')]))).toMatchObject({
      status: 503,
      error: { code: 'MR1041' },
    })
    expect((await world.send(ndjson([event('a')]), 1)).status).toBe(200)
    world.runner!.reset()
    await world.until(world.runner!.open())
    expect((await world.send(ndjson([event('a')]))).error?.code).toBe('MR1041')
    world.runner!.resume('ingest/events/0')
    expect((await world.send(ndjson([event('a')]))).status).toBe(200)
    await world.stop()
    expect(await world.send(ndjson([event('a')]))).toMatchObject({
      status: 503,
      error: { code: 'MR1041' },
    })
  })

  test('the counters are those of what is stored, also after a kill', async () => {
    const world = await begun()
    await world.send(ndjson([event('a'), event('b'), '{']), 3)
    world.kill()
    await world.begin()
    await world.send(ndjson([event('c')]), 3)
    expect(world.runner!.report()[3]).toMatchObject({
      id: 'ingest/events/3',
      status: 'running',
      counters: { read: 4, processed: 3, skipped: 1, emitted: 3, deadLettered: 0 },
    })
    expect(await world.values()).toHaveLength(3)
  })
})

describe('an idempotent producer', () => {
  test('gets the identical answer to a repeated request, also after a restart, and nothing is stored twice', async () => {
    const world = await begun()
    const requests = [0, 1, 2].map((n) => ndjson([event(`e${n}`), '{'], ref(n)))
    const answers: ReadAnswer[] = []
    for (const request of requests) answers.push(await world.send(request))
    expect(await world.send(requests[1]!)).toEqual(answers[1])
    world.kill()
    await world.begin()
    for (const [i, request] of requests.entries())
      expect(await world.send(request)).toEqual(answers[i])
    expect((await world.records()).map((record) => record.key).toSorted()).toEqual([
      'e0',
      'e1',
      'e2',
    ])
  })

  test('has its repetition wait for the first one when both are under way', async () => {
    const world = await begun()
    const runner = world.runner!
    const both = [
      runner.submit(0, ndjson([event('a')], ref(0))),
      runner.submit(0, ndjson([event('a')], ref(0))),
    ]
    const [first, second] = (await world.until(Promise.all(both))).map((answer) =>
      readAnswer(answer),
    )
    expect(second).toEqual(first)
    expect(await world.values()).toHaveLength(1)
    // When the commit fails, the repetition must not have been answered from what was only staged.
    const disk = world.world.disk()
    disk.capacityBytes = disk.usedBytes + 1_000
    await world.world.advance(2_000)
    const failing = [
      runner.submit(0, ndjson([event('a')], ref(1))),
      runner.submit(0, ndjson([event('a')], ref(1))),
    ]
    expect((await world.until(Promise.all(failing))).map((answer) => answer.status)).toEqual([
      507, 507,
    ])
  })

  test('has its session stored once per request, and never again while nothing comes', async () => {
    const world = await begun()
    for (const n of [0, 1, 2]) await world.send(ndjson([event('a')], ref(n)))
    await world.world.advance(10_000)
    expect((await world.until(world.log.topics.offsets(sessionsTopic)))[0]!.next).toBe(3)
  })

  test.each([
    ['a gap', 'MR1044', ref(3)],
    ['an unknown session', 'MR1046', ref(1, 0, 'other')],
    ['an older epoch', 'MR1045', ref(2, -1)],
    ['a new epoch that does not begin with 0', 'MR1044', ref(1, 1)],
  ])('is refused for %s with %s', async (_, code, producer) => {
    const world = await begun()
    for (const n of [0, 1]) await world.send(ndjson([event('a')], ref(n)))
    const answer = await world.send(ndjson([event('b')], producer))
    expect(answer.error?.code).toBe(code)
    expect([409, 410]).toContain(answer.status)
    expect((await world.records()).map((record) => record.key)).toEqual(['a', 'a'])
    expect((await world.send(ndjson([event('b')], ref(2)))).status).toBe(200)
  })

  test('is told when its answer is no longer kept', async () => {
    const world = await begun()
    for (let n = 0; n <= limits.producerAnswers; n++) await world.send(ndjson([event('a')], ref(n)))
    expect((await world.send(ndjson([event('a')], ref(0)))).error?.code).toBe('MR1047')
    expect((await world.send(ndjson([event('a')], ref(1)))).status).toBe(200)
    expect(await world.values()).toHaveLength(limits.producerAnswers + 1)
  })

  test('is told when its session expired, and never has a late first request taken twice', async () => {
    const world = await begun()
    const epoch = world.now
    await world.send(ndjson([event('a')], ref(0, epoch)))
    world.world.clockSkewMs = limits.producerSessionMs + 10_000
    expect((await world.send(ndjson([event('b')], ref(1, epoch)))).error?.code).toBe('MR1046')
    expect((await world.send(ndjson([event('a')], ref(0, epoch)))).error?.code).toBe('MR1046')
    expect((await world.send(ndjson([event('c')], ref(0, world.now)))).status).toBe(200)
    expect((await world.records()).map((record) => record.key).toSorted()).toEqual(['a', 'c'])
  })

  test('opens again with a higher epoch, which shuts the older one out', async () => {
    const world = await begun()
    await world.send(ndjson([event('a')], ref(0, 1)))
    expect((await world.send(ndjson([event('b')], ref(0, 2)))).status).toBe(200)
    expect((await world.send(ndjson([event('c')], ref(1, 1)))).error?.code).toBe('MR1045')
    expect((await world.records()).map((record) => record.key).toSorted()).toEqual(['a', 'b'])
  })

  test('uses no sequence number for a body that is refused as a whole', async () => {
    const world = await begun()
    expect((await world.send(ndjson([''], ref(0)))).error?.code).toBe('MR1028')
    expect((await world.send(ndjson([event('a')], ref(0)))).status).toBe(200)
  })

  test('is refused when there are too many others, until sessions expire', async () => {
    const world = await begun({ sessionBytes: 8_000 })
    let sent = 0
    while ((await world.send(ndjson([event('a')], ref(0, 0, `p${sent}`)))).status === 200) sent++
    expect(sent).toBeGreaterThan(3)
    expect((await world.send(ndjson([event('a')], ref(0, 0, 'new')))).error?.code).toBe('MR1049')
    expect((await world.send(ndjson([event('a')], ref(1, 0, 'p0')))).status).toBe(200)
    world.world.clockSkewMs = limits.producerSessionMs + 60_000
    expect((await world.send(ndjson([event('a')], ref(0, 0, 'new')))).status).toBe(200)
  })

  test('has every request stored exactly once, whatever is repeated and killed', async () => {
    const step = fc.constantFrom('send', 'send', 'send and kill', 'kill', 'repeat')
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(step, { maxLength: 25 }),
        fc.nat(40),
        async (seed, steps, killAfter) => {
          const world = new PushWorld(seed)
          await world.begin()
          let next = 0
          const request = (n: number): IngestRequest =>
            ndjson([event(`e${n}`), event(`f${n}`)], ref(n))
          for (const what of steps) {
            if (what === 'kill') {
              world.kill()
              await world.begin()
            } else if (what === 'repeat' && next > 0) {
              expect((await world.send(request(next - 1))).accepted).toBe(2)
            } else if (what === 'send and kill') {
              void world.runner!.submit(0, request(next))
              await world.world.advance(killAfter / 100)
              world.kill()
              await world.begin()
            } else {
              expect(await world.send(request(next))).toMatchObject({ status: 200, accepted: 2 })
              next++
            }
          }
          // What a kill left open is repeated until it is answered, as a producer does it.
          expect((await world.send(request(next))).accepted).toBe(2)
          const keys = (await world.records()).map((record) => record.key).toSorted()
          const expected = Array.from({ length: next + 1 }, (_, n) => [`e${n}`, `f${n}`]).flat()
          expect(keys).toEqual(expected.toSorted())
          const { counters } = world.runner!.report()[0]!
          expect(counters.emitted).toBe(keys.length)
        },
      ),
      { numRuns: 25 },
    )
  })
})

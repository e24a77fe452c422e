import { describe, expect, test } from 'vitest'
import { partitionOf } from '../core/hash.ts'
import { limits } from '../limits.ts'
import type { Writer } from '../log/log.ts'
import { schemaOf } from '../schema/of.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import {
  at,
  begun,
  event,
  lettersTopic,
  ndjson,
  readAnswer,
  rules,
  sessionsTopic,
  topic,
} from './ingest.fixture.ts'
import type { IngestRequest } from './ingest-request.ts'
import { IngestQueue } from './ingest-runner.ts'
import { IngestStage } from './ingest-stage.ts'

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
    expect((await world.records()).map((record) => String(record.key)).toSorted()).toEqual([
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

  test('is stored when it is exactly as large, or its key as long, as it may be', async () => {
    const world = await begun()
    const large = JSON.stringify(event('a', { x: '' }))
    const x = 'x'.repeat(limits.eventBytes - large.length)
    for (const one of [event('k'.repeat(limits.keyBytes)), event('a', { x })]) {
      const body = Buffer.from(JSON.stringify(one))
      expect(await world.send({ body, format: 'json' })).toMatchObject({ status: 200, accepted: 1 })
    }
    const spaces = (count: number): Buffer => Buffer.from('[]'.padStart(count))
    const whole = await world.send({ body: spaces(limits.bodyInflatedBytes), format: 'json' })
    expect(whole).toMatchObject({ status: 200, accepted: 0 })
    const more = await world.send({ body: spaces(limits.bodyInflatedBytes + 1), format: 'json' })
    expect(more).toMatchObject({ status: 413, error: { code: 'MR1030' } })
  })

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
    expect(stored.map((record) => record.partition).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
    expect(stored.every((record) => Math.abs(record.timestamp - world.now) < 100)).toBe(true)
  })

  test('is refused when the validator throws', async () => {
    const validate = (value: unknown): { value: unknown } => {
      if ((value as { id: string }).id === 'worse') throw new Error('no')
      return { value }
    }
    const schema = schemaOf({ '~standard': { version: 1, vendor: 'test', validate } })
    const world = await begun({ rules: { ...rules, schema } })
    const answer = await world.send(ndjson([event('worse'), event('good')]))
    expect(answer.verdicts?.map((verdict) => verdict.code)).toEqual(['MR1021'])
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

  test('what is in a commit when it stops is not said to be refused, nor counted', async () => {
    const world = await begun()
    await world.stop()
    const runner = world.runner!
    await world.until(runner.open())
    const decided = runner.submit(0, ndjson([event('a')]))
    const queued = runner.submit(0, ndjson([event('b')]))
    runner.step({ rows: 1, bytes: 1_000 })
    expect(runner.report()[0]!.counters).toMatchObject({ read: 0, emitted: 0 })
    void runner.close()
    const answers = [readAnswer(await decided), readAnswer(await queued)]
    expect(answers.map(({ error }) => error?.code)).toEqual(['MR1042', 'MR1041'])
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

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { begun, event, ndjson, PushWorld, readAnswer, sessionsTopic } from './ingest.fixture.ts'
import type { ReadAnswer } from './ingest.fixture.ts'
import { sessionStoreSpec } from './ingest-sessions.ts'
import type { IngestRequest, ProducerRef } from './ingest-request.ts'

test('a stored session that is cut or holds no numbers is refused, and not guessed', () => {
  const { codec } = sessionStoreSpec(1e6)
  const answers = [{ sequence: 1, status: 200, body: new Uint8Array(9) }]
  const bytes = codec.encode({ epoch: 1, next: 2, seen: 3, answers })
  expect(codec.decode(bytes)).toEqual({ epoch: 1, next: 2, seen: 3, answers })
  for (let length = 0; length < bytes.length; length++)
    if (length !== 24) expect(() => codec.decode(bytes.slice(0, length))).toThrow(/MR4011/)
  new DataView(bytes.buffer).setFloat64(8, NaN, true)
  expect(() => codec.decode(bytes)).toThrow(/MR4011/)
})

const ref = (sequence: number, epoch = 0, id = 'p'): ProducerRef => ({ id, epoch, sequence })

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
    expect((await world.records()).map((record) => String(record.key)).toSorted()).toEqual([
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
    expect((await world.records()).map((record) => String(record.key)).toSorted()).toEqual([
      'a',
      'c',
    ])
  })

  test('opens again with a higher epoch, which shuts the older one out', async () => {
    const world = await begun()
    await world.send(ndjson([event('a')], ref(0, 1)))
    expect((await world.send(ndjson([event('b')], ref(0, 2)))).status).toBe(200)
    expect((await world.send(ndjson([event('c')], ref(1, 1)))).error?.code).toBe('MR1045')
    expect((await world.records()).map((record) => String(record.key)).toSorted()).toEqual([
      'a',
      'b',
    ])
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
          const keys = (await world.records()).map((record) => String(record.key)).toSorted()
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

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { errorAnswer, outcomeAnswer, refusalAnswer } from '../process/ingest-request.ts'
import type { IngestAnswer, Verdict } from '../process/ingest-request.ts'
import { admit, answered } from '../process/ingest-sessions.ts'
import type { Session } from '../process/ingest-sessions.ts'
import { producer } from './index.ts'
import type { EventResult, Producer, ProducerOptions } from './index.ts'

type Fate = 'ok' | 'lost before' | 'lost after' | 'busy' | 'slow' | 'forget' | 'wipe'

interface Event {
  readonly n: number
  readonly bad?: boolean
}

const longestDelivery = 5_000

/** An engine that keeps sessions as the real one does, behind a network with a script. */
class ModelEngine {
  readonly stored: number[] = []
  readonly bodies: number[] = []
  fates: Fate[] = []
  maxEvents = Infinity
  readonly #env: SimulatedEnv
  readonly #sessions = new Map<string, Session>()

  constructor(env: SimulatedEnv) {
    this.#env = env
  }

  readonly fetch = async (_url: string, init: RequestInit): Promise<Response> => {
    const fate = this.fates.shift() ?? 'ok'
    if (fate === 'slow') await this.#aborted(init)
    await this.#env.timers.sleep(2)
    if (fate === 'lost before') throw new Error('connection refused')
    if (fate === 'forget') this.#forget()
    if (fate === 'wipe') this.#sessions.clear()
    const answer = fate === 'busy' ? refusalAnswer('MR1039', 'It is busy.') : this.#take(init)
    if (fate === 'lost after') throw new Error('connection reset')
    const headers =
      answer.retryAfterSeconds === undefined
        ? {}
        : { 'retry-after': String(answer.retryAfterSeconds) }
    return new Response(Buffer.from(answer.body).toString(), { status: answer.status, headers })
  }

  /** As the real one, only what is older than any request can still be under way. */
  #forget(): void {
    for (const [id, { seen }] of this.#sessions) {
      if (this.#env.clock.now() - seen > longestDelivery) this.#sessions.delete(id)
    }
  }

  #take(init: RequestInit): IngestAnswer {
    const headers = new Headers(init.headers)
    const id = headers.get('millrace-producer') ?? ''
    const ref = {
      id,
      epoch: Number(headers.get('millrace-epoch')),
      sequence: Number(headers.get('millrace-sequence')),
    }
    const now = this.#env.clock.now()
    const admission = admit(this.#sessions.get(id), ref, now)
    if (admission.result === 'repeat') return admission.answer
    if (admission.result === 'refused')
      return refusalAnswer(admission.refusal.code, admission.refusal.what)
    const text = Buffer.from(init.body as Uint8Array).toString()
    const events = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Event)
    if (events.length > this.maxEvents)
      return errorAnswer(new MillraceError('MR1029', 'It has too many events.'))
    this.bodies.push(events.length)
    const verdicts: Verdict[] = []
    for (const [index, event] of events.entries()) {
      if (event.bad === true) verdicts.push({ index, code: 'MR1021', message: 'It is bad.' })
      else this.stored.push(event.n)
    }
    const outcome = {
      accepted: events.length - verdicts.length,
      deadLettered: 0,
      verdicts,
      single: false,
    }
    const answer = outcomeAnswer(outcome)
    this.#sessions.set(id, answered(this.#sessions.get(id), ref, answer, now))
    return answer
  }

  #aborted(init: RequestInit): Promise<never> {
    return new Promise((_resolve, reject) => {
      init.signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
    })
  }
}

interface World {
  readonly world: Simulation
  readonly engine: ModelEngine
  readonly make: (options?: Partial<ProducerOptions>) => Producer<Event>
  readonly until: <T>(promise: Promise<T>) => Promise<T>
}

function newWorld(seed = 1): World {
  const world = new Simulation({ seed, order: 'fifo' })
  const env = world.env('client')
  const engine = new ModelEngine(env)
  const machine = { fetch: engine.fetch, clock: env.clock, random: env.random, timers: env.timers }
  const make = (options: Partial<ProducerOptions> = {}): Producer<Event> =>
    producer<Event>({ url: 'http://127.0.0.1:7171', topic: 'events', machine, ...options })
  const until = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false
    promise.then(
      () => (settled = true),
      () => (settled = true),
    )
    await world.runUntil(() => settled, { withinMs: 1e9 })
    return promise
  }
  return { world, engine, make, until }
}

async function sendAll(from: Producer<Event>, events: readonly Event[]): Promise<EventResult[]> {
  const results: Promise<EventResult>[] = []
  for (const event of events) results.push((await from.send(event)).result)
  return Promise.all(results)
}

const numbered = (count: number): Event[] => Array.from({ length: count }, (_, n) => ({ n }))

describe('a producer', () => {
  test('has every acknowledged event stored exactly once, in order, whatever the network does', async () => {
    const fate = fc.constantFrom<Fate>('ok', 'lost before', 'lost after', 'busy', 'slow')
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fate, { maxLength: 30 }),
        fc.integer({ min: 1, max: 30 }),
        async (seed, fates, batchEvents) => {
          const { engine, make, until } = newWorld(seed)
          engine.fates = [...fates]
          const events = numbered(60).map((event) =>
            event.n % 7 === 3 ? { ...event, bad: true } : event,
          )
          const from = make({ batchEvents, deliveryMs: 10_000_000, requestMs: 1_000 })
          const results = await until(sendAll(from, events))
          expect(results.map((result) => result.status)).toEqual(
            events.map((event) => (event.bad === true ? 'refused' : 'acknowledged')),
          )
          expect(engine.stored).toEqual(
            events.filter((event) => event.bad !== true).map((event) => event.n),
          )
          expect(from.counters).toMatchObject({ sent: 60, acknowledged: 51, refused: 9, failed: 0 })
        },
      ),
      { numRuns: 100 },
    )
  })

  test('has no event stored twice, and none lost that it acknowledged, even when sessions are forgotten', async () => {
    const fate = fc.constantFrom<Fate>(
      'ok',
      'ok',
      'lost before',
      'lost after',
      'busy',
      'slow',
      'forget',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fate, { maxLength: 30 }),
        fc.integer({ min: 1, max: longestDelivery }),
        async (seed, fates, deliveryMs) => {
          const { world, engine, make, until } = newWorld(seed)
          engine.fates = [...fates]
          const events = numbered(40)
          const from = make({ batchEvents: 7, deliveryMs, requestMs: 500 })
          const results: EventResult[] = []
          for (let at = 0; at < events.length; at += 10) {
            results.push(...(await until(sendAll(from, events.slice(at, at + 10)))))
            await world.advance(2 * longestDelivery)
          }
          for (const { n } of events) {
            const times = engine.stored.filter((stored) => stored === n).length
            if (results[n]!.status === 'acknowledged') expect(times).toBe(1)
            expect(times).toBeLessThanOrEqual(1)
          }
          expect(engine.stored).toEqual(engine.stored.toSorted((a, b) => a - b))
        },
      ),
      { numRuns: 200 },
    )
  })

  test('fills batches by count and by bytes, and waits for no more than the linger time', async () => {
    const { world, engine, make, until } = newWorld()
    const from = make({ batchEvents: 10, lingerMs: 20 })
    await until(sendAll(from, numbered(25)))
    expect(engine.bodies).toEqual([10, 10, 5])
    const before = world.scheduler.now
    await until(sendAll(from, numbered(1)))
    expect(world.scheduler.now - before).toBeLessThan(30)
    const small = make({ batchBytes: 40, lingerMs: 20 })
    await until(sendAll(small, numbered(10)))
    expect(Math.max(...engine.bodies.slice(4))).toBeLessThanOrEqual(5)
  })

  test('lets a sender wait while its queue is full', async () => {
    const { world, engine, make, until } = newWorld()
    engine.fates = Array.from({ length: 5 }, (): Fate => 'busy')
    const from = make({ queueBytes: 100, batchEvents: 5 })
    let sent = 0
    const sending = (async () => {
      for (const event of numbered(50)) {
        await from.send(event)
        sent++
      }
    })()
    await world.advance(1_000)
    expect(sent).toBeGreaterThan(5)
    expect(sent).toBeLessThan(20)
    await until(sending)
    await until(from.close())
    expect(engine.stored).toEqual(numbered(50).map((event) => event.n))
  })

  test('keeps the order of senders that wait, also where a small event would fit before a large one', async () => {
    const { engine, make, until } = newWorld()
    const from = make({ queueBytes: 100, batchEvents: 1 })
    const sizes = [60, 60, 5, 60, 5, 5]
    const events = sizes.map((size, n) => ({ n, filler: 'x'.repeat(size) }))
    await until(Promise.all(events.map((event) => from.send(event))))
    await until(from.close())
    expect(engine.stored).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('sends at once when it is flushed, and takes nothing once it is closed', async () => {
    const { world, engine, make, until } = newWorld()
    const from = make({ lingerMs: 10_000 })
    const queued = await from.send({ n: 1 })
    await until(from.flush())
    expect(await queued.result).toEqual({ status: 'acknowledged' })
    expect(world.scheduler.now).toBeLessThan(100)
    await until(from.flush())
    await from.send({ n: 2 })
    await until(from.close())
    expect(engine.stored).toEqual([1, 2])
    await expect(from.send({ n: 3 })).rejects.toMatchObject({ code: 'MR6050' })
  })

  test('gives up when the time for delivery is over, and says that nobody knows', async () => {
    const { engine, make, until } = newWorld()
    engine.fates = Array.from({ length: 1_000 }, (): Fate => 'lost before')
    const from = make({ deliveryMs: 3_000 })
    const results = await until(sendAll(from, numbered(3)))
    expect(results.map((result) => result.status === 'failed' && result.error.code)).toEqual([
      'MR6051',
      'MR6051',
      'MR6051',
    ])
    engine.fates = []
    expect(await until(sendAll(from, [{ n: 9 }]))).toEqual([{ status: 'acknowledged' }])
    expect(from.counters).toMatchObject({ sent: 4, acknowledged: 1, failed: 3 })
  })

  test('opens a new session where the old one is gone, but not for what may be stored already', async () => {
    const { engine, make, until } = newWorld()
    const from = make()
    engine.fates = ['ok', 'wipe', 'ok', 'lost after', 'wipe']
    const results: EventResult[] = []
    for (const event of numbered(4)) results.push(...(await until(sendAll(from, [event]))))
    expect(results.map((result) => result.status)).toEqual([
      'acknowledged',
      'acknowledged',
      'failed',
      'acknowledged',
    ])
    expect(results[2]).toMatchObject({ error: { code: 'MR1046' } })
    expect(engine.stored).toEqual([0, 1, 2, 3])
  })

  test('halves a batch that is too much for the engine', async () => {
    const { engine, make, until } = newWorld()
    engine.maxEvents = 3
    const results = await until(sendAll(make({ batchEvents: 20 }), numbered(20)))
    expect(results.every((result) => result.status === 'acknowledged')).toBe(true)
    expect(engine.stored).toEqual(numbered(20).map((event) => event.n))
  })

  test('stops when another of its name took over', async () => {
    const { engine, make, until } = newWorld()
    const first = make({ id: 'same' })
    await until(sendAll(first, [{ n: 1 }]))
    await new Promise<void>((resolve) => resolve())
    const later = make({ id: 'same' })
    await until(sendAll(later, [{ n: 2 }]))
    const [result] = await until(sendAll(first, [{ n: 3 }]))
    expect(result?.status === 'failed' && result.error.code).toBe('MR1045')
    expect(engine.stored).toEqual([1, 2])
  })

  test('refuses by itself what cannot be an event', async () => {
    const { make, until } = newWorld()
    const from = producer<unknown>({ url: 'http://127.0.0.1:1', topic: 't' })
    const bad = [undefined, 'x'.repeat(limits.eventBytes)]
    const codes = await Promise.all(bad.map(async (event) => (await from.send(event)).result))
    expect(codes).toMatchObject([
      { status: 'refused', code: 'MR1001' },
      { status: 'refused', code: 'MR1020' },
    ])
    expect(() => make({ url: 'ftp://x' })).toThrow(/MR6052.*url/)
    expect(() => make({ batchEvents: 0 })).toThrow(/MR6052.*batchEvents/)
    expect(() => make({ id: 'a b' })).toThrow(/MR6052.*id/)
    await until(make().close())
  })
})

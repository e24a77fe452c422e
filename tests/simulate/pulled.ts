/**
 * An engine that reads from a source by itself, which is away now and then or stands until somebody has looked, and is
 * killed meanwhile: each event once, in order, or a dead letter (I1, I2, I4).
 */
import { MillraceError, pipeline } from '../../src/index.ts'
import { memory } from '../../src/sources/memory.ts'
import type { Source } from '../../src/sources/source.ts'
import { SeededRandom, SimulatedEngine, Simulation } from '../../src/testing/index.ts'
import { letGoOn, letStand } from './hand.ts'
import { TopicWalk } from './observer.ts'
import { violation, Violation } from './violation.ts'

interface Reading {
  readonly id: string
  readonly n: number
  readonly at: number
}

const schema = {
  type: 'object',
  properties: { id: { type: 'string' }, n: { type: 'integer' }, at: { type: 'number' } },
  required: ['id', 'n', 'at'],
} as const

/** What is no event, each of its own kind. */
const bad = [
  '{"id":7,"n":1,"at":0}',
  '{"id":"a","n":1}',
  '{"id":"a"',
  '{"id":"a","n":1,"at":"soon"}',
]

/** Undefined where everything is as it must be. */
export async function pulled(seed: number): Promise<Violation | undefined> {
  const random = new SeededRandom(seed, 'pulled')
  const simulation = new Simulation({ seed, traceLines: 1 })
  const source = memory<Reading>()
  let calm = false
  const from = moody(source, simulation.random('source'), () => calm)
  const engine = new SimulatedEngine({
    simulation,
    pipelines: [
      pipeline('pulled', (p) => {
        p.stream('readings', { schema, key: 'id', time: 'at', partitions: 4, from })
          .filter(({ n }) => n % 2 === 0)
          .to(p.topic('even'))
      }),
    ],
    workers: 1 + random.int(3),
    log: { segmentBytes: 9_000, checkpointBytes: 5_000, reserve: { low: 0, high: 0 } },
    limits: {
      commitIntervalMs: 1 + random.int(20),
      step: { rows: 1 + random.int(50), bytes: 1 << 20 },
    },
  })
  const sent: Reading[] = []
  let refused = 0
  const more = (): void => {
    for (let i = random.int(40); i > 0; i--) {
      const reading = { id: `id-${random.int(6)}`, n: sent.length, at: sent.length }
      if (random.chance(0.1)) {
        source.addBytes(new TextEncoder().encode(bad[random.int(bad.length)]))
        refused++
      } else {
        source.add(reading)
        sent.push(reading)
      }
    }
  }
  const walk = new TopicWalk()
  const env = simulation.env('outside', simulation.disk('elsewhere'))
  const drive = (until: () => boolean): Promise<void> =>
    simulation.runUntil(until, { withinMs: 600_000, turns: 1_000_000 })
  const pass = async (ms: number): Promise<void> => {
    const then = env.clock.monotonic() + ms
    env.timers.after(ms, () => undefined)
    await drive(() => env.clock.monotonic() >= then)
  }
  const disk = simulation.disk()
  let operated = true
  const operate = async (): Promise<void> => {
    while (operated) {
      await env.timers.sleep(random.int(200))
      for (const { id, status } of engine.report()) {
        if (status === 'failed' || status === 'paused') letGoOn(engine, id)
        else if (random.chance(0.1)) letStand(engine, id)
      }
    }
  }
  try {
    engine.start()
    void operate()
    for (let troubles = random.int(16); troubles > 0; troubles--) {
      more()
      await pass(random.int(300))
      more()
      await pass(random.int(300))
      const luck = random.int(6)
      if (luck === 0) engine.killWorker(0)
      else if (luck === 1) engine.freezeWorker(0, random.int(50))
      else if (luck === 2) {
        disk.capacityBytes = disk.usedBytes + random.int(2_000)
        await pass(random.int(200))
        disk.capacityBytes = 2 ** 40
      } else {
        let stopped = luck !== 3
        if (luck === 3) void engine.stop().then(() => (stopped = true))
        else if (luck === 4) engine.kill()
        else engine.powerCut()
        await drive(() => stopped)
        engine.start()
      }
    }
    more()
    source.end()
    calm = true
    const isOver = (): boolean =>
      engine
        .report()
        .some(({ id, status }) => id === 'ingest/readings/memory/0' && status === 'finished')
    await drive(isOver)
    operated = false
    await pass(500)
    for (const { id } of engine.report()) letGoOn(engine, id)
    // The task can be finished while others still open.
    await drive(() => engine.state !== 'starting')
    if (engine.state !== 'running')
      throw violation('I7', `the engine is ${engine.state}: ${String(engine.error)}`)
    const all = (topic: string): readonly { readonly text: string }[][] =>
      walk.records.get(topic) ?? []
    const count = (topic: string): number => all(topic).flat().length
    while (count('readings') < sent.length || count('pulled.dead-letters') < refused) {
      const before = walk.blocks.size
      await pass(2_000)
      let read = false
      void walk.read(engine.log!).then(() => (read = true))
      await drive(() => read)
      if (walk.blocks.size === before) break
    }
    compare('readings', all('readings'), sent)
    compare(
      'even',
      all('even'),
      sent.filter(({ n }) => n % 2 === 0),
    )
    if (count('pulled.dead-letters') !== refused)
      throw violation('I2', `${count('pulled.dead-letters')} dead letters of ${refused}`)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error
    return violation('I7', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
}

/** A source that is not always there. */
function moody(source: Source, random: SeededRandom, calm: () => boolean): Source {
  const maybe = (): void => {
    if (calm() || random.chance(0.9)) return
    if (random.chance(0.7)) throw new MillraceError('MR1060', 'It is away.')
    throw new MillraceError('MR1064', 'Somebody must look.')
  }
  return {
    ...source,
    open: (context) => {
      maybe()
      const reader = source.open!(context)
      const poll: typeof reader.poll = (events, bytes) => {
        maybe()
        return reader.poll(events, bytes)
      }
      return { poll, close: () => reader.close() }
    },
  }
}

/** By key, as each is in one partition. */
function compare(
  topic: string,
  partitions: readonly (readonly { readonly text: string }[])[],
  wanted: readonly Reading[],
): void {
  for (const id of new Set(wanted.map((reading) => reading.id))) {
    const numbers = wanted.filter((reading) => reading.id === id).map(({ n }) => n)
    const have = partitions
      .map((records) =>
        records
          .map(({ text }) => JSON.parse(text) as Reading)
          .filter((reading) => reading.id === id)
          .map(({ n }) => n),
      )
      .filter((found) => found.length > 0)
    if (have.length !== 1 || have[0]!.join() !== numbers.join())
      throw violation(
        'I2',
        `${topic} has of ${id}: ${have.join(' and ')}; expected ${numbers.join()}`,
      )
  }
}

/** Shedding in the whole engine, over its own log: killed, without power, with tasks that stood and leap over segments. */
import { expect, test } from 'vitest'
import { pipeline } from '../index.ts'
import type { ShedOptions } from '../index.ts'
import { TopicWalk } from '../../tests/simulate/observer.ts'
import { SimulatedEngine, Simulation } from '../testing/index.ts'

const Event = {
  type: 'object',
  properties: { id: { type: 'string' }, kind: { type: 'string' } },
  required: ['id', 'kind'],
} as const
type Policy = ShedOptions<{ id: string; kind: string }> | undefined

const partitions = 2
const maxLag = 6
const policies: readonly Policy[] = [
  undefined,
  { policy: 'drop-oldest', maxLag },
  { policy: 'sample', maxLag, keep: 0.3 },
  { policy: 'priority', maxLag, keep: { kind: 'order' } },
  { policy: 'drop-oldest', maxLag: 1_000_000 },
  { policy: 'sample', maxLag: 1_000_000, keep: 0.3 },
  { policy: 'priority', maxLag: 1_000_000, keep: { kind: 'order' } },
]

const definition = (shed: Policy) =>
  pipeline('p', { partitions }, (p) => {
    p.stream('events', { schema: Event, key: 'id', ...(shed === undefined ? {} : { shed }) })
      .filter(() => true)
      .to(p.topic('out'))
  })

/** Awaits something of the engine while its world goes on. */
async function within<T>(simulation: Simulation, promise: Promise<T>): Promise<T> {
  let done = false
  const over = (): void => void (done = true)
  promise.then(over, over)
  await simulation.runUntil(() => done)
  return promise
}

interface Seen {
  readonly id: string
  readonly kind: string
  readonly partition: number
  readonly offset: number
}

class World {
  readonly #simulation: Simulation
  readonly engine: SimulatedEngine
  readonly sent: { id: string; kind: string }[] = []
  #sequence = 0

  constructor(seed: number, shed: Policy) {
    this.#simulation = new Simulation({ seed })
    const log = { segmentBytes: 16_384 }
    const pipelines = [definition(shed)]
    this.engine = new SimulatedEngine({ simulation: this.#simulation, pipelines, log })
  }

  async start(): Promise<void> {
    this.engine.start()
    await this.#simulation.runUntil(() => this.engine.state === 'running')
  }

  /** Sends a body until it is acknowledged, and lets the engine die on the way. */
  async send(count: number, random: { int(below: number): number }): Promise<void> {
    const events = Array.from({ length: count }, (_, i) => ({
      id: `${this.sent.length + i}`,
      kind: random.int(4) === 0 ? 'order' : 'view',
    }))
    const producer = { id: 'p1', epoch: 1, sequence: this.#sequence++ }
    for (let status: number | undefined; status !== 200;) {
      const body = new TextEncoder().encode(JSON.stringify(events))
      this.engine.submit('events', { body, format: 'json', producer }, (answer) => {
        status = answer.status
      })
      await this.#simulation.advance(random.int(40))
      if (random.int(6) === 0) await this.#crash(random.int(3))
      else if (status === undefined) await this.#simulation.advance(100)
    }
    this.sent.push(...events)
  }

  /** All tasks have read all there is. */
  async finish(): Promise<void> {
    const total = this.sent.length
    const read = (): number =>
      this.engine
        .report()
        .filter(({ id }) => id.startsWith('p/events/'))
        .reduce((sum, { counters }) => sum + counters.read, 0)
    await this.#simulation.runUntil(() => read() === total)
  }

  async read(topic: string): Promise<Seen[]> {
    const walk = new TopicWalk()
    await within(this.#simulation, walk.read(this.engine.log!))
    return (walk.records.get(topic) ?? []).flatMap((records, partition) =>
      records.map(({ offset, text }) => {
        const { id, kind } = JSON.parse(text) as Seen
        return { id, kind, partition, offset }
      }),
    )
  }

  async #crash(how: number): Promise<void> {
    if (how === 0) this.engine.kill()
    else if (how === 1) this.engine.powerCut()
    else this.engine.killWorker(0)
    if (how < 2) await this.start()
    else await this.#simulation.runUntil(() => this.engine.state === 'running')
  }
}

const ids = (records: readonly { readonly id: string }[]): string[] => records.map(({ id }) => id)

test.each([1, 2, 3])(
  'what is not shed is worked on once, whatever dies (seed %i)',
  async (seed) => {
    for (const shed of policies) {
      const world = new World(seed, shed)
      const random = new Simulation({ seed }).random('course')
      await world.start()
      for (let body = 0; body < 25; body++) {
        // A task that stood for long has whole segments to leap over.
        if (body === 8) world.engine.pause('p/events/0')
        if (body === 18) void world.engine.resume('p/events/0')
        await world.send(1 + random.int(body > 8 && body < 18 ? 200 : 30), random)
      }
      await world.finish()
      const events = await world.read('events')
      expect(ids(events).toSorted()).toEqual(ids(world.sent).toSorted())
      const out = await world.read('out')
      const there = new Set(ids(out))
      for (let partition = 0; partition < partitions; partition++) {
        const all = events.filter((one) => one.partition === partition)
        // Each once, and in order.
        const kept = all.filter(({ id }) => there.has(id))
        expect(ids(out.filter((one) => one.partition === partition))).toEqual(ids(kept))
        const end = all.length
        if (shed !== undefined)
          expect(ids(all.slice(end - shed.maxLag)).filter((id) => !there.has(id))).toEqual([])
      }
      if (shed?.policy === 'priority')
        expect(events.filter(({ id, kind }) => kind === 'order' && !there.has(id))).toEqual([])
      let left = 0
      for (const { id, counters } of world.engine.report()) {
        if (!id.startsWith('p/events/')) continue
        expect(counters.processed + counters.shed).toBe(counters.read)
        left += counters.shed
      }
      expect(left).toBe(events.length - out.length)
      if (shed?.maxLag === maxLag) expect(left).toBeGreaterThan(100)
      else expect(left).toBe(0)
    }
  },
)

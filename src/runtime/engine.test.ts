import { describe, expect, test } from 'vitest'
import { pipeline } from '../index.ts'
import { memory } from '../sinks/index.ts'
import { SimulatedEngine, Simulation } from '../testing/index.ts'
import type { SimulatedEngineOptions, ThreadFault } from '../testing/index.ts'

const Event = {
  type: 'object',
  properties: { id: { type: 'string' }, n: { type: 'integer' } },
  required: ['id', 'n'],
} as const

/** An engine whose function does something else than return where `n` is 7. */
class World {
  readonly simulation = new Simulation({ seed: 1 })
  readonly lines: string[] = []
  readonly sink = memory()
  readonly engine: SimulatedEngine

  constructor(fault: ThreadFault = 'exit', options: Partial<SimulatedEngineOptions> = {}) {
    const { simulation, sink } = this
    this.engine = new SimulatedEngine({
      simulation,
      pipelines: [
        pipeline('p', (p) => {
          p.stream('events', { schema: Event, key: 'id', partitions: 2 })
            .filter(({ n }) => n !== 7 || this.engine.endThread(fault), { name: 'checked' })
            .to(sink)
        }),
      ],
      config: { watchdogMs: 1_000 },
      onLog: (level, _fields, message) => void this.lines.push(`${level} ${message}`),
      ...options,
    })
  }

  async start(): Promise<void> {
    this.engine.start()
    await this.until(() => this.engine.state === 'running')
  }

  until(done: () => boolean): Promise<void> {
    return this.simulation.runUntil(done)
  }

  async send(...numbers: number[]): Promise<void> {
    for (const n of numbers) {
      let status = 0
      const body = new TextEncoder().encode(JSON.stringify({ id: 'a', n }))
      this.engine.submit('events', { body, format: 'json' }, (answer) => (status = answer.status))
      await this.until(() => status !== 0)
      if (status !== 200) throw new Error(`event ${n} was answered with ${status}`)
    }
  }

  get arrived(): number[] {
    return this.sink.rows.map((row) => Number(row['n']))
  }

  counter(name: 'processed' | 'deadLettered'): number {
    const tasks = this.engine.report().filter(({ id }) => id.startsWith('p/events/'))
    return tasks.reduce((sum, { counters }) => sum + counters[name], 0)
  }
}

describe('the engine', () => {
  test.each([
    ['exit', 'ended by itself'],
    ['throw', 'failed with "Error: thrown where nobody catches it"'],
    ['out of memory', 'MiB of heap'],
    ['hang', 'showed no progress for 1000 ms'],
  ] as const)(
    'finds out the record at which a function does this: %s; it alone becomes a dead letter (I2)',
    async (fault, says) => {
      const world = new World(fault)
      await world.start()
      await world.send(1, 2)
      world.engine.submit(
        'events',
        { body: new TextEncoder().encode('{"id":"a","n":7}\n{"id":"a","n":3}'), format: 'ndjson' },
        () => undefined,
      )
      await world.until(() => world.counter('deadLettered') === 1 && world.arrived.length === 3)
      await world.send(4)
      await world.until(() => world.arrived.length === 4)
      expect(world.arrived).toEqual([1, 2, 3, 4])
      const deaths = world.lines.filter((line) => line.includes(says))
      // The second time at this task it goes on record by record, and the third is at that record.
      expect(deaths.length).toBe(3)
      expect(deaths[2]).toContain('at p/events/')
      expect(deaths[2]).toContain('offset 2')
      expect(world.engine.supervisor?.status().workers.map(({ restarts }) => restarts)).toContain(3)
    },
  )

  test('leaves paused what an operator paused, also after a power cut, until it is resumed', async () => {
    const world = new World()
    await world.start()
    world.engine.pause('p')
    const tasks = world.engine.supervisor?.steering.paused ?? []
    expect(tasks).toContain('p/events/0')
    world.engine.powerCut()
    await world.start()
    expect(world.engine.supervisor?.steering.paused).toEqual(tasks)
    expect(world.lines.some((line) => line.includes('Still paused'))).toBe(true)
    await world.send(1)
    await world.simulation.advance(5_000)
    expect(world.arrived).toEqual([])
    void world.engine.resume('p')
    await world.until(() => world.arrived.length === 1)
    expect(world.engine.supervisor?.steering.paused).toEqual([])
  })

  test('ends when a worker stands that nothing can end (MR6015), and all is well in the next process', async () => {
    const world = new World()
    await world.start()
    await world.send(1)
    expect(world.engine.stickWorker(0)).toBe(true)
    await world.until(() => world.engine.state === 'failed')
    expect(String(world.engine.error)).toContain('MR6015')
    await world.start()
    await world.send(2)
    await world.until(() => world.arrived.length === 2)
  })

  test('says that it is stopping, and that it has stopped', async () => {
    const world = new World()
    await world.start()
    const supervisor = world.engine.supervisor!
    expect(supervisor.status().state).toBe('ready')
    let stopped = false
    void world.engine.stop().then(() => (stopped = true))
    expect(supervisor.status().state).toBe('stopping')
    await world.until(() => stopped)
    expect(world.lines).toContain('info Stopped.')
  })

  test('that has failed is not stopped by being stopped', async () => {
    const world = new World()
    await world.start()
    const supervisor = world.engine.supervisor!
    world.engine.stickWorker(0)
    let state: string | undefined
    void supervisor.ended.then(() => {
      void supervisor.stop()
      ;({ state } = supervisor.status())
    })
    await world.until(() => state !== undefined)
    expect(state).toBe('failed')
  })

  test('that was killed is stopped already', async () => {
    const world = new World()
    await world.start()
    world.engine.kill()
    let stopped = false
    void world.engine.stop().then(() => (stopped = true))
    await world.until(() => stopped)
  })

  test('waits longer between the deaths of a worker, and answers meanwhile that it is not ready', async () => {
    const world = new World('exit', { workers: 1 })
    await world.start()
    const waits: number[] = []
    for (let i = 0; i < 10; i++) {
      world.engine.killWorker(0)
      await world.until(() => world.engine.state !== 'running')
      expect(world.engine.supervisor?.notReady([]).join()).toContain('Worker 0 is waiting')
      const from = world.simulation.nowMs
      await world.until(() => world.engine.state === 'running')
      waits.push(Math.floor((world.simulation.nowMs - from) / 100) * 100)
    }
    expect(waits).toEqual([0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
  })
})

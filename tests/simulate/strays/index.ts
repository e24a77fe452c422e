/**
 * A run of its own beside each seed's: senders, functions and sinks that fail in every way there is, an operator who sends
 * dead letters back, and crashes all the while. Nothing is lost or doubled: what cannot go on is a dead letter that says why.
 */
import type { PipelineDefinition } from '../../../src/index.ts'
import type { Position } from '../../../src/log/log.ts'
import { planOf } from '../../../src/plan/index.ts'
import type { Plan } from '../../../src/plan/plan.ts'
import {
  dropLetters,
  isReplayable,
  openLetters,
  replayLetters,
} from '../../../src/runtime/admin/letters.ts'
import {
  SeededRandom,
  SimulatedEngine,
  Simulation,
  SimulationStuck,
} from '../../../src/testing/index.ts'
import { Chaos } from '../chaos.ts'
import { positionsOf } from '../check.ts'
import { draw } from '../config.ts'
import type { Config } from '../config.ts'
import { letGoOn, letStand } from '../hand.ts'
import { TopicWalk } from '../observer.ts'
import { noTally } from '../tally.ts'
import type { Tally } from '../tally.ts'
import { violation, Violation } from '../violation.ts'
import { checkStrays } from './check.ts'
import { drawStrays, strayPipelines, straySinks } from './pipeline.ts'
import type { StraysConfig, StraySinks } from './pipeline.ts'
import { Sender } from './sender.ts'
import { checkShed, drawShedding, shedEvent, shedGroup, shedPipeline } from './shed.ts'
import type { Shedding } from './shed.ts'
import { checkShort, feed, shortGroup, shortPipeline } from './short.ts'
import type { StrayLedger } from './sender.ts'

export interface StraysResult {
  readonly tally: Tally
  readonly violation: Violation | undefined
  readonly traceHash: string
}

export async function strays(seed: number): Promise<StraysResult> {
  const run = new Run(seed)
  const found = await run.all().then(
    () => undefined,
    (error: unknown) => asViolation(error),
  )
  return { tally: run.tally, violation: found, traceHash: run.simulation.trace.hash }
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return violation('I7', error instanceof Error ? (error.stack ?? error.message) : String(error))
}

class Run {
  readonly simulation: Simulation
  readonly tally: Tally = noTally()
  readonly #config: Config
  readonly #strays: StraysConfig
  readonly #shedding: Shedding
  readonly #random: SeededRandom
  readonly #sinks: StraySinks
  readonly #plans: readonly Plan[]
  readonly #engine: SimulatedEngine
  readonly #chaos: Chaos
  readonly #sleep: (ms: number) => Promise<void>
  readonly #ledger: StrayLedger = { accepted: [], refused: [], lettered: [] }
  readonly #short = shortPipeline()
  #steering = true
  #asked: unknown

  constructor(seed: number) {
    const random = new SeededRandom(seed, 'strays')
    this.#random = random
    this.#strays = drawStrays(random)
    this.#shedding = drawShedding(random)
    const drawn = draw(random)
    this.#config = { ...drawn, crashes: Math.min(drawn.crashes, 15), pauses: false }
    const simulation = new Simulation({ seed: `strays ${seed}`, traceLines: 1 })
    this.simulation = simulation
    const env = simulation.env('outside', simulation.disk('elsewhere'))
    this.#sleep = (ms) => env.timers.sleep(ms)
    const calm = (): boolean => !this.#steering
    const roadRandom = simulation.random('road')
    this.#sinks = straySinks(simulation.random('sinks'), calm, {
      random: roadRandom,
      faults: () => (calm() ? 0 : this.#config.sinkFaults),
      sleep: this.#sleep,
      tally: this.tally,
    })
    const pipelines = [
      ...strayPipelines(this.#strays, this.#sinks, simulation.random('functions')),
      this.#short.pipeline,
      shedPipeline(this.#shedding),
    ]
    this.#plans = pipelines.map((each: PipelineDefinition) => planOf(each))
    const { checkpointBytes, snapshotBytes, commitIntervalMs, stepRows, workers } = this.#config
    this.#engine = new SimulatedEngine({
      simulation,
      pipelines,
      workers,
      log: {
        segmentBytes: 16_384,
        checkpointBytes,
        reserve: { low: 0, high: 0 },
        retentionCheckMs: 300,
      },
      limits: { commitIntervalMs, step: { rows: stepRows, bytes: 1 << 20 } },
      snapshotBytes,
    })
    this.#chaos = new Chaos({
      simulation,
      engine: this.#engine,
      config: this.#config,
      tally: this.tally,
      start: () => this.#engine.start(),
      sleep: this.#sleep,
    })
  }

  async all(): Promise<void> {
    const { simulation } = this
    this.#engine.start()
    let crashing = true
    const chaos = this.#chaos.run().finally(() => (crashing = false))
    const senders = ['s1', 's2'].map(
      (id) => new Sender(id, simulation, this.#engine, this.#strays, this.#ledger),
    )
    const sent = senders.map((sender) => sender.run(10, () => crashing))
    const feeder = simulation.env('feeder', simulation.disk('elsewhere'))
    const fed = ['short', 'shed'].map(async (topic) => {
      if (topic === 'short') await this.#begun(shortGroup)
      const random = simulation.random(topic)
      return feed(this.#engine, feeder, random, topic, shedEvent, () => crashing)
    })
    void this.#operate()
    // Pauses are hours.
    await this.#drive('senders and crashes', Promise.all([chaos, ...fed, ...sent]), 400 * 3_600_000)
    this.#chaos.end()
    if (this.#engine.state === 'down') this.#engine.start()
    this.#steering = false
    await this.#drive('catching up', this.#settled(), 600_000)
    const walk = new TopicWalk((topic) => topic === 'short')
    let positions: ReadonlyMap<string, readonly Position[]> = new Map()
    const read = async (): Promise<void> => {
      const log = this.#engine.log!
      await walk.read(log)
      const groups = new Map(await positionsOf(log, this.#plans))
      for (const { id } of this.#plans.flatMap(({ delivers }) => delivers))
        groups.set(`${id}.replay`, await log.positions(`${id}.replay`))
      positions = groups
    }
    await this.#drive('reading everything', read(), 600_000)
    checkStrays({
      records: walk.records,
      positions,
      config: this.#strays,
      ledger: this.#ledger,
      sinks: this.#sinks,
    })
    const [short = 0, shed = 0] = await Promise.all(fed)
    checkShort(this.#short, short, positions.get(shortGroup) ?? [])
    checkShed(walk.records, this.#shedding, shed, positions.get(shedGroup) ?? [])
    this.tally.events = this.#ledger.accepted.length
    this.tally.torn = this.#engine.counts.torn
    this.tally.snapshots = this.#engine.counts.snapshots
    await this.#drive('stopping', this.#engine.stop(), 600_000)
  }

  async #drive(what: string, task: Promise<unknown>, withinMs: number): Promise<void> {
    let ended = false
    void task.finally(() => (ended = true)).catch(() => undefined)
    const done = (): boolean => {
      const { state, error } = this.#engine
      if (!this.#chaos.mayFail && (state === 'failed' || error !== undefined))
        throw violation('I7', `the engine ended by itself during ${what}: ${String(error)}`)
      return ended
    }
    try {
      await this.simulation.runUntil(done, { withinMs, turns: 3_000_000 })
    } catch (stuck) {
      if (!(stuck instanceof SimulationStuck)) throw stuck
      const tasks = this.#engine
        .report()
        .map(({ id, status, lag, error }) => `${id} ${status} ${lag} ${error?.message ?? ''}`)
      throw violation('I7', `${what}: ${stuck.message}\n${tasks.join('\n')}`)
    }
    await task
  }

  /** Until the log has its place: a sink begins with what there is when it first runs, and lost nothing before. */
  async #begun(group: string): Promise<void> {
    let begun = false
    while (!begun) {
      await this.#sleep(20)
      // A process that dies under it never answers.
      const positions = this.#engine.log?.positions(group)
      positions?.then(({ length }) => (begun ||= length > 0)).catch(() => undefined)
    }
  }

  /** An operator pauses tasks, has those go on that stand, and dead letters go back or be forgotten. */
  async #operate(): Promise<void> {
    const random = this.#random
    while (this.#steering) {
      await this.#sleep(random.int(500))
      const luck = random.int(3)
      const tasks = this.#engine.report()
      if (luck === 0 && tasks.length > 0) {
        const short = random.chance(0.4)
        const left = random.pick([shortGroup, shedGroup])
        const id = short ? `${left}/0` : tasks[random.int(tasks.length)]!.id
        if (letStand(this.#engine, id)) this.tally.paused++
        await this.#sleep(random.int(short ? 1_500 : 100))
        letGoOn(this.#engine, id)
      } else if (luck === 1) {
        for (const { id, status } of tasks)
          if (status === 'behind-retention' || status === 'failed') letGoOn(this.#engine, id)
      } else this.#resolve(this.#plans[random.int(this.#plans.length)]!)
    }
  }

  #resolve(plan: Plan): void {
    const { log, env } = this.#engine
    // A process that dies under it never answers: only the next one is asked anew.
    if (log === undefined || env === undefined || log === this.#asked) return
    this.#asked = log
    const random = this.#random
    const resolve = async (): Promise<void> => {
      const query = { from: random.int(20), limit: 1 + random.int(8) }
      const { letters } = await openLetters({ log, timers: env.timers }, plan, query)
      const writer = await log.open('letters')
      const context = { log, writer, plan, now: env.clock.now() }
      try {
        if (random.chance(0.05)) await dropLetters(context, letters)
        else {
          const back = letters.filter((letter) => isReplayable(plan, letter))
          this.tally.replayed += await replayLetters(context, back)
        }
      } finally {
        await writer.close()
      }
    }
    const done = (): void => void (this.#asked = undefined)
    void resolve().then(done, done)
  }

  /** Everything is read, and nothing new comes. */
  async #settled(): Promise<void> {
    for (let quiet = 0; quiet < 500; quiet += 50) {
      await this.#sleep(50)
      const tasks = this.#engine.report()
      const idle = tasks.every(({ id, lag, status }) => {
        // A sink that failed at its last delivery is said to be tried again until there is another.
        const goes = status === 'running' || status === 'retrying'
        if (!goes) letGoOn(this.#engine, id)
        return goes && (lag === 0 || id.startsWith('ingest/'))
      })
      if (this.#engine.state !== 'running' || tasks.length === 0 || !idle) quiet = 0
    }
  }
}

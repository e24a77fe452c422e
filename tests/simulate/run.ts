/** One seed: a pipeline, producers, crashes; then the faults end, everything must catch up, and all of it is checked. */
import { partitionOf } from '../../src/core/hash.ts'
import type { PipelineDefinition } from '../../src/index.ts'
import {
  SeededRandom,
  SimulatedEngine,
  Simulation,
  SimulationStuck,
} from '../../src/testing/index.ts'
import type { CrashKind } from '../../src/testing/index.ts'
import { checkAll, positionsOf } from './check.ts'
import type { Final } from './check.ts'
import { draw } from './config.ts'
import type { Config } from './config.ts'
import { Observer, TopicWalk } from './observer.ts'
import { simulatedPipeline } from './pipeline.ts'
import { Producer } from './producers.ts'
import type { Ledger } from './producers.ts'
import { outlets } from './sinks.ts'
import type { Outlets } from './sinks.ts'
import { violation, Violation } from './violation.ts'

export interface Tally {
  kills: number
  powerCuts: number
  workerKills: number
  stops: number
  /** Times the disk was full, and times it failed. */
  full: number
  failures: number
  /** Crashes that came while the log thread was in the middle of disk work. */
  midWrite: number
  /** Crashes that came before the engine was up again. */
  inRecovery: number
  /** Recoveries that found a torn tail. */
  torn: number
  snapshots: number
  events: number
}

export interface RunResult {
  readonly seed: number
  readonly config: Config
  readonly tally: Tally
  readonly violation: Violation | undefined
  readonly traceHash: string
  readonly trace: readonly string[]
  /** Of the engine's disk. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly walk: TopicWalk
}

/** Everything follows from the seed; `change` overrides what it drew. */
export async function runSeed(seed: number, change: Partial<Config> = {}): Promise<RunResult> {
  const config = { ...draw(new SeededRandom(seed, 'config')), ...change }
  const run = new Run(seed, config)
  const failed = await run.all().then(
    () => undefined,
    (error: unknown) => asViolation(error),
  )
  const { simulation, tally, final } = run
  return {
    seed,
    config,
    tally,
    violation: failed,
    traceHash: simulation.trace.hash,
    trace: simulation.trace.last,
    contents: simulation.disk().contents(),
    walk: final,
  }
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return violation('none', error instanceof Error ? (error.stack ?? error.message) : String(error))
}

class Run {
  readonly simulation: Simulation
  readonly tally: Tally = {
    kills: 0,
    powerCuts: 0,
    workerKills: 0,
    stops: 0,
    full: 0,
    failures: 0,
    midWrite: 0,
    inRecovery: 0,
    torn: 0,
    snapshots: 0,
    events: 0,
  }
  final = new TopicWalk()
  readonly #config: Config
  readonly #engine: SimulatedEngine
  readonly #sinks: Outlets
  readonly #ledger: Ledger = new Map()
  readonly #plans = new Map<string, string>()
  readonly #observer = new Observer()
  readonly #random: SeededRandom
  readonly #sleep: (ms: number) => Promise<void>
  /** A fault is under way that the engine answers by ending. */
  #mayFail = false

  constructor(seed: number, config: Config) {
    this.#config = config
    const simulation = new Simulation({ seed })
    this.simulation = simulation
    this.#random = simulation.random('chaos')
    this.#sinks = outlets(simulation.random('sinks'), config.sinkFaults)
    const definition: PipelineDefinition = simulatedPipeline(config, this.#sinks)
    const { segmentBytes, checkpointBytes, snapshotBytes, commitIntervalMs, stepRows, workers } =
      config
    this.#engine = new SimulatedEngine({
      simulation,
      pipelines: [definition],
      workers,
      log: { segmentBytes, checkpointBytes, reserve: { low: 0, high: 0 }, retentionCheckMs: 300 },
      limits: { commitIntervalMs, step: { rows: stepRows, bytes: 1 << 20 } },
      snapshotBytes,
    })
    const env = simulation.env('chaos', simulation.disk('elsewhere'))
    this.#sleep = (ms) => env.timers.sleep(ms)
  }

  /** Runs a task of the world outside while virtual time passes; nothing of the engine may fail meanwhile. */
  async #drive(what: string, task: Promise<unknown>, withinMs = 600_000): Promise<void> {
    let ended = false
    void task.finally(() => (ended = true)).catch(() => undefined)
    const done = (): boolean => {
      if (this.#observer.error !== undefined) throw this.#observer.error
      if (!this.#mayFail && (this.#engine.state === 'failed' || this.#engine.error !== undefined)) {
        throw violation(
          'I7',
          `the engine ended by itself during ${what}: ${String(this.#engine.error)}`,
        )
      }
      return ended
    }
    try {
      await this.simulation.runUntil(done, { withinMs, turns: 3_000_000 })
    } catch (stuck) {
      if (!(stuck instanceof SimulationStuck)) throw stuck
      const tasks = this.#engine.report().filter(({ id }) => !id.startsWith('ingest/'))
      const shown = tasks.map(
        ({ id, status, lag, watermark, error }) =>
          `${id} ${status} ${lag} ${watermark} ${error?.message ?? ''}`,
      )
      throw violation('I7', `${what}: ${stuck.message}\n${this.#engine.state}\n${shown.join('\n')}`)
    }
    await task
  }

  async all(): Promise<void> {
    const { producers, plain, bodies, crashes } = this.#config
    this.#engine.start(this.#workers())
    void this.#observer.run(this.#engine, this.#sleep)
    await this.#drive('loading the tables', this.#loadTables())
    const outside = {
      simulation: this.simulation,
      engine: this.#engine,
      config: this.#config,
      ledger: this.#ledger,
    }
    const all = Array.from(
      { length: producers },
      (_, i) => new Producer(outside, `p${i + 1}`, true),
    )
    if (plain) all.push(new Producer(outside, 'plain', false))
    let crashing = true
    const chaos = this.#chaos().finally(() => (crashing = false))
    const work = Promise.all([
      ...all.map((producer) => producer.run(bodies, () => crashing)),
      chaos,
    ])
    // Pauses are hours.
    const pausesMs = (2 + crashes) * 3 * 3_600_000
    await this.#drive('producers and crashes', work, pausesMs)
    await this.#drive('healing', this.#heal())
    await this.#drive('the last events', this.#close(new Producer(outside, 'end', true)))
    await this.#drive(
      'catching up',
      this.#settled(),
      this.#config.closing === 'end' ? 60_000 : 7_200_000,
    )
    if (this.#random.chance(0.5)) {
      await this.#drive('reopening', this.#reopen())
      await this.#drive('catching up again', this.#settled())
    }
    this.tally.events = this.#ledger.size
    this.tally.snapshots = this.#engine.counts.snapshots
    this.tally.torn = this.#engine.counts.torn
    this.#observer.stop()
    const final = await this.#final()
    this.#observer.check(final.walk)
    checkAll(final, this.#engine.plans[0]!, this.#config, this.#ledger, this.#plans, this.#sinks)
    await this.#drive('stopping', this.#engine.stop())
  }

  #workers(): number {
    return this.#config.changeWorkers ? 1 + this.#random.int(4) : this.#config.workers
  }

  /** The tables are there before the first event is: what is looked up then follows from the model alone. */
  async #loadTables(): Promise<void> {
    const { simulation } = this
    const outside = {
      simulation,
      engine: this.#engine,
      config: { ...this.#config, lostAnswers: 0 },
      ledger: new Map(),
    }
    // A producer counts its requests per topic: one for each.
    const users = new Producer(outside, 'loader-users', true)
    const sections = new Producer(outside, 'loader-sections', true)
    for (let i = 0; i < this.#config.users; i++) {
      if (this.#random.chance(0.3)) continue
      const row = { user: `user-${i}`, plan: this.#random.pick(['free', 'paid']) }
      this.#plans.set(row.user, row.plan)
      await users.send('users', [row])
    }
    for (let i = 0; this.#config.lookup && i < this.#config.pages; i++) {
      if (this.#random.chance(0.3)) continue
      const row = { page: `page-${i}`, section: `section-${this.#random.int(3)}` }
      this.#plans.set(row.page, row.section)
      await sections.send('sections', [row])
    }
    await this.#until(() => this.#engine.report().every(({ lag }) => lag === 0))
    await this.#sleep(200)
  }

  /** Crashes, one after another, now and then before the engine is up again. */
  async #chaos(): Promise<void> {
    const random = this.#random
    let again = false
    for (let i = 0; i < this.#config.crashes; i++) {
      if (again) {
        await this.#crash(random.chance(0.4) ? 'kill' : 'power', 25)
        again = await this.#restart(random.chance(0.3))
        continue
      }
      await this.#sleep(random.int(this.#config.gapMs))
      await this.#until(() => this.#engine.state === 'running')
      const luck = random.float()
      if (luck < 0.25) {
        const slots = [0, 1, 2, 3].filter((slot) => this.#engine.phase(slot) !== undefined)
        await this.#killWorker(slots[random.int(Math.max(1, slots.length))] ?? 0)
        continue
      }
      if (luck < 0.32) {
        await this.#diskFull()
        continue
      }
      if (luck < 0.4) await this.#diskFails()
      else if (luck < 0.46) {
        await this.#engine.stop()
        this.tally.stops++
      } else {
        await this.#crash(random.chance(0.5) ? 'kill' : 'power', random.chance(0.7) ? 40 : 0)
      }
      again = await this.#restart(random.chance(0.35))
    }
  }

  /** True when the next crash is to come in the middle of starting. */
  async #restart(again: boolean): Promise<boolean> {
    await this.#sleep(this.#random.int(40))
    if (this.#config.pauses && this.#random.chance(0.3)) {
      // Longer than what is between two stages is kept, unless the second of them has not read it.
      this.simulation.scheduler.spend(2 * 3_600_000)
      this.simulation.clockSkewMs = (this.#random.float() - 0.5) * 3_600_000
    }
    this.#engine.start(this.#workers())
    this.#mayFail = false
    return again
  }

  /** Most of them while a commit is on its way: it may arrive when the next one has taken over. */
  async #killWorker(slot: number): Promise<void> {
    const random = this.#random
    let victim = slot
    if (random.chance(0.7)) {
      const disk = this.simulation.disk()
      let written = (): void => undefined
      const writing = new Promise<void>((resolve) => (written = resolve))
      disk.hook = (operation, path) => {
        if (operation === 'write' && path.endsWith('.seg')) written()
        return undefined
      }
      await Promise.race([writing, this.#sleep(100)])
      disk.hook = undefined
      // Its answer may be sent already, and not have arrived.
      if (random.chance(0.7)) await this.#sleep(random.float() * 0.3)
      const slots = [0, 1, 2, 3].filter((i) => this.#engine.phase(i) === 'committing')
      victim = slots[random.int(Math.max(1, slots.length))] ?? slot
    }
    this.tally.workerKills += this.#engine.killWorker(victim) ? 1 : 0
  }

  /** There is hardly any space left, for a while. */
  async #diskFull(): Promise<void> {
    const disk = this.simulation.disk()
    disk.capacityBytes = disk.usedBytes + this.#random.int(2_000)
    await this.#sleep(this.#random.int(200))
    disk.capacityBytes = 2 ** 40
    this.tally.full++
  }

  /** The disk fails to write or sync once: the engine ends, and what it had not acknowledged may be there or not. */
  async #diskFails(): Promise<void> {
    this.#mayFail = true
    const on = this.#random.pick(['fdatasync', 'fdatasync', 'write'] as const)
    const nth = 1 + this.#random.int(8)
    const undo = this.simulation.disk().inject({ on, path: 'data/', nth, effect: { error: 'EIO' } })
    for (let waited = 0; this.#engine.state === 'running' && waited < 400; waited += 5)
      await this.#sleep(5)
    undo()
    if (this.#engine.state === 'failed') this.tally.failures++
    else this.#engine.kill()
    // Another process now, or the machine loses power before there is one.
    if (this.#random.chance(0.3)) this.simulation.disk().losePower()
  }

  /** At one of the next `within` operations that change the disk; now where that is 0, or so many do not come. */
  async #crash(kind: CrashKind, within: number): Promise<void> {
    const random = this.#random
    const engine = this.#engine
    const disk = this.simulation.disk()
    const inRecovery = engine.state === 'starting'
    if (within > 0) {
      let midWrite = false
      const nth = disk.changes + 1 + random.int(within)
      disk.hook = (_operation, _path, changes) => {
        if (changes < nth) return undefined
        midWrite = engine.writing
        disk.hook = undefined
        return { crash: kind }
      }
      for (let waited = 0; engine.state !== 'down' && waited < 400; waited += 5)
        await this.#sleep(5)
      disk.hook = undefined
      if (engine.state === 'down') return this.#count(kind, midWrite, inRecovery)
    }
    this.#count(kind, engine.writing, inRecovery)
    if (kind === 'kill') engine.kill()
    else engine.powerCut()
  }

  #count(kind: CrashKind, midWrite: boolean, inRecovery: boolean): void {
    if (kind === 'kill') this.tally.kills++
    else this.tally.powerCuts++
    if (midWrite) this.tally.midWrite++
    if (inRecovery) this.tally.inRecovery++
  }

  async #heal(): Promise<void> {
    this.simulation.disk().hook = undefined
    if (this.#engine.state === 'down') this.#engine.start(this.#workers())
    await this.#until(() => this.#engine.state === 'running')
    this.#observer.everyMs = 100
  }

  /** A last event in every partition, so far ahead that every window closes. */
  async #close(producer: Producer): Promise<void> {
    const { closing, partitions } = this.#config
    if (closing === 'idle') return
    const at = this.simulation.startMs + 2 * 86_400_000
    const open = new Set(Array.from({ length: partitions }, (_, i) => i))
    for (let i = 0; open.size > 0; i++) {
      const user = `end-${i}`
      if (!open.delete(partitionOf(new TextEncoder().encode(user), partitions))) continue
      const event = { id: `end-${i}`, user, page: 'end', kind: 'view', value: 1, at }
      const sent = { event, producer: producer.id, nth: i, outcome: 'unknown' as const }
      this.#ledger.set(event.id, sent)
      await producer.send('events', [event], [sent])
    }
  }

  /** Every window is closed, everything is read, nothing new comes. */
  async #settled(): Promise<void> {
    const { rules } = this.#config
    const events = [...this.#ledger.values()].filter(
      ({ event, producer }) => producer !== 'end' && event.kind === 'view',
    )
    const slack = Math.max(
      rules.pages.sizeMs + rules.pages.latenessMs,
      rules.users.sizeMs + rules.users.latenessMs,
    )
    const target = Math.max(...events.map(({ event }) => event.at), 0) + slack
    const tasksInAll = this.#engine.plans[0]!.stages.reduce(
      (all, { partitions }) => all + partitions,
      0,
    )
    await this.#until(() => {
      const tasks = this.#engine.report()
      const closed = tasks.filter(({ watermark }) => watermark !== undefined && watermark > target)
      return closed.length === tasksInAll
    }, 100)
    await this.#until(() =>
      this.#engine.report().every(({ id, lag }) => lag === 0 || id.startsWith('ingest/')),
    )
    const { trace } = this.simulation
    for (let quiet = 0, seen = -1; quiet < 300; quiet += 50) {
      const before = trace.count
      await this.#sleep(50)
      const { size } = this.#observer.walk.blocks
      if (this.#config.closing === 'end' && size !== seen) quiet = 0
      // With nothing to do, four workers take a handful of steps.
      else if (size === seen && trace.count - before > 1_000) {
        throw violation(
          'I7',
          `all is quiet, and something spins: ${trace.count - before} events in 50 ms`,
        )
      }
      seen = size
    }
    await this.#until(() =>
      this.#engine.report().every(({ id, lag }) => lag === 0 || id.startsWith('ingest/')),
    )
  }

  async #reopen(): Promise<void> {
    if (this.#random.chance(0.5)) await this.#engine.stop()
    else this.#engine.kill()
    this.#engine.start(1 + this.#random.int(4))
    await this.#until(() => this.#engine.state === 'running')
  }

  async #final(): Promise<Final> {
    const log = this.#engine.log
    if (log === undefined) throw violation('I7', 'the engine is not up')
    let positions: Final['positions'] = new Map()
    const read = async (): Promise<void> => {
      await this.final.read(log)
      positions = await positionsOf(log, this.#engine.plans[0]!)
    }
    await this.#drive('reading everything', read())
    return { walk: this.final, positions }
  }

  async #until(done: () => boolean, everyMs = 10): Promise<void> {
    while (!done()) await this.#sleep(everyMs)
  }
}

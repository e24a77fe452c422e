/** One seed: a pipeline, producers, crashes; then the faults end, everything must catch up, and all of it is checked. */
import type { Damage } from '../../src/log/embedded/inspect.ts'
import { partitionOf } from '../../src/core/hash.ts'
import type { Log } from '../../src/log/log.ts'
import {
  SeededRandom,
  SimulatedEngine,
  Simulation,
  SimulationStuck,
} from '../../src/testing/index.ts'
import { Chaos } from './chaos.ts'
import { checkAll, positionsOf } from './check.ts'
import type { Final } from './check.ts'
import { draw } from './config.ts'
import { checkFatal } from './fatal.ts'
import type { Config } from './config.ts'
import { Inside } from './inside.ts'
import { Observer, TopicWalk } from './observer.ts'
import { checkOwners } from './owners.ts'
import { Producer } from './producers.ts'
import type { Ledger } from './producers.ts'
import { readRotten, rotOne, scrubbed } from './rot.ts'
import { outlets } from './sinks.ts'
import type { Outlets } from './sinks.ts'
import { Steering } from './steering.ts'
import { Versions } from './versions.ts'
import { noTally } from './tally.ts'
import type { Tally } from './tally.ts'
import { violation, Violation } from './violation.ts'

export interface RunResult {
  readonly seed: number
  readonly config: Config
  readonly tally: Tally
  readonly violation: Violation | undefined
  readonly traceHash: string
  readonly trace: readonly string[]
  /** What was done to the disk, by kind. */
  readonly faults: ReadonlyMap<string, number>
  /** Of the engine's disk. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly walk: TopicWalk
}

/** Everything follows from the seed; `change` overrides what it drew. */
export async function runSeed(
  seed: number,
  change: Partial<Config> = {},
  traceLines = 200,
): Promise<RunResult> {
  const config = { ...draw(new SeededRandom(seed, 'config')), ...change }
  const run = new Run(seed, config, traceLines)
  const failed = await run
    .all()
    .then(() => checkOwners(run.simulation.disk().contents()))
    .then(
      () => undefined,
      (error: unknown) => asViolation(error),
    )
  const { simulation, tally, final } = run
  const disk = simulation.disk()
  return {
    seed,
    config,
    tally,
    violation: failed,
    traceHash: simulation.trace.hash,
    trace: simulation.trace.last,
    contents: disk.contents(),
    faults: disk.counts,
    walk: final,
  }
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error
  return violation('none', error instanceof Error ? (error.stack ?? error.message) : String(error))
}

function endedDuring(what: string, error: unknown): Violation {
  return violation('I7', `the engine ended by itself during ${what}: ${String(error)}`)
}

class Run {
  readonly simulation: Simulation
  readonly tally: Tally = noTally()
  final = new TopicWalk()
  readonly #config: Config
  readonly #engine: SimulatedEngine
  readonly #sinks: Outlets
  readonly #versions: Versions
  readonly #ledger: Ledger = new Map()
  /** What the tables hold, by key. */
  readonly #tables = new Map<string, string>()
  readonly #observer = new Observer()
  readonly #random: SeededRandom
  readonly #sleep: (ms: number) => Promise<void>
  readonly #chaos: Chaos
  readonly #steering: Steering
  readonly #inside: Inside
  #error: Error | undefined

  constructor(seed: number, config: Config, traceLines: number) {
    this.#config = config
    const simulation = new Simulation({ seed, traceLines })
    this.simulation = simulation
    this.#random = simulation.random('chaos')
    const env = simulation.env('chaos', simulation.disk('elsewhere'))
    this.#sleep = (ms) => env.timers.sleep(ms)
    this.#sinks = outlets(config.shape, {
      random: simulation.random('sinks'),
      faults: () => (this.#chaos.calm ? 0 : config.sinkFaults),
      sleep: this.#sleep,
      tally: this.tally,
    })
    const versions = new Versions(
      config,
      this.#sinks.sinks,
      simulation.random('versions'),
      (fault) => this.#engine.endThread(fault),
    )
    this.#versions = versions
    const { segmentBytes, checkpointBytes, snapshotBytes, commitIntervalMs, stepRows, workers } =
      config
    this.#engine = new SimulatedEngine({
      simulation,
      pipelines: versions.pipelines,
      workers,
      log: { segmentBytes, checkpointBytes, reserve: { low: 0, high: 0 }, retentionCheckMs: 300 },
      limits: { commitIntervalMs, step: { rows: stepRows, bytes: 1 << 20 } },
      snapshotBytes,
      // Often enough for lives of a few milliseconds.
      config: { watchdogMs: 200, scrubBytesPerSecond: 2 ** 20, scrubEveryMs: 60_000 },
      onOpen: (log: Log) => versions.opened(log),
      onLog: (_level, fields, message) => this.#heard(fields, message),
    })
    this.#steering = new Steering(simulation, this.#engine, config, this.#sleep, this.tally)
    this.#inside = new Inside(simulation, this.#engine, config, this.#ledger, this.#sleep)
    this.#chaos = new Chaos({
      simulation,
      engine: this.#engine,
      config,
      tally: this.tally,
      start: () => this.#start(),
      sleep: this.#sleep,
    })
  }

  /** Runs a task of the world outside while virtual time passes; nothing of the engine may fail meanwhile. */
  async #drive(what: string, task: Promise<unknown>, withinMs = 600_000): Promise<void> {
    let ended = false
    void task.finally(() => (ended = true)).catch(() => undefined)
    const done = (): boolean => {
      const told = this.#error ?? this.#observer.error ?? this.#steering.error ?? this.#inside.error
      if (told !== undefined) throw told
      if (!this.#chaos.mayFail && this.#engine.error !== undefined) {
        throw endedDuring(what, this.#engine.error)
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
    this.#start()
    void this.#observer.run(this.#engine, this.#sleep, () => this.#chaos.mayFail)
    await this.#drive('loading the tables', this.#loadTables())
    const outside = {
      simulation: this.simulation,
      engine: this.#engine,
      config: this.#config,
      ledger: this.#ledger,
      tally: this.tally,
    }
    const all = Array.from(
      { length: producers },
      (_, i) => new Producer(outside, `p${i + 1}`, true),
    )
    if (plain) all.push(new Producer(outside, 'plain', false))
    let crashing = true
    const chaos = this.#chaos.run().finally(() => (crashing = false))
    const more = (): boolean => crashing
    const work = Promise.all([
      this.#steering.run(more),
      this.#inside.run(more),
      ...all.map((producer) => producer.run(bodies, more)),
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
    this.tally.reloads = this.#versions.changed
    this.tally.snapshots = this.#engine.counts.snapshots
    this.tally.torn = this.#engine.counts.torn
    this.tally.fatal = this.#engine.counts.ended
    this.tally.hung = this.#engine.counts.hung
    this.#observer.stop()
    const final = await this.#final()
    this.#observer.check(final.walk)
    checkAll(final, this.#config, this.#ledger, this.#tables, this.#sinks)
    if (this.#config.fatal) checkFatal(final.walk.records)
    if (this.#config.rot) await this.#rot()
    else await this.#drive('stopping', this.#engine.stop())
  }

  /** The engine may refuse to start over it, or a task to go on; what is given out is what was there. */
  async #rot(): Promise<void> {
    this.#chaos.mayFail = true
    this.#engine.kill()
    const disk = this.simulation.disk()
    const sound = await this.#scrub()
    if (sound.length > 0)
      throw violation('I6', `the scrub finds damage where there is none: ${sound[0]?.what}`)
    if (!rotOne(disk, this.#random)) return
    const found = await this.#scrub()
    this.#start()
    const up = async (): Promise<void> => {
      for (let waited = 0; this.#engine.state === 'starting' && waited < 500; waited += 10)
        await this.#sleep(10)
      const reported = await readRotten(this.#engine, this.final)
      if (reported && found.length === 0)
        throw violation('I6', 'the scrub did not find what somebody who reads it does')
    }
    await this.#drive('reading what has rotted', up())
  }

  async #scrub(): Promise<readonly Damage[]> {
    let damaged: readonly Damage[] = []
    const pass = async (): Promise<void> => void (damaged = await scrubbed(this.simulation))
    await this.#drive('reading it all again', pass())
    return damaged
  }

  /** What the engine writes to its log. */
  #heard(fields: { readonly code?: unknown; readonly skip?: unknown }, message: string): void {
    if (fields.skip !== undefined) this.tally.blamed++
    if (fields.code === 'MR2021' && !this.#chaos.mayFail)
      this.#error ??= violation('I6', `the scrub says of what is sound: ${message}`)
  }

  /** Now and then with another version of the pipeline. */
  #start(): void {
    const { changeWorkers, workers } = this.#config
    this.#engine.start(changeWorkers ? 1 + this.#random.int(4) : workers, this.#versions.next())
  }

  /** The tables are there before the first event is: what is looked up then follows from the model alone. */
  async #loadTables(): Promise<void> {
    const { simulation } = this
    const outside = {
      simulation,
      engine: this.#engine,
      config: { ...this.#config, lostAnswers: 0, lateCopies: 0 },
      ledger: new Map(),
      tally: this.tally,
    }
    // A producer counts its requests per topic: one for each.
    const users = new Producer(outside, 'loader-users', true)
    const sections = new Producer(outside, 'loader-sections', true)
    for (let i = 0; i < this.#config.users; i++) {
      if (this.#random.chance(0.3)) continue
      const row = { user: `user-${i}`, plan: this.#random.pick(['free', 'paid']) }
      this.#tables.set(row.user, row.plan)
      await users.send('users', [row])
    }
    for (let i = 0; i < this.#config.pages; i++) {
      if (this.#random.chance(0.3)) continue
      const row = { page: `page-${i}`, section: `section-${this.#random.int(3)}` }
      this.#tables.set(row.page, row.section)
      await sections.send('sections', [row])
    }
    await this.#until(() => this.#engine.report().every(({ lag }) => lag === 0))
    await this.#sleep(200)
  }

  async #heal(): Promise<void> {
    this.#chaos.end()
    if (this.#engine.state === 'down') this.#start()
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
    const events = [...this.#ledger.values()].filter(({ producer }) => producer !== 'end')
    let slack = 0
    for (const { step } of this.#config.shape)
      if (step.kind === 'aggregate') slack += step.sizeMs + step.latenessMs
    const target = Math.max(...events.map(({ event }) => event.at), 0) + slack
    const tasksInAll = this.#engine.plans[0]!.stages.reduce(
      (all, { partitions }) => all + partitions,
      0,
    )
    await this.#until(() => {
      const tasks = this.#engine.report()
      const closed = tasks.filter(
        ({ id, watermark }) =>
          id.startsWith('sim/') && watermark !== undefined && watermark > target,
      )
      return closed.length === tasksInAll
    }, 100)
    await this.#until(() => this.#allRead())
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
    await this.#until(() => this.#allRead())
  }

  /** Also by tasks of a worker that is being replaced, and has nothing to say. */
  #allRead(): boolean {
    const tasks = this.#engine.report().filter(({ id }) => !id.startsWith('ingest/'))
    const there = new Set(tasks.map(({ id }) => id))
    const shares = this.#engine.supervisor?.assignment.flat() ?? []
    const due = shares.flatMap(({ kind, id, partitions }) =>
      kind === 'ingest' ? [] : partitions.map((partition) => `${id}/${partition}`),
    )
    return due.every((id) => there.has(id)) && tasks.every(({ lag }) => lag === 0)
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
    const plans = [...new Set(this.#versions.opens.map(({ plan }) => plan))]
    let positions: Final['positions'] = new Map()
    const read = async (): Promise<void> => {
      await this.final.read(log)
      positions = await positionsOf(log, plans)
    }
    await this.#drive('reading everything', read())
    const versionAt = (partition: number, offset: number): number =>
      this.#versions.at(partition, offset)
    const version = this.#versions.changed
    return { walk: this.final, positions, versionAt, plans, version }
  }

  async #until(done: () => boolean, everyMs = 10): Promise<void> {
    while (!done()) await this.#sleep(everyMs)
  }
}

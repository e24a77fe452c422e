/**
 * The whole engine in one thread, under virtual time: the embedded log on a simulated disk, workers with their runners,
 * ingest above the socket, snapshots. Only threads and HTTP are missing; what runs is what runs in production.
 *
 *     const simulation = new Simulation({ seed: 1 })
 *     const engine = new SimulatedEngine({ simulation, pipelines: [pipeline] })
 *     engine.start()
 *     await simulation.runUntil(() => engine.state === 'running')
 *     engine.submit('events', { body, format: 'ndjson' }, (answer) => …)
 *     engine.kill()                     // or powerCut(), killWorker(0), or a crash injected into simulation.disk()
 *     engine.start()
 */
import { must } from '../core/assert.ts'
import { ProcessDied } from '../core/env/simulated/index.ts'
import type {
  CrashKind,
  SimulatedDisk,
  SimulatedEnv,
  Simulation,
} from '../core/env/simulated/index.ts'
import { LogClient, serveLog } from '../log/embedded/index.ts'
import type { EmbeddedLogOptions, LogHost, RecoveryReport } from '../log/embedded/index.ts'
import { runStepsByTurns } from '../log/embedded/steps.ts'
import type { DiskOp } from '../log/embedded/steps.ts'
import type { Log } from '../log/log.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { mergePlans, planOf } from '../plan/index.ts'
import type { Plan } from '../plan/plan.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import type { TaskReport } from '../process/runner.ts'
import { WatermarkBoard } from '../process/time/board.ts'
import type { WorkerLimits, WorkerPhase } from '../process/worker.ts'
import { assign } from '../runtime/assignment.ts'
import { IngestRouter } from '../runtime/ingest-router.ts'
import type { FromWorker, ToWorker } from '../runtime/messages.ts'
import { admitPlans, createTopics, nothingRuns } from '../runtime/plans.ts'
import { snapshotDirOf } from '../runtime/snapshots.ts'
import { SnapshotMaker } from '../state/snapshot.ts'
import { simulatedChannel } from './simulated-channel.ts'
import { SimulatedWorker } from './simulated-worker.ts'

export interface SimulatedEngineOptions {
  readonly simulation: Simulation
  readonly pipelines: readonly PipelineDefinition[]
  /** Default 2. */
  readonly workers?: number
  /** Default: the simulation's first disk. */
  readonly disk?: SimulatedDisk
  /** Default `data`. */
  readonly directory?: string
  readonly log?: Pick<
    EmbeddedLogOptions,
    'segmentBytes' | 'checkpointBytes' | 'reserve' | 'retentionCheckMs'
  >
  readonly limits?: Partial<WorkerLimits>
  /** Changelog bytes after which a snapshot is made. Default as in production. */
  readonly snapshotBytes?: number
  /** A worker that ended is started again after this. Default 0. */
  readonly restartMs?: number
  /** Called at each start when the log is open, topics are there, and nothing runs yet. */
  readonly onOpen?: (log: Log) => Promise<void>
}

/** `down`: it was killed, stopped, or never started. `failed`: it ended by itself; `error` says why. */
export type SimulatedState = 'down' | 'starting' | 'running' | 'failed'

export interface EngineCounts {
  opened: number
  torn: number
  snapshots: number
}

export class SimulatedEngine {
  /** Of the pipelines that run, or ran last. */
  plans: readonly Plan[]
  /** Since the first start: times the log was opened, those that found a torn tail, snapshots made. */
  readonly counts: EngineCounts = { opened: 0, torn: 0, snapshots: 0 }
  #options: SimulatedEngineOptions
  #life: Life | undefined

  constructor(options: SimulatedEngineOptions) {
    this.#options = options
    this.plans = options.pipelines.map(planOf)
  }

  get state(): SimulatedState {
    return this.#life?.state ?? 'down'
  }

  /** Why it failed, or why one of its runners did. */
  get error(): unknown {
    return this.#life?.error
  }

  /** The log as the main thread sees it: for readers outside. Undefined while it is not open. */
  get log(): Log | undefined {
    return this.#life?.env.alive === true ? this.#life.log : undefined
  }

  /** The main thread. */
  get env(): SimulatedEnv | undefined {
    return this.#life?.env
  }

  /** What recovery found at the last start. */
  get recovery(): RecoveryReport | undefined {
    return this.#life?.recovery
  }

  /** The log thread is in the middle of disk work. */
  get writing(): boolean {
    return this.#life?.writing ?? false
  }

  /** What a worker is doing; undefined where there is none at this moment. */
  phase(slot: number): WorkerPhase | undefined {
    return this.#life?.phase(slot)
  }

  /** Starts a process, from now on with these pipelines; it gets on as the simulation runs. */
  start(
    workers: number = this.#options.workers ?? 2,
    pipelines: readonly PipelineDefinition[] = this.#options.pipelines,
  ): void {
    if (this.#life?.env.alive === true)
      throw new Error('the engine is up: stop it or kill it first')
    if (pipelines !== this.#options.pipelines) {
      this.#options = { ...this.#options, pipelines }
      this.plans = pipelines.map(planOf)
    }
    this.#life = new Life(this.#options, this.plans, workers, this.counts)
    void this.#life.run()
  }

  /** Ends the process between two disk operations; what it wrote stays with the system. */
  kill(): void {
    this.#crash('kill')
  }

  /** Ends every process on its disk, and loses what was not synced. */
  powerCut(): void {
    this.#crash('power')
  }

  /** Ends one worker alone; another takes its place. False when there is none at this moment. */
  killWorker(slot: number): boolean {
    return this.#life?.killWorker(slot) ?? false
  }

  /**
   * Stops one worker for so long, and lets another take its place: the old one wakes up without knowing that it is
   * not the owner any more. False when there is none at this moment.
   */
  freezeWorker(slot: number, ms: number): boolean {
    return this.#life?.freezeWorker(slot, ms) ?? false
  }

  /** Lets a task stand until it is resumed, wherever it lives, or until the process ends. */
  pause(task: string): void {
    this.#life?.steer('pause', task)
  }

  resume(task: string): void {
    this.#life?.steer('resume', task)
  }

  /** Stops in good order. Resolves when the process has ended. */
  async stop(): Promise<void> {
    await this.#life?.stop()
  }

  /** What the HTTP front does with a body. `answered` is never called once the process died. */
  submit(topic: string, request: IngestRequest, answered: (answer: IngestAnswer) => void): void {
    this.#life?.submit(topic, request, answered)
  }

  /** How every task stands, of workers that are up. */
  report(): readonly TaskReport[] {
    try {
      return this.#life?.report() ?? []
    } catch (error) {
      // Asking reads from the disk, and there it may die.
      if (error instanceof ProcessDied) return []
      throw error
    }
  }

  #crash(kind: CrashKind): void {
    if (this.#life?.env.alive === true) this.#life.env.crash(kind)
  }
}

interface Slot {
  worker: SimulatedWorker | undefined
  running: boolean
  port: { post(message: ToWorker, transfer: ArrayBuffer[]): void } | undefined
  /** Resolves `stop`. */
  ended: (() => void) | undefined
}

/** Worker starts that fit between two openings of the log. */
const startsPerEpoch = 1_000_000

/** One process, from start to end. */
class Life {
  readonly env: SimulatedEnv
  log: LogClient | undefined
  recovery: RecoveryReport | undefined
  error: unknown
  writing = false
  readonly #options: SimulatedEngineOptions
  readonly #plans: readonly Plan[]
  readonly #counts: EngineCounts
  readonly #logEnv: SimulatedEnv
  readonly #boards: Record<string, SharedArrayBuffer> = {}
  readonly #slots: Slot[]
  readonly #paused = new Set<string>()
  readonly #assignment: ReturnType<typeof assign>
  readonly #router: IngestRouter
  #host: LogHost | undefined
  #logId = ''
  #started = false
  #stopping = false
  #failed = false
  #starts = 0

  constructor(
    options: SimulatedEngineOptions,
    plans: readonly Plan[],
    workers: number,
    counts: EngineCounts,
  ) {
    this.#counts = counts
    this.#options = options
    this.#plans = plans
    const { simulation, disk } = options
    this.env = simulation.env('engine', disk ?? simulation.disk())
    this.#logEnv = this.env.thread('log')
    this.#assignment = assign(mergePlans(plans), workers)
    this.#slots = this.#assignment.map(() => ({
      worker: undefined,
      running: false,
      port: undefined,
      ended: undefined,
    }))
    for (const { id, partitions } of plans.flatMap(({ stages }) => stages)) {
      this.#boards[id] = new SharedArrayBuffer(WatermarkBoard.bytes(partitions))
    }
    this.#router = new IngestRouter(
      () => this.env.clock.monotonic(),
      this.#assignment,
      (slot, message, transfer) => {
        const { running, port } = must(this.#slots[slot], 'the assignment names slots')
        if (!running || port === undefined) return false
        port.post(message, transfer)
        return true
      },
    )
  }

  get state(): SimulatedState {
    if (this.#failed) return 'failed'
    if (!this.env.alive) return 'down'
    return this.#started && this.#slots.every(({ running }) => running) ? 'running' : 'starting'
  }

  async run(): Promise<void> {
    try {
      await this.#openLog()
      const client = await LogClient.connect(this.env, this.#logPort(this.env))
      const planned = this.#plans.map((plan) => ({ url: `simulated:${plan.pipeline}`, plan }))
      const { pipelines } = await createTopics(client, admitPlans(planned))
      if (pipelines.some(({ error }) => error !== undefined)) throw nothingRuns(pipelines)
      await this.#options.onOpen?.(client)
      this.log = client
      for (const slot of this.#slots.keys()) this.#spawn(slot)
      void this.#makeSnapshots()
      this.#started = true
    } catch (error) {
      this.#fail(error)
    }
  }

  submit(topic: string, request: IngestRequest, answered: (answer: IngestAnswer) => void): void {
    if (!this.env.alive || !this.#started || this.#stopping) return
    void this.#router.submit(`ingest/${topic}`, request).then((answer) => {
      if (this.env.alive) answered(answer)
    })
  }

  report(): readonly TaskReport[] {
    return this.#slots.flatMap(({ worker }) => (worker?.env.alive === true ? worker.report() : []))
  }

  phase(number: number): WorkerPhase | undefined {
    return this.env.alive ? this.#slots[number]?.worker?.phase : undefined
  }

  killWorker(number: number): boolean {
    const slot = this.#slots[number]
    if (!this.env.alive || slot?.worker === undefined) return false
    this.#options.simulation.record(`${slot.worker.env.label} dies`)
    slot.worker.die()
    this.#gone(number)
    return true
  }

  freezeWorker(number: number, ms: number): boolean {
    const slot = this.#slots[number]
    if (!this.env.alive || this.#stopping || slot?.worker === undefined) return false
    slot.worker.env.freeze(ms)
    this.#gone(number)
    return true
  }

  steer(type: 'pause' | 'resume', task: string): void {
    if (!this.env.alive) return
    if (type === 'pause') this.#paused.add(task)
    else this.#paused.delete(task)
    for (const { port } of this.#slots) port?.post({ type, tasks: [task], id: 0 }, [])
  }

  async stop(): Promise<void> {
    this.#stopping = true
    const up = this.#slots.filter(({ worker }) => worker !== undefined)
    const ends = up.map((slot) => {
      const { port } = slot
      port?.post({ type: 'stop' }, [])
      return new Promise<void>((resolve) => (slot.ended = resolve))
    })
    await Promise.all(ends)
    this.log?.close()
    await this.#host?.stop()
    this.env.end()
  }

  async #openLog(): Promise<void> {
    const { directory = 'data', log = {} } = this.#options
    const env = this.#logEnv
    // A walk over the log reads thousands of heads and changes nothing: others run in between now and then.
    const turn = ({ name }: DiskOp): Promise<void> | undefined =>
      name === 'read' && env.random.float() < 0.95 ? undefined : env.timers.yield()
    const { host, report } = await serveLog({
      ...log,
      env,
      directory,
      drive: async (steps) => {
        this.writing = true
        const result = await runStepsByTurns(steps, turn)
        this.writing = false
        return result
      },
      onFailed: (error) => this.#fail(error),
    })
    this.#host = host
    this.recovery = report
    this.#counts.opened++
    if (report.tornBytes > 0) this.#counts.torn++
    this.#logId = Buffer.from(host.engine.log.uuid).toString('hex')
  }

  /** A channel to the log thread: the end for the other thread. */
  #logPort(env: SimulatedEnv): ReturnType<typeof simulatedChannel>[0] {
    const [here, there] = simulatedChannel(env, this.#logEnv)
    must(this.#host, 'the log is open').attach(there)
    return here
  }

  #spawn(number: number): void {
    const { pipelines, limits = {}, directory = 'data' } = this.#options
    const slot = must(this.#slots[number], 'a slot of the assignment')
    const env = this.env.thread(`worker-${number}`)
    const [mine, port] = simulatedChannel(this.env, env)
    const definitions = pipelines.map(
      (definition, i) => [definition.name, { definition, plan: this.#plans[i]! }] as const,
    )
    const worker = new SimulatedWorker({
      env,
      logPort: this.#logPort(env),
      port,
      slot: number,
      pipelines: new Map(definitions),
      limits,
      data: {
        epoch: must(this.recovery, 'the log is open').epoch * startsPerEpoch + this.#starts++,
        logId: this.#logId,
        dataDir: directory,
        shares: this.#assignment[number] ?? [],
        boards: this.#boards,
        careful: [],
        skip: [],
        paused: [...this.#paused],
      },
      onFailed: ({ error }) => (this.error ??= error),
      onEnd: (end) => {
        this.#options.simulation.record(`${env.label} ended: ${end.why}`)
        worker.die()
        if (slot.worker !== worker) return
        slot.ended?.()
        this.#gone(number)
      },
    })
    mine.onMessage((message) => {
      // An old worker that woke up is not listened to.
      if (slot.worker === worker) this.#receive(number, message as FromWorker)
    })
    slot.worker = worker
    slot.port = mine
    void worker.run().catch((error: unknown) => {
      if (env.alive) this.#fail(error)
    })
  }

  #receive(number: number, message: FromWorker): void {
    if (message.type === 'running')
      must(this.#slots[number], 'a slot of the assignment').running = true
    if (message.type === 'ingested') this.#router.answered(message.id, message.answer)
  }

  /** The worker is gone: what it was asked is answered, and another one takes its place. */
  #gone(number: number): void {
    const slot = must(this.#slots[number], 'a slot of the assignment')
    slot.worker = undefined
    slot.port = undefined
    slot.running = false
    this.#router.lost(number)
    if (this.#stopping) return
    this.env.timers.after(this.#options.restartMs ?? 0, () => this.#spawn(number))
  }

  async #makeSnapshots(): Promise<void> {
    const { directory = 'data', snapshotBytes } = this.#options
    const changelogs = mergePlans(this.#plans)
      .topics.filter(({ role }) => role === 'changelog')
      .map(({ name, partitions }) => ({ topic: name, partitions }))
    while (this.env.alive && !this.#stopping) {
      const env = this.env.thread('snapshots')
      const log = await LogClient.connect(env, this.#logPort(env))
      try {
        const maker = await SnapshotMaker.open(
          env,
          log,
          snapshotDirOf(directory),
          changelogs,
          snapshotBytes,
        )
        while (!this.#stopping) {
          this.#counts.snapshots += (await maker.round()).length
          await maker.wait(new AbortController().signal)
          // Rounds look at every changelog: not after every commit.
          await env.timers.sleep(50)
        }
      } catch (error) {
        // The thread ends, and another one takes its place: without snapshots all goes on.
        if (!env.alive) return
        this.#options.simulation.record(`${env.label} ended: ${String(error)}`)
        env.end()
        await this.env.timers.sleep(500)
      }
    }
  }

  /** What ends the process in production. */
  #fail(error: unknown): void {
    if (!this.env.alive) return
    this.#failed = true
    this.error = error
    this.#options.simulation.record(`${this.env.label} failed: ${String(error)}`)
    this.env.end()
  }
}

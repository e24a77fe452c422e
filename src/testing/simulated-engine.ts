/**
 * The whole engine in one thread, under virtual time: the supervisor, the embedded log on a simulated disk, workers with
 * their runners, ingest above the socket, snapshots, the scrub. Only sockets are missing, and threads are simulated; what
 * runs is what runs in production.
 *
 *     const simulation = new Simulation({ seed: 1 })
 *     const engine = new SimulatedEngine({ simulation, pipelines: [pipeline] })
 *     engine.start()
 *     await simulation.runUntil(() => engine.state === 'running')
 *     engine.submit('events', { body, format: 'ndjson' }, (answer) => …)
 *     engine.kill()                     // or powerCut(), killWorker(0), or a crash injected into simulation.disk()
 *     engine.start()
 */
import { ProcessDied } from '../core/env/simulated/index.ts'
import type {
  CrashKind,
  SimulatedDisk,
  SimulatedEnv,
  Simulation,
} from '../core/env/simulated/index.ts'
import { must } from '../core/assert.ts'
import { reviveError } from '../errors.ts'
import { serveLog } from '../log/embedded/index.ts'
import type { EmbeddedLogOptions, RecoveryReport } from '../log/embedded/index.ts'
import { runStepsByTurns } from '../log/embedded/steps.ts'
import type { DiskOp } from '../log/embedded/steps.ts'
import type { Log } from '../log/log.ts'
import type { Logger } from '../observe/logger.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { planOf } from '../plan/index.ts'
import type { Plan } from '../plan/plan.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import type { TaskReport } from '../process/runner.ts'
import type { WorkerLimits, WorkerPhase } from '../process/worker.ts'
import { readBeat } from '../runtime/beat.ts'
import { resolveConfig } from '../runtime/config.ts'
import type { EngineConfig } from '../runtime/config.ts'
import { Engine } from '../runtime/engine.ts'
import { runLog } from '../runtime/log-body.ts'
import type { LoadedPipeline } from '../runtime/load-pipeline.ts'
import type { FromSnapshotThread, FromWorker, WorkerThreadData } from '../runtime/messages.ts'
import { runPlanning } from '../runtime/plan-body.ts'
import { nothingRuns } from '../runtime/plans.ts'
import { runSnapshots } from '../runtime/snapshot-body.ts'
import { WorkerBody } from '../runtime/worker-body.ts'
import { SimulatedBeat, SimulatedThreads } from './simulated-threads.ts'
import type { Bodies, SimulatedThread, ThreadFault } from './simulated-threads.ts'

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
  /** Of what `start` takes, with its defaults. */
  readonly config?: Partial<
    Pick<EngineConfig, 'watchdogMs' | 'scrubBytesPerSecond' | 'scrubEveryMs'>
  >
  /** Called at each start when the log is open, topics are there, and nothing runs yet. */
  readonly onOpen?: (log: Log) => Promise<void>
  /** What it writes to its log. Default: only the trace of the simulation has it. */
  readonly onLog?: (level: keyof Logger, fields: object, message: string) => void
}

/** `down`: it was killed, stopped, or never started. `failed`: it ended by itself; `error` says why. */
export type SimulatedState = 'down' | 'starting' | 'running' | 'failed'

export interface EngineCounts {
  opened: number
  torn: number
  snapshots: number
  ended: number
  hung: number
}

export class SimulatedEngine {
  /** Of the pipelines that run, or ran last. */
  plans: readonly Plan[]
  /**
   * Since the first start: times the log was opened, those that found a torn tail, snapshots made, workers that user code
   * ended, and those that it held up.
   */
  readonly counts: EngineCounts = { opened: 0, torn: 0, snapshots: 0, ended: 0, hung: 0 }
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
    return this.supervisor?.log
  }

  /** What puts the threads together, as in production: status, reports, steering. Undefined while it is not up. */
  get supervisor(): Engine | undefined {
    return this.#life?.env.alive === true ? this.#life.engine : undefined
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

  /** Lets one worker stand for good: only the end of its process ends it. False when there is none at this moment. */
  stickWorker(slot: number): boolean {
    return this.#life?.stickWorker(slot) ?? false
  }

  /**
   * Called by user code of a pipeline that runs: what a function does that ends its thread, or does not return. What
   * comes after it in this function has no effect.
   */
  endThread(how: ThreadFault): never {
    const thread = must(this.#life?.working, 'user code runs')
    // What goes on in one that has ended is no more than the rest of a step.
    if (thread.env.alive) {
      this.counts[how === 'hang' ? 'hung' : 'ended']++
      thread.fault(how)
    }
    throw new Error(`Nothing comes after it: ${how}.`)
  }

  /** Lets what has this name stand until it is resumed, also in the next process. Durable when it returns. */
  pause(target: string): void {
    this.supervisor?.steering.pause(target)
  }

  /** Resolves when its workers have heard of it. */
  async resume(target: string): Promise<void> {
    await this.supervisor?.steering.resume(target)
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

interface RunningWorker {
  readonly thread: SimulatedThread
  readonly body: WorkerBody
  readonly data: WorkerThreadData
}

/** One process, from start to end. */
class Life {
  readonly env: SimulatedEnv
  engine: Engine | undefined
  recovery: RecoveryReport | undefined
  error: unknown
  writing = false
  /** Whose user code may run at this moment. */
  working: SimulatedThread | undefined
  readonly #options: SimulatedEngineOptions
  readonly #config: EngineConfig
  readonly #pipelines: ReadonlyMap<string, LoadedPipeline>
  readonly #counts: EngineCounts
  /** By slot, the last that was started. */
  readonly #workers = new Map<number, RunningWorker>()
  #stopping = false
  #failed = false

  constructor(
    options: SimulatedEngineOptions,
    plans: readonly Plan[],
    workers: number,
    counts: EngineCounts,
  ) {
    this.#counts = counts
    this.#options = options
    const { simulation, disk, directory = 'data', pipelines, limits = {}, config } = options
    this.env = simulation.env('engine', disk ?? simulation.disk())
    const { commitIntervalMs } = limits
    const asked = {
      dataDir: directory,
      workers,
      ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
    }
    const machine = { cores: workers, memoryBytes: 2 ** 40, cwd: '/' }
    this.#config = { ...resolveConfig(asked, machine), ...config }
    this.#pipelines = new Map(
      pipelines.map((definition, i) => [
        `simulated:${definition.name}`,
        { definition, plan: must(plans[i], 'every pipeline has a plan') },
      ]),
    )
  }

  get state(): SimulatedState {
    if (this.#failed) return 'failed'
    if (!this.env.alive) return 'down'
    return this.engine?.pool.running === true ? 'running' : 'starting'
  }

  async run(): Promise<void> {
    try {
      const engine = await Engine.open({
        env: this.env,
        config: this.#config,
        urls: [...this.#pipelines.keys()],
        version: 'simulated',
        logger: this.#logger(),
        threads: new SimulatedThreads(this.env, this.#bodies()),
      })
      void engine.ended.then((error) => {
        if (error !== undefined) this.#fail(error)
      })
      const { pipelines } = engine.status()
      if (pipelines.some(({ error }) => error !== undefined)) throw nothingRuns(pipelines)
      await this.#options.onOpen?.(engine.log)
      engine.run('simulated:')
      this.engine = engine
    } catch (error) {
      this.#fail(error)
    }
  }

  submit(topic: string, request: IngestRequest, answered: (answer: IngestAnswer) => void): void {
    if (!this.env.alive || this.engine === undefined || this.#stopping) return
    void this.engine.ingest.submit(`ingest/${topic}`, request).then((answer) => {
      if (this.env.alive) answered(answer)
    })
  }

  report(): readonly TaskReport[] {
    const slots = [...this.#workers.keys()].toSorted((a, b) => a - b)
    return slots.flatMap((slot) => this.#worker(slot)?.body.report() ?? [])
  }

  phase(slot: number): WorkerPhase | undefined {
    const worker = this.#worker(slot)
    if (worker === undefined) return undefined
    const { phase } = readBeat(worker.data.beat)
    return phase === 'starting' ? 'opening' : phase
  }

  killWorker(slot: number): boolean {
    const worker = this.#worker(slot)
    if (worker === undefined) return false
    this.#options.simulation.record(`${worker.thread.env.label} dies`)
    worker.thread.end(undefined)
    return true
  }

  freezeWorker(slot: number, ms: number): boolean {
    const worker = this.#worker(slot)
    if (worker === undefined || this.#stopping) return false
    this.#workers.delete(slot)
    worker.thread.leave(ms)
    return true
  }

  stickWorker(slot: number): boolean {
    const worker = this.#worker(slot)
    worker?.thread.stick()
    return worker !== undefined
  }

  async stop(): Promise<void> {
    // Threads that are gone already would never say that they end.
    if (!this.env.alive) return
    this.#stopping = true
    await this.engine?.stop()
    this.env.end()
  }

  /** The one of a slot, while it lives. */
  #worker(slot: number): RunningWorker | undefined {
    const worker = this.#workers.get(slot)
    return worker?.thread.env.alive === true ? worker : undefined
  }

  #bodies(): Bodies {
    const { snapshotBytes, limits = {} } = this.#options
    const load = (url: string): LoadedPipeline => must(this.#pipelines.get(url), `${url} was given`)
    return {
      'plan-thread': ({ port }, data) => runPlanning({ port, data, load }),
      'log-thread': async ({ env, port }, data) => {
        const serve = this.#serve
        await runLog({ env, port, data, serve })
        // What it goes on with are messages.
        await new Promise(() => undefined)
      },
      'snapshot-thread': (thread, data) => {
        thread.onMessage(({ type }: FromSnapshotThread) => {
          if (type === 'made') this.#counts.snapshots++
        })
        const { env, port } = thread
        // Much happens in a second; now and then they come in the middle of what others do.
        const pauseMs = env.random.float() < 0.2 ? 2 : 50
        return runSnapshots({ env, port, data, pauseMs, snapshotBytes })
      },
      'worker-thread': (thread, data) => {
        thread.onMessage((message: FromWorker) => {
          if (message.type === 'runner-failed') this.error ??= reviveError(message.error)
        })
        const { env, port } = thread
        const beat = new SimulatedBeat(data.beat, env, () => (this.working = thread))
        const body = new WorkerBody({ env, port, data, beat, load, limits })
        this.#workers.set(data.slot, { thread, body, data })
        return body.run()
      },
    }
  }

  readonly #serve: typeof serveLog = async (options) => {
    const env = options.env as SimulatedEnv
    // A walk over the log reads thousands of heads and changes nothing: others run in between now and then.
    const turn = ({ name }: DiskOp): Promise<void> | undefined =>
      name === 'read' && env.random.float() < 0.95 ? undefined : env.timers.yield()
    const served = await serveLog({
      ...this.#options.log,
      ...options,
      drive: async (steps) => {
        this.writing = true
        const result = await runStepsByTurns(steps, turn)
        this.writing = false
        return result
      },
    })
    this.recovery = served.report
    this.#counts.opened++
    if (served.report.tornBytes > 0) this.#counts.torn++
    return served
  }

  #logger(): Logger {
    const { simulation, onLog } = this.#options
    const at = (level: keyof Logger) => (fields: object, message: string) => {
      simulation.record(`${this.env.label} ${level}: ${message}`)
      onLog?.(level, fields, message)
    }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
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

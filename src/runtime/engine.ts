import type { MessagePort } from 'node:worker_threads'
import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { portOf } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import type { Log } from '../log/log.ts'
import type { Logger } from '../observe/logger.ts'
import { mergePlans } from '../plan/index.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { Plan } from '../plan/plan.ts'
import { deferred } from './deferred.ts'
import { WatermarkBoard } from '../process/time/board.ts'
import { assign } from './assignment.ts'
import type { Assignment } from './assignment.ts'
import type { EngineConfig } from './config.ts'
import { startLogThread } from './log-host.ts'
import type { LogHost } from './log-host.ts'
import type { FromWorker } from './messages.ts'
import { IngestRouter } from './ingest-router.ts'
import { planPass } from './plan-pass.ts'
import { admitPlans, createTopics, nothingRuns, savePlans } from './plans.ts'
import type { Admitted } from './plans.ts'
import { Reports } from './reports.ts'
import { Snapshots } from './snapshots.ts'
import type { EngineStatus } from './status.ts'
import { notReadyReasons, tasksMeant } from './status-of.ts'
import { cacheDirOf } from './threads.ts'
import { Watch } from './watch.ts'
import { loadTimeout, WorkerPool } from './worker-pool.ts'

export interface EngineInputs {
  readonly env: Env
  readonly config: EngineConfig
  readonly urls: readonly string[]
  readonly version: string
  readonly logger: Logger
}

const stopGraceMs = 10_000

/**
 * The supervisor: starts the threads in order, keeps the workers alive, and ends everything when the log does. It serves
 * nothing itself; http-server.ts is its front.
 */
export class Engine {
  readonly inputs: EngineInputs
  readonly log: Log
  readonly plans: readonly Plan[]
  readonly merged: MergedPlan
  readonly assignment: Assignment
  readonly pool: WorkerPool
  readonly reports: Reports
  readonly ingest: IngestRouter
  /** Resolves when it has ended: with undefined after `stop`, else with why. */
  readonly ended: Promise<MillraceError | undefined>
  readonly #host: LogHost
  readonly #snapshots: Snapshots
  readonly #watch: Watch
  #pipelines: Admitted['pipelines']
  readonly #startedAt: number
  readonly #ready = deferred<void>()
  readonly #end = deferred<MillraceError | undefined>()
  #state: EngineStatus['state'] = 'starting'
  #url = ''

  /** Opens the data directory and plans the pipelines. Rejects where nothing can run; then nothing is left behind. */
  static async open(inputs: EngineInputs): Promise<Engine> {
    const { env, config, urls, logger } = inputs
    const planning = planPass(urls, env, loadTimeout(config), cacheDirOf(config.dataDir))
    const host = await startLogThread({ dataDir: config.dataDir })
    for (const note of host.notes) logger.info({ dataDir: config.dataDir }, note)
    try {
      env.disk.mkdir(cacheDirOf(config.dataDir))
      const log = await LogClient.connect(env, portOf(host.attach()))
      const admitted = await createTopics(log, admitPlans(await planning))
      if (admitted.plans.length === 0) throw nothingRuns(admitted.pipelines)
      savePlans(env, config.dataDir, admitted.plans)
      return new Engine(inputs, host, log, admitted)
    } catch (error) {
      await host.close()
      throw error instanceof DiskError ? unusable(error) : error
    }
  }

  private constructor(inputs: EngineInputs, host: LogHost, log: Log, admitted: Admitted) {
    const { env, config } = inputs
    this.inputs = inputs
    this.log = log
    this.#host = host
    this.plans = admitted.plans
    this.#pipelines = admitted.pipelines
    this.#startedAt = env.clock.monotonic()
    this.ended = this.#end.promise
    this.merged = mergePlans(admitted.plans)
    this.assignment = assign(this.merged, config.workers)
    this.pool = new WorkerPool({
      env,
      config,
      logId: host.logId,
      logEpoch: host.logEpoch,
      modules: admitted.modules,
      assignment: this.assignment,
      boards: boardsOf(admitted.plans),
      attach: () => host.attach(),
      onMessage: (slot, message) => this.#onMessage(slot, message),
      onGone: (slot) => this.ingest.lost(slot),
      onUnstoppable: (error) => this.#failed(error),
      onDeath: (slot, error, restart) => {
        const { inMs, skip } = restart
        inputs.logger.error(
          { code: error.code, worker: slot, restartInMs: inMs, skip },
          error.message,
        )
      },
    })
    this.reports = new Reports(env, config.workers, (slot, message) =>
      this.pool.post(slot, message),
    )
    this.ingest = new IngestRouter(this.assignment, (slot, message, transfer) =>
      this.pool.post(slot, message, transfer),
    )
    for (const { name, error } of admitted.pipelines) {
      if (error !== undefined)
        inputs.logger.error({ code: error.code, pipeline: name }, error.message)
    }
    this.#snapshots = new Snapshots(env, inputs.logger, config.dataDir, this.merged, () =>
      host.attach(),
    )
    this.#watch = new Watch({
      env,
      logger: inputs.logger,
      workers: () => this.pool.status(),
      tasks: () => this.reports.tasks(),
    })
    void host.ended.then((error) => this.#logEnded(error))
  }

  get logId(): string {
    return this.#host.logId
  }

  /** Resolves when every worker has run once; rejects when the engine ended before. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  run(url: string): void {
    this.#url = url
    this.pool.start()
    this.#watch.start()
    const pipelines = this.plans.map(({ pipeline }) => pipeline)
    this.inputs.logger.info({ url, pipelines }, `Started at ${url}.`)
  }

  attachLog(): MessagePort {
    return this.#host.attach()
  }

  status(): EngineStatus {
    const { config, version, env } = this.inputs
    const workers = this.pool.status()
    return {
      state: this.#state,
      version,
      logId: this.logId,
      dataDir: config.dataDir,
      url: this.#url,
      upMs: Math.round(env.clock.monotonic() - this.#startedAt),
      pipelines: this.#pipelines,
      workers,
      notReady: notReadyReasons(this.#pipelines, workers, []),
    }
  }

  async notReady(): Promise<string[]> {
    return notReadyReasons(this.#pipelines, this.pool.status(), await this.reports.tasks())
  }

  pause(target: string): string[] {
    return this.#steer(target, (slot, task) => this.pool.pause(slot, task))
  }

  /** Lets paused and failed tasks go on; those of a pipeline that failed as a whole begin again in new workers. */
  resume(target: string): string[] {
    const stopped = this.#pipelines.filter(
      ({ state, name }) => state === 'failed' && this.#runs(name),
    )
    const slots = new Set<number>()
    const tasks = this.#steer(target, (slot, task) => {
      this.pool.resume(slot, task)
      if (stopped.some(({ name }) => task.startsWith(`${name}/`))) slots.add(slot)
    })
    for (const slot of slots) this.pool.renew(slot)
    const meant = stopped.filter(({ name }) => tasks.some((task) => task.startsWith(`${name}/`)))
    this.#pipelines = this.#pipelines.map((pipeline) =>
      meant.includes(pipeline) ? { ...pipeline, state: 'running', error: undefined } : pipeline,
    )
    return tasks
  }

  /** Whether the pipeline was admitted: one that never loaded has nothing to resume. */
  #runs(pipeline: string): boolean {
    return this.plans.some((plan) => plan.pipeline === pipeline)
  }

  /** Ends workers after a last commit, then the log. The front must have stopped before. */
  async stop(): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') {
      await this.ended
      return
    }
    this.#state = 'stopping'
    this.#watch.stop()
    await Promise.all([this.pool.stop(stopGraceMs), this.#snapshots.stop()])
    await this.#host.close()
    this.inputs.logger.info({}, 'Stopped.')
    this.#finish('stopped', undefined)
  }

  #steer(target: string, act: (slot: number, task: string) => void): string[] {
    const done: string[] = []
    for (const [slot, shares] of this.assignment.entries()) {
      const tasks = shares.flatMap(({ id, partitions }) =>
        partitions.map((partition) => `${id}/${partition}`),
      )
      for (const task of tasksMeant(target, tasks)) {
        act(slot, task)
        done.push(task)
      }
    }
    if (done.length === 0)
      throw new MillraceError('MR6010', `No task, stage, sink or pipeline is called "${target}".`)
    return done
  }

  #onMessage(slot: number, message: FromWorker): void {
    const { logger } = this.inputs
    if (message.type === 'running' && this.#state === 'starting') {
      if (this.pool.status().every(({ state }) => state === 'running')) {
        this.#state = 'ready'
        this.#ready.resolve()
        // Not before: at the start the workers need the processor more.
        this.#snapshots.start()
      }
    } else if (message.type === 'ingested') {
      this.ingest.answered(message.id, message.answer)
    } else if (message.type === 'report') {
      this.reports.answered(slot, message.id, message.report)
    } else if (message.type === 'runner-failed') {
      const { code, message: text } = message.error
      logger.error({ code, worker: slot, runner: message.runner }, text)
      this.#pipelineFailed(message.pipeline, message.error)
    } else if (message.type === 'ended' && message.error !== undefined) {
      logger.error(
        { code: message.error.code, worker: slot, why: message.why },
        message.error.message,
      )
    }
  }

  #pipelineFailed(name: string, error: NonNullable<Admitted['pipelines'][number]['error']>): void {
    this.#pipelines = this.#pipelines.map((pipeline) =>
      pipeline.name === name && pipeline.state === 'running'
        ? { ...pipeline, state: 'failed', error }
        : pipeline,
    )
  }

  #logEnded(error: MillraceError | undefined): void {
    if (this.#state === 'stopping' || this.#state === 'stopped') return
    this.#failed(error ?? new MillraceError('MR6008', 'It closed without being asked to.'))
  }

  #failed(error: MillraceError): void {
    this.inputs.logger.error({ code: error.code }, error.message)
    this.#finish('failed', error)
  }

  #finish(state: 'stopped' | 'failed', error: MillraceError | undefined): void {
    this.#state = state
    this.#watch.stop()
    this.#ready.reject(
      error ?? new MillraceError('MR6004', 'The engine was stopped before it was ready.'),
    )
    this.#ready.promise.catch(() => undefined)
    this.#end.resolve(error)
  }
}

/** The log itself opened; what else the engine keeps in its directory cannot be written. */
function unusable(error: DiskError): MillraceError {
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  const what = `${error.path} cannot be written (${error.operation}: ${error.code}).`
  return new MillraceError(full ? 'MR2007' : 'MR2015', what, { cause: error })
}

/** One board per stage: a restarted worker finds what the others know. */
function boardsOf(plans: readonly Plan[]): Record<string, SharedArrayBuffer> {
  const boards: Record<string, SharedArrayBuffer> = {}
  for (const { stages } of plans) {
    for (const { id, partitions } of stages)
      boards[id] = new SharedArrayBuffer(WatermarkBoard.bytes(partitions))
  }
  return boards
}

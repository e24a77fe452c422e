import { join } from 'node:path'
import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { portOf } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import type { Logger } from '../observe/logger.ts'
import { limits } from '../limits.ts'
import { mergePlans } from '../plan/index.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { Plan } from '../plan/plan.ts'
import type { TaskReport } from '../process/runner.ts'
import { WatermarkBoard } from '../process/time/board.ts'
import { assign } from './assignment.ts'
import type { Assignment } from './assignment.ts'
import type { EngineConfig } from './config.ts'
import { settleNames, unusable } from './data-files.ts'
import { deferred } from './deferred.ts'
import { startLogThread } from './log-host.ts'
import type { LogHost } from './log-host.ts'
import { IngestRouter } from './ingest-router.ts'
import type { FromWorker, Planned } from './messages.ts'
import { Paused } from './paused.ts'
import { Phases } from './phases.ts'
import { planPass } from './plan-pass.ts'
import { admitPlans, createTopics, nothingRuns, savePlans } from './plans.ts'
import type { Admitted } from './plans.ts'
import { Reports } from './reports.ts'
import { Snapshots } from './snapshots.ts'
import type { EngineStatus, PipelineStatus } from './status.ts'
import { notReadyReasons } from './status-of.ts'
import { Steering } from './steering.ts'
import { cacheDirOf } from './threads.ts'
import type { Threads } from './threads.ts'
import { Watch } from './watch.ts'
import { loadTimeout, WorkerPool } from './worker-pool.ts'

export interface EngineInputs {
  readonly env: Env
  readonly config: EngineConfig
  readonly urls: readonly string[]
  readonly version: string
  readonly logger: Logger
  readonly threads: Threads
}

const stopGraceMs = 10_000
/** Tasks that one line of the log names. */
const shownPaused = 16

/**
 * The supervisor: starts the threads in order, keeps the workers alive, and ends everything when the log does. It serves
 * nothing itself; http-server.ts is its front.
 */
export class Engine {
  readonly inputs: EngineInputs
  readonly log: LogClient
  readonly plans: readonly Plan[]
  readonly merged: MergedPlan
  readonly assignment: Assignment
  readonly pool: WorkerPool
  readonly reports: Reports
  readonly ingest: IngestRouter
  readonly steering: Steering
  readonly snapshots: Snapshots
  /** Resolves when it has ended: with undefined after `stop`, else with why. */
  readonly ended: Promise<MillraceError | undefined>
  readonly #host: LogHost
  readonly #watch: Watch
  readonly #admitted: readonly PipelineStatus[]
  readonly #phases: Phases
  readonly #ready = deferred<void>()
  readonly #end = deferred<MillraceError | undefined>()
  #state: EngineStatus['state'] = 'starting'
  #url = ''
  #released: Promise<void> | undefined

  /** Opens the data directory and plans the pipelines. Rejects where nothing can run; then nothing is left behind. */
  static async open(inputs: EngineInputs): Promise<Engine> {
    const { env, config, urls, logger, threads } = inputs
    const { dataDir } = config
    const phases = new Phases(env.clock)
    const planning = planPass(urls, inputs, loadTimeout(config), cacheDirOf(dataDir)).then(planned)
    planning.catch(() => undefined)
    // Both at once, for a fast restart; but a new directory is made only for a pipeline that loads.
    if (!env.disk.exists(join(dataDir, 'LOCK'))) await planning
    const host = await startLogThread(threads, { dataDir })
    phases.over('recovered')
    for (const note of host.notes) logger.info({ dataDir }, note)
    try {
      env.disk.mkdir(cacheDirOf(dataDir))
      settleNames(env, dataDir)
      const paused = new Paused(env, dataDir)
      const log = await LogClient.connect(env, portOf(host.attach()))
      const admitted = await createTopics(log, await planning)
      if (admitted.plans.length === 0) throw nothingRuns(admitted.pipelines)
      savePlans(env, dataDir, admitted.plans)
      phases.over('planned')
      return new Engine(inputs, host, log, admitted, paused, phases)
    } catch (error) {
      await host.close()
      throw error instanceof DiskError ? unusable(error) : error
    }
  }

  private constructor(
    inputs: EngineInputs,
    host: LogHost,
    log: LogClient,
    admitted: Admitted,
    paused: Paused,
    phases: Phases,
  ) {
    const { env, config, threads } = inputs
    this.inputs = inputs
    this.log = log
    this.#phases = phases
    this.#host = host
    this.plans = admitted.plans
    this.#admitted = admitted.pipelines
    this.ended = this.#end.promise
    this.merged = mergePlans(admitted.plans)
    this.assignment = assign(this.merged, config.workers)
    this.pool = new WorkerPool({
      env,
      threads,
      config,
      logId: host.logId,
      logEpoch: host.logEpoch,
      modules: admitted.modules,
      assignment: this.assignment,
      boards: boardsOf(admitted.plans),
      paused: () => paused.tasks,
      attach: () => host.attach(),
      onMessage: (slot, message) => this.#onMessage(slot, message),
      onGone: (slot) => {
        this.ingest.lost(slot)
        this.steering.gone(slot)
      },
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
    this.steering = new Steering({
      assignment: this.assignment,
      merged: this.merged,
      paused,
      tell: (slot, message) => this.pool.tell(slot, message),
      renew: (slot) => this.pool.renew(slot),
    })
    this.ingest = this.#newRouter()
    for (const { name, error } of admitted.pipelines) {
      if (error !== undefined)
        inputs.logger.error({ code: error.code, pipeline: name }, error.message)
    }
    this.snapshots = new Snapshots(inputs, this.merged, () => host.attach())
    this.#watch = new Watch({
      env,
      logger: inputs.logger,
      workers: () => this.pool.status(),
      tasks: () => this.reports.tasks(),
    })
    void host.ended.then((error) => this.#logEnded(error))
  }

  #newRouter(): IngestRouter {
    const { env, config } = this.inputs
    return new IngestRouter(
      () => env.clock.monotonic(),
      this.assignment,
      (slot, message, transfer) => this.pool.post(slot, message, transfer),
      Math.min(limits.ingestQueueBytes, Math.floor(config.bodyBytes / config.workers)),
    )
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
    this.#phases.over('listening')
    this.pool.start()
    this.#watch.start()
    const pipelines = this.plans.map(({ pipeline }) => pipeline)
    const { logger } = this.inputs
    logger.info({ url, pipelines }, `Started at ${url}.`)
    const { paused } = this.steering
    if (paused.length > 0) {
      const more = paused.length > shownPaused ? ` and ${paused.length - shownPaused} more` : ''
      const names = `${paused.slice(0, shownPaused).join(', ')}${more}`
      logger.warn({}, `Still paused, since before this start: ${names}. See \`millrace resume\`.`)
    }
  }

  status(): EngineStatus {
    const { config, version } = this.inputs
    const workers = this.pool.status()
    const pipelines = this.#pipelines()
    return {
      state: this.#state,
      version,
      logId: this.logId,
      dataDir: config.dataDir,
      url: this.#url,
      upMs: this.#phases.elapsedMs,
      pipelines,
      workers,
      paused: this.steering.paused,
      scrub: this.snapshots.scrub ?? null,
      notReady: notReadyReasons(pipelines, workers, [], this.log.full),
    }
  }

  /** What keeps it from being ready, with the tasks as they stand. */
  notReady(tasks: readonly TaskReport[]): string[] {
    return notReadyReasons(this.#pipelines(), this.pool.status(), tasks, this.log.full)
  }

  #pipelines(): PipelineStatus[] {
    return this.steering.pipelines(this.#admitted)
  }

  /** Ends workers after a last commit, then the log. The front must have stopped before. */
  async stop(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'ready') this.#state = 'stopping'
    await this.#release()
    if (this.#state === 'stopping') this.inputs.logger.info({}, 'Stopped.')
    this.#finish('stopped', undefined)
  }

  /** Lets go of everything, once: at a stop, or because the engine has failed. */
  #release(): Promise<void> {
    this.#released ??= this.#endThreads()
    return this.#released
  }

  async #endThreads(): Promise<void> {
    this.#watch.stop()
    await Promise.all([this.pool.stop(stopGraceMs), this.snapshots.stop()])
    await this.#host.close()
  }

  #onMessage(slot: number, message: FromWorker): void {
    const { logger } = this.inputs
    if (message.type === 'running' && this.#state === 'starting') {
      if (this.pool.running) this.#isReady()
    } else if (message.type === 'loaded' && this.#state === 'starting') {
      this.#phases.over('loaded')
    } else if (message.type === 'ingested') {
      this.ingest.answered(message.id, message.answer)
    } else if (message.type === 'report') {
      this.reports.answered(slot, message.id, message.report)
    } else if (message.type === 'runner-failed') {
      const { code, message: text } = message.error
      logger.error({ code, worker: slot, runner: message.runner }, text)
      this.steering.failed(slot, message)
    } else if (message.type === 'resumed') {
      this.steering.resumed(message.id, message.tasks)
    }
  }

  #isReady(): void {
    this.#state = 'ready'
    const ms = this.#phases.over('ready')
    this.inputs.logger.info({ phases: this.#phases.all() }, `Ready after ${ms} ms.`)
    this.#ready.resolve()
    // Not before: at the start the workers need the processor more.
    this.snapshots.start()
  }

  #logEnded(error: MillraceError | undefined): void {
    if (this.#released !== undefined) return
    this.#failed(error ?? new MillraceError('MR6008', 'It closed without being asked to.'))
  }

  #failed(error: MillraceError): void {
    this.inputs.logger.error({ code: error.code }, error.message)
    this.#finish('failed', error)
    // Workers that are replaced again and again help nobody now.
    void this.#release()
  }

  #finish(state: 'stopped' | 'failed', error: MillraceError | undefined): void {
    if (this.#state !== 'failed') this.#state = state
    this.#ready.reject(
      error ?? new MillraceError('MR6004', 'The engine was stopped before it was ready.'),
    )
    this.#ready.promise.catch(() => undefined)
    this.#end.resolve(error)
  }
}

function planned(all: readonly Planned[]): Admitted {
  const admitted = admitPlans(all)
  if (admitted.plans.length === 0) throw nothingRuns(admitted.pipelines)
  return admitted
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

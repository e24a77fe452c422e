import type { Env } from '../core/env/env.ts'
import { portOf } from '../core/port.ts'
import type { MessagePortLike } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import { LatencyMeter } from '../observe/http-meter.ts'
import { errorAnswer } from '../process/ingest-request.ts'
import type { IngestAnswer } from '../process/ingest-request.ts'
import type { TaskReport } from '../process/runner.ts'
import { WorkerLoop } from '../process/worker.ts'
import type { WorkerLimits, WorkerPhase } from '../process/worker.ts'
import type { BeatWriter } from './beat.ts'
import { loadError } from './load-pipeline.ts'
import type { LoadedPipeline } from './load-pipeline.ts'
import type { FromWorker, ToWorker, WorkerThreadData } from './messages.ts'
import { makeRunners } from './runners.ts'
import type { Runners } from './runners.ts'
import { timedLog } from './timed-log.ts'

export interface WorkerSurroundings {
  readonly env: Env
  /** To main. */
  readonly port: MessagePortLike
  readonly data: WorkerThreadData
  /** The writer of `data.beat`. */
  readonly beat: BeatWriter
  /** Loads a module of the user's. */
  readonly load: (url: string) => LoadedPipeline | Promise<LoadedPipeline>
  /** Called when every runner is open. */
  readonly running?: () => void
  readonly limits?: Partial<WorkerLimits>
}

/** A worker: loads the user's modules, runs its share of the tasks, and tells main how they stand. */
export class WorkerBody {
  readonly #surroundings: WorkerSurroundings
  readonly #stop = new AbortController()
  #worker: WorkerLoop | undefined

  constructor(surroundings: WorkerSurroundings) {
    this.#surroundings = surroundings
  }

  /** Resolves when it has ended, after main was told why. */
  async run(): Promise<void> {
    const { env, data, beat, limits, running } = this.#surroundings
    this.#tick()
    const connecting = LogClient.connect(env, portOf(data.logPort))
    const pipelines = await this.#loadAll()
    const timed = timedLog(env, await connecting, new LatencyMeter())
    const runners = makeRunners({ env, log: timed.log, data, beat, pipelines })
    let ran = false
    const pipelineOf = new Map(data.shares.map(({ id, pipeline }) => [id, pipeline]))
    const worker = new WorkerLoop({
      env,
      log: timed.log,
      owner: `worker-${data.slot}`,
      runners: runners.all,
      options: { ...limits, commitIntervalMs: data.commitIntervalMs },
      signal: this.#stop.signal,
      onBeat: (phase: WorkerPhase) => {
        beat.beat(phase)
        if (ran || phase === 'opening') return
        ran = true
        this.#say({ type: 'running' })
        running?.()
      },
      onFailed: ({ runner, error }) =>
        this.#say({
          type: 'runner-failed',
          runner,
          // One that takes replayed letters is no share of its own.
          pipeline: pipelineOf.get(runner) ?? runner.split('/', 1)[0] ?? '',
          error: error.toJSON(),
        }),
    })
    this.#worker = worker
    this.#receive(runners, worker, timed)
    this.#say({ type: 'loaded' })
    const end = await worker.run()
    if (end.why !== 'stopped') this.#say({ type: 'ended', error: end.error.toJSON() })
  }

  /** How its tasks stand. */
  report(): readonly TaskReport[] {
    return this.#worker?.report() ?? []
  }

  /** While the thread waits for something its loop stands still; that its timers fire shows that it is not stuck. */
  #tick(): void {
    const { env, data, beat } = this.#surroundings
    beat.tick()
    env.timers.after(data.watchdogMs / 8, () => this.#tick())
  }

  /** The pipelines whose plan is the one main has. Another pipeline's runners do not start here, and main is told why. */
  async #loadAll(): Promise<Map<string, LoadedPipeline>> {
    const { data, load } = this.#surroundings
    const pipelines = new Map<string, LoadedPipeline>()
    for (const { url, pipeline, hash } of data.modules) {
      try {
        const loaded = await load(url)
        if (loaded.plan.hash !== hash) throw otherPlan(url, hash, loaded.plan.hash)
        pipelines.set(pipeline, loaded)
      } catch (error) {
        const told = loadError(url, error).toJSON()
        this.#say({ type: 'runner-failed', runner: pipeline, pipeline, error: told })
      }
    }
    return pipelines
  }

  #receive(runners: Runners, worker: WorkerLoop, log: ReturnType<typeof timedLog>): void {
    this.#surroundings.port.on('message', (received) => {
      const message = received as ToWorker
      switch (message.type) {
        case 'ingest': {
          const { id } = message
          void submit(runners, message).then((answer) =>
            this.#say({ type: 'ingested', id, answer }),
          )
          return
        }
        case 'pause':
          for (const task of message.tasks) worker.pause(task)
          return
        case 'resume': {
          const tasks = message.tasks.filter((task) => worker.resume(task))
          return this.#say({ type: 'resumed', id: message.id, tasks })
        }
        case 'report': {
          const report = { tasks: worker.report(), ...log.commits() }
          return this.#say({ type: 'report', id: message.id, report })
        }
        case 'stop':
          return this.#stop.abort()
      }
    })
  }

  #say(message: FromWorker): void {
    this.#surroundings.port.postMessage(message)
  }
}

function otherPlan(url: string, ofMain: string, here: string): MillraceError {
  return new MillraceError(
    'MR3096',
    `${url} has the plan ${ofMain} in one thread and ${here} in another.`,
  )
}

function submit(
  runners: Runners,
  { ingest, bucket, request }: Extract<ToWorker, { type: 'ingest' }>,
): Promise<IngestAnswer> {
  const runner = runners.push.get(ingest)
  if (runner !== undefined) return runner.submit(bucket, request)
  return Promise.resolve(
    errorAnswer(new MillraceError('MR6004', `The pipeline of ${ingest} does not run.`)),
  )
}

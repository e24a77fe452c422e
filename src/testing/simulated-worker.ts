import { must } from '../core/assert.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import type { Port } from '../core/port.ts'
import { LogClient } from '../log/embedded/index.ts'
import type { TaskReport } from '../process/runner.ts'
import { WorkerLoop } from '../process/worker.ts'
import type { RunnerFailure, WorkerEnd, WorkerLimits, WorkerPhase } from '../process/worker.ts'
import { BeatWriter, newBeat } from '../runtime/beat.ts'
import type { FromWorker, ToWorker } from '../runtime/messages.ts'
import { makeRunners } from '../runtime/runners.ts'
import type { RunnerContext, Runners } from '../runtime/runners.ts'

export interface SimulatedWorkerOptions {
  readonly env: SimulatedEnv
  /** To the log thread. */
  readonly logPort: Port
  /** To the main thread. */
  readonly port: Port
  readonly slot: number
  readonly data: RunnerContext['data']
  readonly pipelines: RunnerContext['pipelines']
  readonly limits: Partial<WorkerLimits>
  readonly onFailed: (failure: RunnerFailure) => void
  readonly onEnd: (end: WorkerEnd) => void
}

/** A worker thread in the simulation: what runtime/worker-thread.ts does, without the thread. */
export class SimulatedWorker {
  readonly env: SimulatedEnv
  readonly #options: SimulatedWorkerOptions
  readonly #stop = new AbortController()
  phase: WorkerPhase = 'opening'
  #runners: Runners | undefined
  #worker: WorkerLoop | undefined

  constructor(options: SimulatedWorkerOptions) {
    this.env = options.env
    this.#options = options
  }

  async run(): Promise<void> {
    const { env, logPort, port, slot, data, pipelines, limits, onFailed, onEnd } = this.#options
    const log = await LogClient.connect(env, logPort)
    const beat = new BeatWriter(newBeat())
    const runners = makeRunners({ env, log, data, beat, pipelines })
    this.#runners = runners
    port.onMessage((message) => this.#receive(message as ToWorker))
    let running = false
    const worker = new WorkerLoop({
      env,
      log,
      owner: `worker-${slot}`,
      runners: runners.all,
      options: limits,
      signal: this.#stop.signal,
      onBeat: (phase) => {
        this.phase = phase
        if (running || phase === 'opening') return
        running = true
        this.#say({ type: 'running' })
      },
      onFailed: (failure) => {
        if (env.alive) onFailed(failure)
      },
    })
    this.#worker = worker
    const end = await worker.run()
    log.close()
    if (env.alive) onEnd(end)
  }

  /** Ends it as a thread ends that is terminated: nothing it holds is closed in good order. */
  die(): void {
    this.#options.logPort.close()
    this.#options.port.close()
    this.env.end()
  }

  report(): readonly TaskReport[] {
    return this.#worker?.report() ?? []
  }

  #receive(message: ToWorker): void {
    if (message.type === 'stop') this.#stop.abort()
    if (message.type === 'pause') for (const task of message.tasks) this.#worker?.pause(task)
    if (message.type === 'resume') for (const task of message.tasks) this.#worker?.resume(task)
    if (message.type !== 'ingest') return
    const { id, ingest, bucket, request } = message
    const runner = must(this.#runners?.push.get(ingest), `${ingest} runs here`)
    void runner
      .submit(bucket, request)
      .then((answer) => this.#say({ type: 'ingested', id, answer }))
  }

  #say(message: FromWorker): void {
    this.#options.port.post(message)
  }
}

import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import { portOf } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import type { Log } from '../log/log.ts'
import { LatencyMeter } from '../observe/http-meter.ts'
import { planOf } from '../plan/index.ts'
import { errorAnswer } from '../process/ingest-request.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import { WorkerLoop } from '../process/worker.ts'
import { BeatWriter } from './beat.ts'
import { loadError, loadPipeline, resolveOwnPackage } from './load-pipeline.ts'
import type { FromWorker, ToWorker, WorkerThreadData } from './messages.ts'
import { makeRunners } from './runners.ts'
import type { LoadedPipeline, Runners } from './runners.ts'
import { timedLog } from './timed-log.ts'

/** Edge: a worker. Loads the user's modules, runs its share of the tasks, and tells main how they stand. */
const port = must(parentPort, 'worker-thread runs as a thread')
const data = workerData as WorkerThreadData
const env = realEnv()
const say = (message: FromWorker, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer)

const beat = new BeatWriter(data.beat)
// While the thread waits for something its loop stands still; that its timers fire shows that it is not stuck.
function tick(): void {
  beat.tick()
  env.timers.after(data.watchdogMs / 8, tick)
}
tick()

/** The pipelines whose plan is the one main has. Another pipeline's runners do not start here, and main is told why. */
async function loadAll(): Promise<Map<string, LoadedPipeline>> {
  const pipelines = new Map<string, LoadedPipeline>()
  for (const { url, pipeline, hash } of data.modules) {
    try {
      pipelines.set(pipeline, await load(url, hash))
    } catch (error) {
      say({
        type: 'runner-failed',
        runner: pipeline,
        pipeline,
        error: loadError(url, error).toJSON(),
      })
    }
  }
  return pipelines
}

async function load(url: string, hash: string): Promise<LoadedPipeline> {
  const definition = await loadPipeline(url)
  const plan = planOf(definition)
  if (plan.hash === hash) return { definition, plan }
  throw new MillraceError(
    'MR3096',
    `${url} has the plan ${hash} in one thread and ${plan.hash} in another.`,
  )
}

function receive(
  runners: Runners,
  worker: WorkerLoop,
  log: ReturnType<typeof timedLog>,
  stop: AbortController,
): void {
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'ingest': {
        const { id, ingest, bucket, request } = message
        void submit(runners, ingest, bucket, request).then((answer) =>
          say({ type: 'ingested', id, answer }),
        )
        return
      }
      case 'pause':
        for (const task of message.tasks) worker.pause(task)
        return
      case 'resume': {
        const tasks = message.tasks.filter((task) => worker.resume(task))
        return say({ type: 'resumed', id: message.id, tasks })
      }
      case 'report': {
        const report = { tasks: worker.report(), ...log.commits() }
        return say({ type: 'report', id: message.id, report })
      }
      case 'stop':
        return stop.abort()
    }
  })
}

function submit(
  runners: Runners,
  ingest: string,
  bucket: number,
  request: IngestRequest,
): Promise<IngestAnswer> {
  const runner = runners.push.get(ingest)
  if (runner !== undefined) return runner.submit(bucket, request)
  return Promise.resolve(
    errorAnswer(new MillraceError('MR6004', `The pipeline of ${ingest} does not run.`)),
  )
}

async function main(): Promise<void> {
  resolveOwnPackage()
  const connecting = LogClient.connect(env, portOf(data.logPort))
  const pipelines = await loadAll()
  const timed = timedLog(env, (await connecting) satisfies Log, new LatencyMeter())
  const runners = makeRunners({ env, log: timed.log, data, beat, pipelines })
  const stop = new AbortController()
  let running = false
  const pipelineOf = new Map(data.shares.map(({ id, pipeline }) => [id, pipeline]))
  const worker = new WorkerLoop({
    env,
    log: timed.log,
    owner: `worker-${data.slot}`,
    runners: runners.all,
    options: { commitIntervalMs: data.commitIntervalMs },
    signal: stop.signal,
    onBeat: (phase) => {
      beat.beat(phase)
      if (running || phase === 'opening') return
      running = true
      say({ type: 'running' })
      // A process that is killed never gets to writing it down.
      flushCompileCache()
    },
    onFailed: ({ runner, error }) =>
      say({
        type: 'runner-failed',
        runner,
        // One that takes replayed letters is no share of its own.
        pipeline: pipelineOf.get(runner) ?? runner.split('/', 1)[0] ?? '',
        error: error.toJSON(),
      }),
  })
  receive(runners, worker, timed, stop)
  say({ type: 'loaded' })
  const end = await worker.run()
  if (end.why !== 'stopped') say({ type: 'ended', error: end.error.toJSON() })
  process.exit(0)
}

await main()

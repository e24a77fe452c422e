import { must } from '../core/assert.ts'
import type { Env } from '../core/env/env.ts'
import type { Log } from '../log/log.ts'
import type { StreamNode, TableNode } from '../pipeline/definition.ts'
import type { IngestPlan } from '../plan/plan.ts'
import { DeliverRunner, replayOf } from '../process/deliver-runner.ts'
import type { DeliverOptions } from '../process/deliver-runner.ts'
import type { EventRules } from '../process/ingest-event.ts'
import { PullIngestRunner } from '../process/ingest-pull.ts'
import { IngestQueue, PushIngestRunner } from '../process/ingest-runner.ts'
import { ProcessRunner } from '../process/process-runner.ts'
import type { Runner } from '../process/runner.ts'
import { WatermarkBoard } from '../process/time/board.ts'
import type { RunnerShare } from './assignment.ts'
import type { BeatWriter } from './beat.ts'
import type { LoadedPipeline } from './load-pipeline.ts'
import type { WorkerThreadData } from './messages.ts'
import { snapshotDirOf } from './snapshots.ts'

export interface RunnerContext {
  readonly env: Env
  readonly log: Log
  readonly data: Pick<
    WorkerThreadData,
    'epoch' | 'logId' | 'dataDir' | 'shares' | 'boards' | 'careful' | 'skip' | 'paused'
  >
  readonly beat: BeatWriter
  readonly pipelines: ReadonlyMap<string, LoadedPipeline>
}

export interface Runners {
  readonly all: readonly Runner[]
  /** Those that take pushed bodies, by ingest id. */
  readonly push: ReadonlyMap<string, PushIngestRunner>
}

/** Makes the runners of one worker from its share of the plans. */
export function makeRunners(context: RunnerContext): Runners {
  const queue = new IngestQueue()
  const all: Runner[] = []
  const push = new Map<string, PushIngestRunner>()
  for (const share of context.data.shares) {
    const pipeline = context.pipelines.get(share.pipeline)
    if (pipeline === undefined) continue
    const runner = makeRunner(context, share, pipeline, queue)
    all.push(runner)
    const replay =
      share.kind === 'deliver' ? replayOf(deliverOptions(context, share, pipeline)) : undefined
    if (replay !== undefined) all.push(replay)
    if (runner instanceof PushIngestRunner) push.set(share.id, runner)
  }
  for (const task of context.data.paused) for (const runner of all) runner.pause(task)
  return { all, push }
}

function makeRunner(
  context: RunnerContext,
  share: RunnerShare,
  pipeline: LoadedPipeline,
  queue: IngestQueue,
): Runner {
  const { plan } = pipeline
  if (share.kind === 'ingest') {
    const ingest = must(
      plan.ingests.find(({ id }) => id === share.id),
      `${share.id} is in its plan`,
    )
    return ingestRunner(context, share, pipeline, ingest, queue)
  }
  if (share.kind === 'stage') return stageRunner(context, share, pipeline)
  return new DeliverRunner(deliverOptions(context, share, pipeline))
}

function deliverOptions(
  context: RunnerContext,
  share: RunnerShare,
  { plan, definition }: LoadedPipeline,
): DeliverOptions {
  const { env, log, data } = context
  const deliver = must(
    plan.delivers.find(({ id }) => id === share.id),
    `${share.id} is in its plan`,
  )
  const node = definition.nodes[deliver.node]
  return {
    env,
    log,
    plan: deliver,
    sink: must(node?.kind === 'toSink' ? node.sink : undefined, `${share.id} has a sink`),
    pipeline: plan.pipeline,
    planHash: plan.hash,
    logId: data.logId,
    epoch: data.epoch,
    deadLetters: plan.deadLetters,
    partitions: share.partitions,
  }
}

function ingestRunner(
  { env, log, data }: RunnerContext,
  share: RunnerShare,
  { definition, plan }: LoadedPipeline,
  ingest: IngestPlan,
  queue: IngestQueue,
): Runner {
  const node = definition.nodes[ingest.node]
  const stream = must(
    node?.kind === 'stream' || node?.kind === 'table' ? node : undefined,
    `${ingest.id} has a stream`,
  )
  const common = {
    env,
    log,
    topic: ingest.topic,
    rules: rulesOf(stream),
    deadLetters: plan.deadLetters,
    planHash: plan.hash,
  }
  if (ingest.how === 'pull') {
    const source = must(stream.source, `${ingest.id} has a source`)
    return new PullIngestRunner({
      ...common,
      id: ingest.id,
      source,
      start: source.start,
      partitions: share.partitions,
    })
  }
  return new PushIngestRunner({
    ...common,
    onInvalid: ingest.onInvalid,
    buckets: share.partitions,
    bucketCount: ingest.partitions,
    sessions: must(ingest.sessions, `${ingest.id} has sessions`),
    snapshotDir: snapshotDirOf(data.dataDir),
    queue,
  })
}

function rulesOf({ schema, key, time, futureMs, partitions }: StreamNode | TableNode): EventRules {
  return { schema, key, time, futureMs, partitions }
}

function stageRunner(
  context: RunnerContext,
  share: RunnerShare,
  { definition, plan }: LoadedPipeline,
): Runner {
  const { env, log, data, beat } = context
  const stage = must(
    plan.stages.find(({ id }) => id === share.id),
    `${share.id} is in its plan`,
  )
  const memory = data.boards[stage.id]
  const mine = (task: string): boolean => task.startsWith(`${stage.id}/`)
  return new ProcessRunner({
    env,
    log,
    plan,
    stage,
    definition,
    partitions: share.partitions,
    snapshotDir: snapshotDirOf(data.dataDir),
    careful: data.careful.some(mine),
    mark: (task, offset) => beat.at(task, offset),
    skip: data.skip.filter(({ task }) => mine(task)),
    ...(memory === undefined ? {} : { board: new WatermarkBoard(stage.partitions, memory) }),
  })
}

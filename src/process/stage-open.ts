/** Opening a stage: committed positions, readers, and stores restored from their changelogs. */
import { must } from '../core/assert.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import type { Log, PartitionOffsets, Position, ReadFrom, Reader } from '../log/log.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { StageInput, StagePlan, StorePlan } from '../plan/plan.ts'
import type { Start } from '../sources/source.ts'
import { float64Codec, frozenCodec, jsonCodec } from '../state/codecs.ts'
import { MemoryStore } from '../state/memory.ts'
import type { RestoreTarget } from '../state/restore.ts'
import { restoreStores } from '../state/restore.ts'
import { balanced } from './counters.ts'
import type { BuiltStage } from './operators/build.ts'
import type { AnyStore, Task } from './task.ts'
import { layoutIn } from './time/task-time.ts'
import type { TimeRecord } from './time/task-time.ts'
import { partitionText } from './windows/window-keys.ts'

export interface StageResources {
  readonly env: Env
  readonly log: Log
  readonly stage: StagePlan
  readonly definition: PipelineDefinition
  readonly built: BuiltStage
  readonly tasks: readonly Task[]
  /** Folder of snapshots; undefined restores from changelogs alone. */
  readonly snapshotDir: string | undefined
}

/** How long, and how much, retention spares what a stage has not read. */
const hold = { ms: 7 * 24 * 60 * 60 * 1000, bytes: 5 * 1024 ** 3 }

/** Puts tasks at their committed positions and gives a reader that stands there. */
export async function openPositions(resources: StageResources): Promise<Reader> {
  const { log, stage, tasks } = resources
  const byPlace = new Map<string, Position>()
  for (const position of await log.positions(stage.id)) {
    byPlace.set(`${position.topic}/${position.partition}`, position)
  }
  const from: ReadFrom[] = []
  for (const [index, input] of stage.inputs.entries()) {
    await log.topics.hold(stage.id, input.topic, hold.ms, hold.bytes)
    const ends = await log.topics.offsets(input.topic)
    for (const task of tasks) {
      const { partition } = task
      const position = byPlace.get(`${input.topic}/${partition}`)
      const end = ends[partition]?.next ?? 0
      if (position !== undefined && position.offset > end) {
        const what = `${task.id} stands at offset ${position.offset} of ${input.topic}, which ends at ${end}.`
        throw new MillraceError('MR4017', what)
      }
      const offset = position?.offset ?? (await firstOffset(log, input, partition, ends))
      task.startAt(index, offset, position !== undefined)
      if (index === 0 && position !== undefined) task.restoreCounters(readMeta(position))
      from.push({ topic: input.topic, partition, offset })
    }
  }
  return log.reader(from)
}

/** What a stage keeps in the metadata of its first input's positions. */
export function writeMeta(task: Task): string {
  return JSON.stringify({ counters: balanced(task.counters) })
}

function readMeta(position: Position): object {
  if (position.meta === '') return {}
  const meta: unknown = JSON.parse(position.meta)
  const counters =
    typeof meta === 'object' && meta !== null && 'counters' in meta ? meta.counters : undefined
  return typeof counters === 'object' && counters !== null ? counters : {}
}

async function firstOffset(
  log: Log,
  input: StageInput,
  partition: number,
  offsets: readonly PartitionOffsets[],
): Promise<number> {
  const start: Start = input.role === 'stream' || input.role === 'table' ? input.start : 'earliest'
  if (typeof start === 'object') return log.topics.offsetAt(input.topic, partition, start.time)
  const own = must(offsets[partition], `the topic ${input.topic} has the partition ${partition}`)
  return start === 'earliest' ? own.earliest : own.next
}

/** Fresh stores for every task, filled from snapshots and changelogs, and given to the operators. */
export async function openStores(resources: StageResources): Promise<void> {
  const { env, log, stage, tasks, snapshotDir } = resources
  const targets: RestoreTarget[] = []
  for (const plan of stage.stores) {
    for (const task of tasks) {
      const store = newStore(resources, plan, task)
      task.stores.push({ changelog: plan.changelog, store })
      targets.push({ changelog: plan.changelog, partition: task.partition, store })
    }
  }
  await restoreStores(env, log, snapshotDir, targets)
  for (const task of tasks) loadTime(task, resources.built.layout)
  for (const { plan, task, store } of windowStores(resources)) {
    const { operator, shiftMs } = must(
      resources.built.aggregates.find((aggregate) => aggregate.operator.node === plan.node),
      'a window store has its aggregate',
    )
    operator.bind(task.partition, store, task.time.applied - shiftMs)
  }
}

/**
 * Stream time as it was committed. Windows that were made of other fields would be read as something they are not. What is
 * kept of aggregates that the pipeline has no more keeps its meaning: one of them may come back.
 */
function loadTime(task: Task, layout: string): void {
  if (task.timeStore === undefined) return
  const stored = JSON.parse(layoutIn(task.timeStore) ?? '{}') as Record<string, unknown>
  const now = JSON.parse(layout) as Record<string, unknown>
  for (const [name, windows] of Object.entries(now)) {
    const [was, is] = [JSON.stringify(stored[name] ?? windows), JSON.stringify(windows)]
    if (was === is) continue
    const what = `${task.id} has windows of ${name} with ${was}, and would now make ${is}.`
    throw new MillraceError('MR4016', what)
  }
  task.time.layout = JSON.stringify({ ...stored, ...now })
  task.time.load(task.timeStore)
}

function* windowStores(
  resources: StageResources,
): Generator<{ plan: StorePlan; task: Task; store: MemoryStore<Float64Array> }> {
  for (const [index, plan] of resources.stage.stores.entries()) {
    if (plan.kind !== 'window') continue
    for (const task of resources.tasks) {
      const { store } = must(task.stores[index], 'stores are opened in the order of the plan')
      yield { plan, task, store: store as MemoryStore<Float64Array> }
    }
  }
}

function newStore(resources: StageResources, plan: StorePlan, task: Task): AnyStore {
  const { built, definition } = resources
  const { name, node } = plan
  const maxBytes = definition.stateBytes
  if (plan.kind === 'time') {
    const codec = jsonCodec<TimeRecord>()
    task.timeStore = new MemoryStore({ name, codec, partitionKey: (key) => key, maxBytes })
    return task.timeStore
  }
  if (plan.kind === 'table') {
    const store = new MemoryStore({
      name,
      codec: frozenCodec(),
      partitionKey: (key) => key,
      maxBytes,
    })
    const tables = built.tables.get(node)
    if (tables === undefined)
      throw new MillraceError('MR4015', `The store ${name} is of a table nobody uses.`)
    tables[task.partition] = store
    return store
  }
  const aggregate = built.aggregates.find(({ operator }) => operator.node === node)
  if (aggregate === undefined)
    throw new MillraceError('MR4015', `The store ${name} is of an unknown aggregate.`)
  const codec = float64Codec(aggregate.accumulators.length)
  return new MemoryStore({ name, codec, partitionKey: partitionText, maxBytes })
}

/** Numbers of the live page, from two looks at the tasks' counters. Pure. */
import type { TaskReport, TaskStatus } from '../../process/runner.ts'

export interface StageNumbers {
  /** Stage, sink or ingest id. */
  readonly id: string
  readonly kind: 'ingest' | 'stage' | 'sink'
  readonly tasks: number
  /** The worst of its tasks. */
  readonly status: TaskStatus
  /** Records per second since the look before; 0 at the first look. */
  readonly perSecond: number
  readonly read: number
  readonly lag: number
  readonly late: number
  readonly shed: number
  readonly deadLettered: number
  readonly stateBytes: number
  /** Earliest watermark of its tasks, milliseconds. */
  readonly watermark: number | undefined
  readonly error: string | undefined
}

export interface Totals {
  /** Events per second that came in, that stages processed, and that sinks took. */
  readonly inPerSecond: number
  readonly processedPerSecond: number
  readonly deliveredPerSecond: number
  readonly lag: number
  readonly late: number
  readonly shed: number
  readonly deadLettered: number
}

const byBadness: readonly TaskStatus[] = [
  'running',
  'finished',
  'paused',
  'retrying',
  'behind-retention',
  'failed',
]

/** `seconds` between the two looks; 0 where there was none before. */
export function stagesOf(
  now: readonly TaskReport[],
  before: readonly TaskReport[],
  seconds: number,
): StageNumbers[] {
  const earlier = new Map(before.map((task) => [task.id, task.counters.read]))
  const stages = new Map<string, TaskReport[]>()
  for (const task of now) {
    const id = task.id.slice(0, task.id.lastIndexOf('/'))
    stages.set(id, [...(stages.get(id) ?? []), task])
  }
  return [...stages].map(([id, tasks]) => {
    // A task that started over shows fewer than before until it has read its committed counters again.
    const grown = sum(tasks, (task) =>
      Math.max(0, task.counters.read - (earlier.get(task.id) ?? task.counters.read)),
    )
    const watermarks = tasks.flatMap(({ watermark }) =>
      watermark === undefined || !Number.isFinite(watermark) ? [] : [watermark],
    )
    return {
      id,
      kind: kindOf(id, tasks),
      tasks: tasks.length,
      status: worst(tasks),
      perSecond: seconds > 0 ? grown / seconds : 0,
      read: sum(tasks, (task) => task.counters.read),
      lag: sum(tasks, (task) => task.lag),
      late: sum(tasks, (task) => task.counters.late),
      shed: sum(tasks, (task) => task.counters.shed),
      deadLettered: sum(tasks, (task) => task.counters.deadLettered),
      stateBytes: sum(tasks, (task) => task.stateBytes),
      watermark: watermarks.length === 0 ? undefined : Math.min(...watermarks),
      error: tasks.find(({ error }) => error !== undefined)?.error?.message,
    }
  })
}

export function totalsOf(stages: readonly StageNumbers[]): Totals {
  const of = (kind: StageNumbers['kind']): StageNumbers[] =>
    stages.filter((stage) => stage.kind === kind)
  const rate = (some: readonly StageNumbers[]): number => sum(some, ({ perSecond }) => perSecond)
  return {
    inPerSecond: rate(of('ingest')),
    processedPerSecond: rate(of('stage')),
    deliveredPerSecond: rate(of('sink')),
    lag: sum(stages, ({ lag }) => lag),
    late: sum(stages, ({ late }) => late),
    shed: sum(stages, ({ shed }) => shed),
    deadLettered: sum(stages, ({ deadLettered }) => deadLettered),
  }
}

function kindOf(id: string, tasks: readonly TaskReport[]): StageNumbers['kind'] {
  if (id.startsWith('ingest/')) return 'ingest'
  return tasks.some(({ delivery }) => delivery !== undefined) ? 'sink' : 'stage'
}

function worst(tasks: readonly TaskReport[]): TaskStatus {
  return byBadness[Math.max(...tasks.map(({ status }) => byBadness.indexOf(status)))] ?? 'running'
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}

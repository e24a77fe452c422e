import type { Log } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import type { TaskCounters } from '../../process/runner.ts'

/** The books of I11, from what is committed: they hold at any instant, with an engine running or without. */
export interface Ledger {
  readonly tasks: readonly TaskLedger[]
  readonly topics: readonly TopicLedger[]
  /** Every line below adds up. */
  readonly balanced: boolean
}

export interface TaskLedger {
  readonly task: string
  readonly counters: TaskCounters
  /** read = processed + dead-lettered + late + skipped + shed + expired. */
  readonly balanced: boolean
}

export interface TopicLedger {
  readonly topic: string
  /** Events that the ingest tasks of the topic accepted. */
  readonly accepted: number
  /** Records that the log gave offsets to. */
  readonly appended: number
  readonly balanced: boolean
}

export async function ledgerOf(log: Log, plans: readonly Plan[]): Promise<Ledger> {
  const tasks = new Map<string, TaskLedger>()
  const groups = plans.flatMap(({ ingests, stages, delivers }) => [
    ...ingests,
    ...stages,
    ...delivers,
  ])
  for (const { id } of groups) for (const task of await tasksOf(log, id)) tasks.set(task.task, task)
  const topics: TopicLedger[] = []
  for (const topic of new Set(
    plans.flatMap(({ ingests }) => ingests.map((ingest) => ingest.topic)),
  )) {
    topics.push(await topicLedger(log, topic, [...tasks.values()]))
  }
  const all = [...tasks.values()]
  return { tasks: all, topics, balanced: [...all, ...topics].every(({ balanced }) => balanced) }
}

async function tasksOf(log: Log, group: string): Promise<TaskLedger[]> {
  const tasks: TaskLedger[] = []
  for (const { partition, meta } of await log.positions(group)) {
    const counters = countersIn(meta)
    if (counters === undefined) continue
    const { read, processed, deadLettered, late, skipped, shed, expired } = counters
    const balanced = read === processed + deadLettered + late + skipped + shed + expired
    tasks.push({ task: `${group}/${partition}`, counters, balanced })
  }
  return tasks
}

async function topicLedger(
  log: Log,
  topic: string,
  tasks: readonly TaskLedger[],
): Promise<TopicLedger> {
  const mine = tasks.filter(({ task }) => task.startsWith(`ingest/${topic}/`))
  const accepted = mine.reduce((sum, { counters }) => sum + counters.emitted, 0)
  const appended = (await log.topics.offsets(topic)).reduce((sum, { next }) => sum + next, 0)
  return { topic, accepted, appended, balanced: accepted === appended }
}

/** Runners keep their counters in the metadata of a position; a stage does so in that of its first input. */
function countersIn(meta: string): TaskCounters | undefined {
  if (meta === '') return undefined
  const { counters } = JSON.parse(meta) as { counters?: TaskCounters }
  return counters
}

import type { Log } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import type { TaskCounters } from '../../process/runner.ts'

/** The books of I11, from what is committed: they hold at any instant, also while events come in. */
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
  /** Records that the log gave offsets to, a moment later: more have come where events come in. */
  readonly appended: number
  /** What was accepted is what was appended at that moment. */
  readonly balanced: boolean
}

export async function ledgerOf(log: Log, plans: readonly Plan[]): Promise<Ledger> {
  const names = new Set(plans.flatMap(({ ingests }) => ingests.map(({ topic }) => topic)))
  // The positions are read between two looks at the ends: events may come in all the while.
  const before = new Map<string, number>()
  for (const topic of names) before.set(topic, await appendedTo(log, topic))
  const tasks = new Map<string, TaskLedger>()
  const groups = plans.flatMap(({ ingests, stages, delivers }) => [
    ...ingests,
    ...stages,
    ...delivers,
    // Dead letters that go back to a sink have a task, and counters, of their own.
    ...delivers.flatMap(({ id, replay }) => (replay === undefined ? [] : { id: `${id}.replay` })),
  ])
  for (const { id } of groups) for (const task of await tasksOf(log, id)) tasks.set(task.task, task)
  const topics: TopicLedger[] = []
  const all = [...tasks.values()]
  for (const [topic, least] of before) {
    const accepted = all
      .filter(({ task }) => task.startsWith(`ingest/${topic}/`))
      .reduce((sum, { counters }) => sum + counters.emitted, 0)
    const appended = await appendedTo(log, topic)
    topics.push({ topic, accepted, appended, balanced: least <= accepted && accepted <= appended })
  }
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

async function appendedTo(log: Log, topic: string): Promise<number> {
  return (await log.topics.offsets(topic)).reduce((sum, { next }) => sum + next, 0)
}

/** Runners keep their counters in the metadata of a position; a stage does so in that of its first input. */
function countersIn(meta: string): TaskCounters | undefined {
  if (meta === '') return undefined
  const { counters } = JSON.parse(meta) as { counters?: TaskCounters }
  return counters
}

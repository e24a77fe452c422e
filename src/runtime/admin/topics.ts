import { MillraceError } from '../../errors.ts'
import type { Log, PartitionOffsets, TopicInfo } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import { parseIsoTime } from '../../process/ingest-time.ts'

export interface TopicSummary extends TopicInfo {
  /** Records between the earliest and the next offset: an upper bound. */
  readonly records: number
}

export interface TopicDescription extends TopicSummary {
  readonly offsets: readonly PartitionOffsets[]
}

/** How far one reader (a stage or a sink) is behind in one partition of one topic. */
export interface LagRow {
  /** Stage or sink. */
  readonly group: string
  readonly topic: string
  readonly partition: number
  /** The next record it will read; undefined where it has not committed a position yet. */
  readonly position: number | undefined
  readonly next: number
  readonly lag: number
}

export async function listTopics(log: Log): Promise<TopicSummary[]> {
  const topics = await log.topics.list()
  const all: TopicSummary[] = []
  for (const topic of topics)
    all.push({ ...topic, records: recordsIn(await log.topics.offsets(topic.name)) })
  return all.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** Throws MR6010 where there is no such topic. */
export async function describeTopic(log: Log, name: string): Promise<TopicDescription> {
  const topic = await topicNamed(log, name)
  const offsets = await log.topics.offsets(name)
  return { ...topic, records: recordsIn(offsets), offsets }
}

export async function topicNamed(log: Log, name: string): Promise<TopicInfo> {
  const [topic] = await log.topics.list(name)
  if (topic === undefined) throw new MillraceError('MR6010', `There is no topic "${name}".`)
  return topic
}

/** Lag of every stage and sink of the plans, from committed positions. Works without a running engine. */
export async function lagOf(log: Log, plans: readonly Plan[]): Promise<LagRow[]> {
  const rows: LagRow[] = []
  for (const plan of plans) {
    for (const stage of plan.stages) {
      for (const input of stage.inputs) rows.push(...(await groupLag(log, stage.id, input.topic)))
    }
    for (const deliver of plan.delivers) {
      if (deliver.servePath === undefined)
        rows.push(...(await groupLag(log, deliver.id, deliver.topic)))
    }
  }
  return rows
}

async function groupLag(log: Log, group: string, topic: string): Promise<LagRow[]> {
  const [offsets, positions] = await Promise.all([log.topics.offsets(topic), log.positions(group)])
  return offsets.map(({ earliest, next }, partition) => {
    const found = positions.find((one) => one.topic === topic && one.partition === partition)
    const lag = Math.max(0, next - (found?.offset ?? earliest))
    return { group, topic, partition, position: found?.offset, next, lag }
  })
}

function recordsIn(offsets: readonly PartitionOffsets[]): number {
  return offsets.reduce((sum, { earliest, next }) => sum + next - earliest, 0)
}

/** Where `from` lies in a partition: `earliest`, `latest`, an offset, or an ISO time. Throws MR6011 for anything else. */
export async function startOffset(
  log: Log,
  topic: string,
  partition: number,
  from: string,
): Promise<number> {
  if (/^\d+$/.test(from)) return Number(from)
  if (from === 'earliest' || from === 'latest') {
    const offsets = (await log.topics.offsets(topic))[partition]
    return (from === 'earliest' ? offsets?.earliest : offsets?.next) ?? 0
  }
  const time = parseIsoTime(from)
  if (Number.isNaN(time)) {
    const what = `"${from}" is neither earliest, latest, an offset nor an ISO time with a zone.`
    throw new MillraceError('MR6011', what)
  }
  return log.topics.offsetAt(topic, partition, time)
}

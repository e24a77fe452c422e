/** Decides changes of the catalog: pure functions from the state and a request to the changes to commit. */
import { isDeepStrictEqual } from 'node:util'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { TopicInfo, TopicSpec } from '../log.ts'
import { isTopicInfo, isWhole } from './payloads.ts'
import type { Change } from './payloads.ts'
import type { LogState, TopicState } from './state.ts'

const LABEL_BYTES = 64 * 1024

/** The changes to commit (none when all is as asked), and what the caller gets once they are. */
export interface Decision<T> {
  readonly changes: readonly Change[]
  readonly value: T
}

export function topicNamed(state: LogState, name: string): TopicState {
  const id = state.names.get(name)
  const topic = id === undefined ? undefined : state.topics.get(id)
  if (topic === undefined) throw new MillraceError('MR2011', `Topic "${name}" is not there.`)
  return topic
}

export function checkPartition(topic: TopicState, partition: number): void {
  const { name, partitions } = topic.info
  if (Number.isSafeInteger(partition) && partition >= 0 && partition < partitions) return
  throw new MillraceError(
    'MR2011',
    `Topic "${name}" has ${partitions} partitions; there is no partition ${partition}.`,
  )
}

/** `change`: retention and labels of a topic that is there become those of the spec. */
export function decideCreate(
  state: LogState,
  spec: TopicSpec,
  change: boolean,
): Decision<TopicInfo> {
  checkSpec(spec)
  const { name, kind, partitions, retentionMs, retentionBytes, labels } = spec
  const info: TopicInfo = {
    id: state.nextTopic,
    name,
    kind,
    partitions,
    ...(retentionMs === undefined ? {} : { retentionMs }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
    // Through JSON, so that what is compared is what will be stored.
    ...(labels === undefined
      ? {}
      : { labels: JSON.parse(JSON.stringify(labels)) as Record<string, unknown> }),
  }
  const existing = state.names.get(name)
  if (existing === undefined) return { changes: [{ type: 'topic', info }], value: info }
  const there = topicNamed(state, name).info
  const wanted = { ...info, id: existing }
  if (isDeepStrictEqual(there, wanted)) return { changes: [], value: there }
  if (change && there.kind === kind && there.partitions === partitions)
    return { changes: [{ type: 'topic', info: wanted }], value: wanted }
  throw new MillraceError(
    'MR2010',
    `Topic "${name}" is there as ${describe(there)}, not as ${describe(info)}.`,
  )
}

function describe({ kind, partitions, retentionMs, retentionBytes }: TopicInfo): string {
  return `${kind}, ${partitions} partitions, retention ${retentionMs ?? 'unlimited'} ms and ${retentionBytes ?? 'unlimited'} bytes`
}

function checkSpec(spec: TopicSpec): void {
  const fail = (what: string): never => {
    throw new MillraceError('MR2012', what)
  }
  if (!/^[a-zA-Z0-9._-]{1,200}$/.test(spec.name) || spec.name === '.' || spec.name === '..') {
    fail(`"${spec.name.slice(0, 250)}" is no topic name.`)
  }
  if (!['user', 'internal', 'changelog'].includes(spec.kind))
    fail(`"${spec.kind}" is no kind of topic.`)
  if (
    !Number.isSafeInteger(spec.partitions) ||
    spec.partitions < 1 ||
    spec.partitions > limits.partitions
  ) {
    fail(`Topic "${spec.name}" would have ${spec.partitions} partitions.`)
  }
  for (const retention of [spec.retentionMs, spec.retentionBytes]) {
    if (retention === undefined) continue
    if (!isWhole(retention))
      fail(`Topic "${spec.name}" would have a retention of ${String(retention)}.`)
    if (spec.kind === 'changelog')
      fail(`Topic "${spec.name}" is a changelog: only snapshots shorten it.`)
  }
  const bytes = spec.labels === undefined ? 0 : Buffer.byteLength(JSON.stringify(spec.labels))
  if (bytes > LABEL_BYTES)
    fail(`The labels of topic "${spec.name}" have ${bytes} bytes; the limit is ${LABEL_BYTES}.`)
  if (!isTopicInfo({ ...spec, id: 0 }))
    fail(`Topic "${spec.name}" has labels that are not an object.`)
}

export function decideHold(
  state: LogState,
  group: string,
  name: string,
  ms: number,
  bytes: number,
): Decision<void> {
  const topic = topicNamed(state, name).info.id
  if (!isWhole(ms) || !isWhole(bytes))
    throw new MillraceError('MR2012', `A hold of ${ms} ms and ${bytes} bytes is none.`)
  const there = state.holds.get(`${group}\n${topic}`)
  if (there?.ms === ms && there.bytes === bytes) return { changes: [], value: undefined }
  return { changes: [{ type: 'hold', group, topic, ms, bytes }], value: undefined }
}

export function decideTrim(
  state: LogState,
  name: string,
  partition: number,
  before: number,
): Decision<void> {
  const topic = topicNamed(state, name)
  checkPartition(topic, partition)
  const next = topic.next[partition]!
  if (!isWhole(before) || before > next) {
    throw new MillraceError(
      'MR2014',
      `${name}/${partition} cannot be trimmed to ${before}: it ends at ${next}.`,
    )
  }
  if (before <= topic.earliest[partition]!) return { changes: [], value: undefined }
  return {
    changes: [{ type: 'earliest', topic: topic.info.id, partition, offset: before, bytes: 0 }],
    value: undefined,
  }
}

export function decideOpen(
  state: LogState,
  owner: string,
): Decision<{ readonly id: number; readonly epoch: number }> {
  const there = state.writers.get(owner)
  const id = there?.id ?? state.writers.size + 1
  const epoch = (there?.epoch ?? 0) + 1
  return { changes: [{ type: 'writer', owner, id, epoch }], value: { id, epoch } }
}

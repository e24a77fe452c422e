import { must } from '../core/assert.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { PipelineDefinition, StreamNode, TableNode } from '../pipeline/definition.ts'
import { combined } from './combine.ts'
import { describeNode } from './describe.ts'
import { hashOf } from './hash.ts'
import type { DeliverPlan, IngestPlan, Plan, PlannedTopic, StageInput, StagePlan } from './plan.ts'
import { cutStages, nameOf, rowTopic, type StageDraft } from './stages.ts'

const hour = 60 * 60 * 1000
const day = 24 * hour
/** Buckets of producers: pushes of one producer stay in one task, those of many spread. */
const pushBuckets = 8
const defaultHold = { ms: limits.holdMs, bytes: limits.holdBytes }

/** The plan of a pipeline: pure, and the same for the same definition. Throws MillraceError MR30xx. */
export function planOf(definition: PipelineDefinition): Plan {
  const { name, mode, nodes } = definition
  const stages = combined(
    cutStages(definition).map((draft) => stageOf(name, draft)),
    definition,
  )
  const delivers = deliversOf(definition)
  const deadLetters = `${name}.dead-letters`
  const inlets = nodes.filter((node) => node.kind === 'stream' || node.kind === 'table')
  const ingests = inlets.flatMap(ingestsOf)
  const plan: Omit<Plan, 'hash'> = {
    pipeline: name,
    mode,
    topics: topicsOf(definition, ingests, stages, delivers, deadLetters),
    ingests,
    stages,
    delivers,
    deadLetters,
    nodes: nodes.map((node) => ({
      id: node.id,
      kind: node.kind,
      name: nameOf(node),
      ...('input' in node ? { input: node.input } : {}),
      describe: describeNode(node, nodes),
    })),
  }
  return { ...plan, hash: hashOf(plan, definition) }
}

function stageOf(pipeline: string, draft: StageDraft): StagePlan {
  const { name, partitions, nodes, outputs } = draft
  const id = `${pipeline}/${name}`
  const first = must(draft.inputs[0], 'a stage reads something')
  const replay: StageInput = {
    topic: `${pipeline}.${name}.replay`,
    role: 'replay',
    node: first.node,
    upstreams: 0,
    start: 'earliest',
  }
  // Stream time is state wherever windows close by it, here or in a later stage.
  const timed =
    draft.stores.some(({ kind }) => kind === 'window') ||
    [...draft.inputs, ...outputs].some(({ role }) => role === 'repartition')
  const time = timed ? [{ name: 'time', node: first.node, kind: 'time' as const }] : []
  const stores = [...draft.stores, ...time].map((store) => ({
    ...store,
    changelog: `${pipeline}.${name}.${store.name}.changelog`,
  }))
  return { id, partitions, inputs: [...draft.inputs, replay], nodes, outputs, stores }
}

function deliversOf(definition: PipelineDefinition): readonly DeliverPlan[] {
  const partitionsOf = new Map<string, number>()
  for (const { outputs } of cutStages(definition)) {
    for (const { topic, partitions } of outputs) partitionsOf.set(topic, partitions)
  }
  for (const node of definition.nodes)
    if (node.kind === 'stream') partitionsOf.set(node.topic, node.partitions)
  return definition.nodes.flatMap((node) => {
    if (node.kind !== 'toSink') return []
    const { kind, describe, guarantee, hold = defaultHold, serve } = node.sink
    const topic = rowTopic(definition, node.input)
    return {
      id: `${definition.name}/${node.name}`,
      node: node.id,
      topic,
      partitions: must(partitionsOf.get(topic), 'what a sink reads is written by a stage'),
      kind,
      describe,
      guarantee,
      hold,
      ...(serve === undefined
        ? { replay: `${definition.name}.${node.name}.replay` }
        : { servePath: serve.path }),
    }
  })
}

function ingestsOf(node: StreamNode | TableNode): readonly IngestPlan[] {
  const { topic, source, id } = node
  const push: IngestPlan = {
    id: `ingest/${topic}`,
    topic,
    node: id,
    how: 'push',
    partitions: pushBuckets,
    ...(source?.push === undefined ? {} : { path: source.push.path }),
    onInvalid: source?.push?.onInvalid ?? 'refuse',
    describe: source?.push === undefined ? `http POST /topics/${topic}` : source.describe,
    replay: 'resends',
    sessions: `ingest.${topic}.sessions.changelog`,
  }
  if (source?.open === undefined) return [push]
  const { kind, partitions, describe, replay } = source
  const pulled = `ingest/${topic}/${kind}`
  return [
    push,
    {
      id: pulled,
      topic,
      node: id,
      how: 'pull',
      partitions,
      onInvalid: 'deadLetter',
      describe,
      replay,
    },
  ]
}

function topicsOf(
  definition: PipelineDefinition,
  ingests: readonly IngestPlan[],
  stages: readonly StagePlan[],
  delivers: readonly DeliverPlan[],
  deadLetters: string,
): readonly PlannedTopic[] {
  const topics = new TopicList(definition.name)
  for (const node of definition.nodes) {
    if (node.kind === 'stream' || node.kind === 'table') topics.add(inletTopic(node))
  }
  for (const { sessions } of ingests)
    if (sessions !== undefined) topics.add(changelog(sessions, pushBuckets))
  for (const { partitions, inputs, outputs, stores } of stages) {
    for (const { topic, role } of inputs) {
      if (role === 'replay') topics.add(replayTopic(topic, partitions))
    }
    for (const output of outputs) topics.add(outputTopic(output))
    for (const store of stores) topics.add(changelog(store.changelog, partitions))
  }
  for (const { replay } of delivers) {
    if (replay !== undefined) topics.add(replayTopic(replay, 1))
  }
  topics.add({ name: deadLetters, kind: 'internal', partitions: 1, role: 'dead-letters' })
  return topics.all
}

function inletTopic(node: StreamNode | TableNode): PlannedTopic {
  const { topic, kind, partitions, schema, key, time, retentionMs, retentionBytes } = node
  const { json, version } = schema
  const keyPath = key === undefined ? {} : { key: key.path }
  const labels = {
    schemaVersion: version,
    ...keyPath,
    ...(time === undefined ? {} : { time }),
    ...shownSchema(json),
  }
  return {
    name: topic,
    kind: 'user',
    partitions,
    role: kind,
    ...given({ retentionMs, retentionBytes }),
    labels,
  }
}

/** Labels are bounded; a schema beyond that is known by its version alone. */
function shownSchema(json: object | undefined): { readonly schema?: object } {
  return json === undefined || JSON.stringify(json).length > 32 * 1024 ? {} : { schema: json }
}

function outputTopic({ topic, role, partitions }: StagePlan['outputs'][number]): PlannedTopic {
  if (role === 'topic')
    return { name: topic, kind: 'user', partitions, role: 'output', retentionMs: 7 * day }
  const retentionMs = role === 'repartition' ? hour : day
  return { name: topic, kind: 'internal', partitions, role, retentionMs }
}

function replayTopic(name: string, partitions: number): PlannedTopic {
  return { name, kind: 'internal', partitions, role: 'replay', retentionMs: 7 * day }
}

function changelog(name: string, partitions: number): PlannedTopic {
  return { name, kind: 'changelog', partitions, role: 'changelog' }
}

function given(retention: {
  readonly retentionMs: number | undefined
  readonly retentionBytes: number | undefined
}): Pick<PlannedTopic, 'retentionMs' | 'retentionBytes'> {
  const { retentionMs, retentionBytes } = retention
  return {
    ...(retentionMs === undefined ? {} : { retentionMs }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
  }
}

/** Topics by name; the same user topic may be read and written, anything else may not meet. */
class TopicList {
  readonly #pipeline: string
  readonly #byName = new Map<string, PlannedTopic>()

  constructor(pipeline: string) {
    this.#pipeline = pipeline
  }

  get all(): readonly PlannedTopic[] {
    return [...this.#byName.values()]
  }

  add(topic: PlannedTopic): void {
    const { name, kind, partitions } = topic
    if (name.length > limits.topicNameBytes) {
      const text = `The topic ${name} has ${name.length} characters; the limit is ${limits.topicNameBytes}.`
      throw new MillraceError('MR3010', text)
    }
    const known = this.#byName.get(name)
    if (known === undefined) {
      this.#byName.set(name, topic)
      return
    }
    if (known.kind !== 'user' || kind !== 'user') {
      const text = `Pipeline ${this.#pipeline} has two topics called ${name} (${known.role} and ${topic.role}).`
      throw new MillraceError('MR3011', text)
    }
    if (known.partitions === partitions) return
    const text = `The topic ${name} has ${known.partitions} partitions in one place and ${partitions} in another.`
    throw new MillraceError('MR3020', text)
  }
}

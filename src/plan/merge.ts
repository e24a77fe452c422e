import { MillraceError } from '../errors.ts'
import type { IngestPlan, Plan, PlannedTopic } from './plan.ts'

/** What several pipelines on one engine make together. */
export interface MergedPlan {
  readonly plans: readonly Plan[]
  /** Every topic once. */
  readonly topics: readonly PlannedTopic[]
  /** Every ingest once, with the pipeline whose definition has its node. */
  readonly ingests: readonly (IngestPlan & { readonly pipeline: string })[]
}

/** Throws MR3020 where they define a topic differently, MR3021 where two have one name, MR3097 where two share a path. */
export function mergePlans(plans: readonly Plan[]): MergedPlan {
  const names = new Set<string>()
  const topics = new Map<string, PlannedTopic>()
  const ingests = new Map<string, IngestPlan & { readonly pipeline: string }>()
  for (const plan of plans) {
    if (names.has(plan.pipeline)) {
      throw new MillraceError('MR3021', `Two pipelines are called ${plan.pipeline}.`)
    }
    names.add(plan.pipeline)
    for (const topic of plan.topics)
      topics.set(topic.name, mergedTopic(topics.get(topic.name), topic, plan.pipeline))
    for (const ingest of plan.ingests) {
      const known = ingests.get(ingest.id)
      if (known === undefined) ingests.set(ingest.id, { ...ingest, pipeline: plan.pipeline })
      else ingests.set(ingest.id, mergedIngest(known, ingest, plan.pipeline))
    }
  }
  checkPaths(plans)
  return { plans, topics: [...topics.values()], ingests: [...ingests.values()] }
}

/** The server has one answer per path: for what comes in by http sources, and for what goes out by websocket sinks. */
function checkPaths(plans: readonly Plan[]): void {
  const taken = new Map<string, string>()
  const take = (what: string, path: string | undefined, topic: string): void => {
    const other = taken.get(`${what} ${path}`)
    if (path === undefined || other === topic) return
    if (other === undefined) taken.set(`${what} ${path}`, topic)
    else
      throw new MillraceError(
        'MR3097',
        `The ${what} ${path} is of topic ${other} and of topic ${topic}.`,
      )
  }
  for (const { ingests, delivers } of plans) {
    for (const { path, topic } of ingests) take('http path', path, topic)
    for (const { servePath, topic } of delivers) take('websocket path', servePath, topic)
  }
}

function mergedTopic(
  known: PlannedTopic | undefined,
  topic: PlannedTopic,
  pipeline: string,
): PlannedTopic {
  if (known === undefined) return topic
  const differs = (what: string, a: unknown, b: unknown): MillraceError => {
    const text = `Pipeline ${pipeline} says ${what} of topic ${topic.name} is ${shown(b)}; another says ${shown(a)}.`
    return new MillraceError('MR3020', text)
  }
  if (known.kind !== topic.kind) throw differs('kind', known.kind, topic.kind)
  if (known.partitions !== topic.partitions)
    throw differs('partitions', known.partitions, topic.partitions)
  // One that only writes to the topic says nothing about what is in it.
  if (topic.labels === undefined) return known
  if (known.labels === undefined) return topic
  for (const label of ['schemaVersion', 'key', 'time']) {
    const [a, b] = [known.labels[label], topic.labels[label]]
    if (a !== b) throw differs(label === 'schemaVersion' ? 'schema' : label, a, b)
  }
  for (const name of ['retentionMs', 'retentionBytes'] as const) {
    if (known[name] !== topic[name]) throw differs(name, known[name], topic[name])
  }
  return known
}

/** The path of a push may be said by one of them; two paths, or two pull sources of one kind, are one too many. */
function mergedIngest(
  known: IngestPlan & { readonly pipeline: string },
  ingest: IngestPlan,
  pipeline: string,
): IngestPlan & { readonly pipeline: string } {
  if (ingest.how === 'push' && ingest.path === undefined) return known
  if (ingest.how === 'push' && known.path === undefined) return { ...ingest, pipeline }
  const same =
    ingest.path === known.path &&
    ingest.describe === known.describe &&
    ingest.onInvalid === known.onInvalid
  if (same) return known
  const text = `Topic ${ingest.topic} comes from ${known.describe} in pipeline ${known.pipeline} and from ${ingest.describe} in pipeline ${pipeline}.`
  throw new MillraceError('MR3020', text)
}

function shown(value: unknown): string {
  return value === undefined
    ? 'not given'
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)
}

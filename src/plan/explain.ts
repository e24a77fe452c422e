/** The plan as text: what `millrace plan` prints, in the order of the data path. */
import type { Shed } from '../pipeline/shed.ts'
import { describeConditions, duration } from './describe.ts'
import type { DeliverPlan, IngestPlan, Plan, PlannedTopic, StageInput, StagePlan } from './plan.ts'

const modes = {
  'exactly-once':
    'every event affects state and topics once, whatever crashes; sinks as each one says below',
  'at-least-once':
    'no event is lost; after a crash some outputs may come again; sinks as each one says below',
} as const

const guarantees = {
  transactional: 'exactly once: rows and position in one transaction',
  idempotent: 'exactly once in effect: keyed writes, repeating one changes nothing',
  'at-least-once':
    'at least once: after a failure some may come again, under the same idempotency key',
} as const

const replays = {
  replayable: 'reads again from any position',
  resends: 'senders repeat what was not acknowledged',
  none: 'what a crash leaves uncommitted is gone',
} as const

/** Several lines, none ending in a space; no colours. */
export function explain(plan: Plan): string {
  const sections = [
    [`pipeline ${plan.pipeline}   ${plan.mode}   plan ${plan.hash}`, `  ${modes[plan.mode]}`],
    sources(plan),
    ...plan.stages.map((stage) => stageText(plan, stage)),
    sinks(plan),
    topics(plan),
  ]
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')
}

function sources({ ingests, topics, nodes }: Plan): readonly string[] {
  if (ingests.length === 0) return []
  const lines = ['sources']
  for (const topic of topics) {
    if (topic.role !== 'stream' && topic.role !== 'table') continue
    const into = ingests.filter((ingest) => ingest.topic === topic.name)
    const node = nodes.find(({ id }) => id === into[0]?.node)
    lines.push(`  ${topic.role} ${topic.name}   ${partitions(topic.partitions)}, ${kept(topic)}`)
    if (node !== undefined) lines.push(`    ${node.describe}`)
    for (const ingest of into) lines.push(`    ← ${ingestText(ingest)}`)
  }
  return lines
}

function ingestText({ describe, replay, how, onInvalid }: IngestPlan): string {
  const invalid =
    onInvalid === 'deadLetter' ? 'invalid events become dead letters' : 'invalid events are refused'
  return `${describe}   ${how === 'push' ? '' : `${replays[replay]}; `}${invalid}`
}

function stageText(plan: Plan, stage: StagePlan): readonly string[] {
  const lines = [
    `stage ${stage.id}   ${stage.partitions === 1 ? '1 task' : `${stage.partitions} tasks`}`,
  ]
  const inputs = stage.inputs.filter(({ role }) => role !== 'replay')
  for (const input of inputs) {
    lines.push(`  ← ${inputText(input)}`)
    if (input.shed !== undefined) lines.push(`    ${shedText(input.shed)}`)
  }
  const rows = stage.nodes.flatMap((id) => {
    const node = plan.nodes.find((one) => one.id === id)
    return node === undefined ? [] : [[node.kind, node.name, node.describe]]
  })
  for (const line of aligned(rows)) lines.push(`    ${line}`)
  for (const store of stage.stores) {
    if (store.kind === 'time') continue
    lines.push(
      `  ≡ ${store.kind === 'table' ? 'table' : 'windows'} ${store.name}   in memory, changelog ${store.changelog}`,
    )
  }
  for (const output of stage.outputs) {
    const by = plan.nodes.find(({ id }) => id === output.keyedBy)
    const aggregate = plan.nodes.find(({ id }) => id === output.combinedFor)
    const sums = aggregate === undefined ? '' : `, added up for ${aggregate.name} in every commit`
    const why = by === undefined ? '' : `   by the key of ${by.name}${sums}`
    lines.push(`  → ${output.topic}   ${partitions(output.partitions)}${why}`)
  }
  return lines
}

function inputText({ topic, role, start }: StageInput): string {
  if (role === 'table') return `${topic}   table`
  if (start === 'earliest') return topic
  const from = typeof start === 'object' ? new Date(start.time).toISOString() : start
  return `${topic}   from ${from} at the first start`
}

function shedText(shed: Shed): string {
  const { policy, maxLag } = shed
  const some = `all but the newest ${maxLag} unread records of a partition`
  if (policy === 'drop-oldest') return `${policy}: sheds ${some}`
  const kept =
    policy === 'priority'
      ? describeConditions(shed.keep)
      : `${Number((shed.keep * 100).toPrecision(12))} %`
  return `${policy}: of ${some} keeps ${kept}`
}

function sinks({ delivers }: Plan): readonly string[] {
  if (delivers.length === 0) return []
  return ['sinks', ...delivers.flatMap(sinkText)]
}

function sinkText({
  id,
  topic,
  describe,
  guarantee,
  hold,
  servePath,
}: DeliverPlan): readonly string[] {
  const name = id.slice(id.indexOf('/') + 1)
  const lines = [`  ${name}   ${describe}`, `    ← ${topic}`]
  if (servePath !== undefined)
    return [...lines, '    clients hold their own position, and resume from it']
  return [
    ...lines,
    `    ${guarantees[guarantee]}`,
    `    holds what it has not read for ${duration(hold.ms)} or ${size(hold.bytes)}`,
  ]
}

function topics(plan: Plan): readonly string[] {
  const shown = plan.topics.filter(({ role }) => role !== 'changelog' && role !== 'replay')
  const rows = shown.map((topic) => [
    topic.name,
    topic.role,
    partitions(topic.partitions),
    kept(topic),
  ])
  const hidden = plan.topics.length - shown.length
  const rest = hidden === 0 ? [] : [`  and ${hidden} for state and replay (--json lists them)`]
  return ['topics', ...aligned(rows).map((line) => `  ${line}`), ...rest]
}

function partitions(count: number): string {
  return count === 1 ? '1 partition' : `${count} partitions`
}

export function kept({
  retentionMs,
  retentionBytes,
}: Pick<PlannedTopic, 'retentionMs' | 'retentionBytes'>): string {
  if (retentionMs === undefined && retentionBytes === undefined) return 'kept forever'
  const bounds = []
  if (retentionMs !== undefined) bounds.push(duration(retentionMs))
  if (retentionBytes !== undefined) bounds.push(size(retentionBytes))
  return `kept ${bounds.join(' or ')}`
}

function size(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`
}

/** Columns of equal width, three spaces apart; the last one as long as it is. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('   ')
      .trimEnd(),
  )
}

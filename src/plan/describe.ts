/** One line per node for people. */
import type {
  AggregateField,
  Condition,
  Node,
  Selector,
  StreamNode,
  TableNode,
} from '../pipeline/definition.ts'

const operators = { gt: '>', gte: '≥', lt: '<', lte: '≤', ne: '≠' } as const

export function describeNode(node: Node, nodes: readonly Node[]): string {
  switch (node.kind) {
    case 'stream':
    case 'table':
      return describeInlet(node)
    case 'where':
      return describeConditions(node.conditions)
    case 'select':
      return node.paths.join(', ')
    case 'keyBy':
      return selector(node.key)
    case 'enrich': {
      const table = nodes[node.table]
      const from = table?.kind === 'table' ? table.topic : '?'
      const join = node.inner ? ', rows without one leave' : ''
      const added = node.fields === undefined ? source(node.fn) : described(node.fields)
      return `from ${from} by ${selector(node.key)}: ${added}${join}${failure(node)}`
    }
    case 'aggregate': {
      const { sizeMs, latenessMs, emit } = node.window
      const fields = Object.entries(node.fields).map(
        ([name, field]) => `${name} = ${describeField(field)}`,
      )
      const late = latenessMs === 0 ? '' : `, lateness ${duration(latenessMs)}`
      return `tumbling ${duration(sizeMs)}${late}, emit on ${emit}: ${fields.join(', ')}`
    }
    case 'late':
      return `rows that came too late for ${nameAt(nodes, node.input)}`
    case 'toSink':
      return node.sink.describe
    case 'toTopic':
      return `topic ${node.topic}`
    default:
      return `${source(node.fn)}${failure(node)}`
  }
}

function describeInlet({ key, time, boundMs, schema }: StreamNode | TableNode): string {
  const parts = [key === undefined ? 'no key' : `key ${selector(key)}`]
  parts.push(
    time === undefined
      ? 'time of arrival'
      : `time ${time}, up to ${duration(boundMs)} out of order`,
  )
  parts.push(
    schema.checkedBy === 'compiled'
      ? 'schema compiled'
      : 'schema checked by its own validator, event by event',
  )
  return parts.join('; ')
}

function nameAt(nodes: readonly Node[], id: number): string {
  const node = nodes[id]
  return node !== undefined && 'name' in node ? node.name : '?'
}

export function describeConditions(conditions: readonly Condition[]): string {
  return conditions.map(describeCondition).join(' and ')
}

function describeCondition(condition: Condition): string {
  const { path } = condition
  if (condition.op !== 'in')
    return `${path} ${operators[condition.op]} ${JSON.stringify(condition.value)}`
  const values = condition.values.map((value) => JSON.stringify(value))
  return values.length === 1 ? `${path} = ${values[0]}` : `${path} in (${values.join(', ')})`
}

function describeField({ kind, of }: AggregateField): string {
  return of === undefined ? `${kind}()` : `${kind}(${selector(of)})`
}

function selector(key: Selector): string {
  return 'path' in key ? key.path : source(key.fn)
}

/** `plan, tier = account.tier` */
function described(fields: Readonly<Record<string, string>>): string {
  const all = Object.entries(fields)
  return all.map(([name, path]) => (name === path ? name : `${name} = ${path}`)).join(', ')
}

function failure({
  onError,
  retries,
}: {
  readonly onError: string
  readonly retries: number
}): string {
  const retry = retries === 0 ? '' : `, ${retries} ${retries === 1 ? 'retry' : 'retries'}`
  return onError === 'deadLetter' ? retry : `${retry}, on error ${onError}`
}

/** The text of a function on one line, shortened. */
function source(fn: (...args: never[]) => unknown): string {
  const text = String(fn).replaceAll(/\s+/g, ' ')
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** `90s` as `90s`, 60000 as `1m`: the largest unit that divides it. */
export function duration(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const
  for (const [unit, size] of units) if (ms !== 0 && ms % size === 0) return `${ms / size}${unit}`
  return ms === 0 ? '0s' : `${ms}ms`
}

/**
 * Cuts a pipeline into stages. A stage begins at a stream, or where rows must change partition: at a keyBy whose key a window
 * or a lookup needs, and before an enrich that needs another key, or another number of partitions, than the rows come in.
 */
import { assert, must } from '../core/assert.ts'
import { MillraceError } from '../errors.ts'
import type { Node, OperatorNode, PipelineDefinition, Selector } from '../pipeline/definition.ts'
import type { StageInput, StageOutput, StorePlan } from './plan.ts'

export interface StageDraft {
  readonly name: string
  readonly partitions: number
  readonly inputs: StageInput[]
  readonly nodes: number[]
  readonly outputs: StageOutput[]
  readonly stores: Omit<StorePlan, 'changelog'>[]
}

type NodeOf<Kind extends Node['kind']> = Extract<Node, { kind: Kind }>
type EnrichNode = Extract<OperatorNode, { kind: 'enrich' }>

/** Where the rows of a node are, and under which key. */
interface Flow {
  readonly stage: StageDraft
  /** The node that gave the rows their key; -1 without one. */
  readonly key: number
  /** The field that still holds that key, if any is known to. */
  readonly keyPath: string | undefined
  /** The key by which the stage is partitioned: equal to `key`, or the rows are keyed anew but have not moved. */
  readonly partitionedBy: number
}

export function cutStages(definition: PipelineDefinition): readonly StageDraft[] {
  return new Cutter(definition).stages()
}

class Cutter {
  readonly #definition: PipelineDefinition
  readonly #stages: StageDraft[] = []
  readonly #flows = new Map<number, Flow>()
  /** Stages behind a repartition, by what makes two of them the same. */
  readonly #repartitions = new Map<string, StageDraft>()

  constructor(definition: PipelineDefinition) {
    this.#definition = definition
  }

  stages(): readonly StageDraft[] {
    for (const node of this.#definition.nodes) this.#visit(node)
    const works = ({ nodes, outputs }: StageDraft): boolean =>
      nodes.length > 0 || outputs.length > 0
    const unread = this.#stages.filter((stage) => !works(stage)).flatMap(({ inputs }) => inputs)
    const shedding = unread.find(({ shed }) => shed !== undefined)
    if (shedding === undefined) return this.#stages.filter(works)
    const what = `Stream ${shedding.topic} has the option shed, and no stage of the pipeline reads it.`
    throw new MillraceError('MR3022', what)
  }

  #visit(node: Node): void {
    switch (node.kind) {
      case 'stream':
        this.#flows.set(node.id, this.#streamFlow(node))
        return
      case 'table':
        return
      case 'keyBy':
        this.#flows.set(node.id, this.#keyByFlow(node))
        return
      case 'enrich':
        this.#flows.set(node.id, this.#enrichFlow(node))
        return
      case 'aggregate':
        this.#flows.set(node.id, this.#aggregateFlow(node))
        return
      case 'late':
        this.#flows.set(node.id, this.#lateFlow(node))
        return
      case 'toSink':
        this.#output(node.input, this.#rowTopic(node.input), 'output')
        return
      case 'toTopic':
        this.#output(node.input, node.topic, 'topic', node.partitions)
        return
      default:
        this.#flows.set(node.id, this.#statelessFlow(node))
    }
  }

  #streamFlow(node: NodeOf<'stream'>): Flow {
    const { topic, partitions, start, key, shed } = node
    const stage = this.#stage(topic, partitions)
    stage.inputs.push({
      topic,
      role: 'stream',
      node: node.id,
      upstreams: 0,
      start,
      ...(shed === undefined ? {} : { shed }),
    })
    const id = key === undefined ? -1 : node.id
    return { stage, key: id, keyPath: pathOf(key), partitionedBy: id }
  }

  #statelessFlow(node: OperatorNode): Flow {
    const flow = this.#flow(node.input)
    flow.stage.nodes.push(node.id)
    if (node.kind === 'where' || node.kind === 'filter') return flow
    const path = flow.keyPath
    // A function may have replaced the field that held the key; only select is known to leave it alone.
    const kept =
      node.kind === 'select' && path !== undefined && node.paths.some((one) => within(path, one))
    return kept ? flow : { ...flow, keyPath: undefined }
  }

  #keyByFlow(node: NodeOf<'keyBy'>): Flow {
    const flow = this.#flow(node.input)
    flow.stage.nodes.push(node.id)
    const keyPath = pathOf(node.key)
    if (keyPath !== undefined && keyPath === flow.keyPath) return flow
    const keyed = { ...flow, key: node.id, keyPath }
    const user = this.#firstUser(node.id, keyPath, flow.stage.partitions)
    if (user === undefined) return keyed
    const stage = this.#repartition(
      flow.stage,
      node.id,
      node.id,
      nameOf(user),
      flow.stage.partitions,
    )
    return { ...keyed, stage, partitionedBy: node.id }
  }

  /** The first window or lookup that works on the key a keyBy gave, before another keyBy or enrich changes it. */
  #firstUser(
    from: number,
    keyPath: string | undefined,
    partitions: number,
  ): OperatorNode | undefined {
    const paths = new Map<number, string | undefined>([[from, keyPath]])
    for (const node of this.#definition.nodes) {
      if (!('input' in node) || !paths.has(node.input)) continue
      const path = paths.get(node.input)
      if (node.kind === 'aggregate') return node
      if (node.kind === 'enrich' && path !== undefined && pathOf(node.key) === path) {
        // A table with another number of partitions needs a repartition of its own, whatever the key.
        if (this.#table(node).partitions === partitions) return node
      }
      if (node.kind === 'keyBy' && path !== undefined && pathOf(node.key) === path)
        paths.set(node.id, path)
      if (node.kind === 'where' || node.kind === 'filter') paths.set(node.id, path)
      if (node.kind === 'map' || node.kind === 'flatMap' || node.kind === 'derive')
        paths.set(node.id, undefined)
      if (node.kind === 'select') {
        const kept = path !== undefined && node.paths.some((one) => within(path, one))
        paths.set(node.id, kept ? path : undefined)
      }
    }
    return undefined
  }

  #enrichFlow(node: EnrichNode): Flow {
    const flow = this.#flow(node.input)
    const table = this.#table(node)
    const path = pathOf(node.key)
    const inPlace =
      path !== undefined && path === flow.keyPath && flow.stage.partitions === table.partitions
    assert(!inPlace || flow.partitionedBy === flow.key, 'a key that a lookup needs was moved to')
    const stage = inPlace
      ? flow.stage
      : this.#repartition(flow.stage, node.input, node.id, node.name, table.partitions, path)
    stage.nodes.push(node.id)
    if (!stage.inputs.some((input) => input.node === table.id)) {
      stage.inputs.push({
        topic: table.topic,
        role: 'table',
        node: table.id,
        upstreams: 0,
        start: 'earliest',
      })
      stage.stores.push({ name: table.topic, node: table.id, kind: 'table' })
    }
    const key = inPlace ? flow.key : node.id
    return { stage, key, keyPath: undefined, partitionedBy: key }
  }

  #aggregateFlow(node: NodeOf<'aggregate'>): Flow {
    const flow = this.#flow(node.input)
    assert(
      flow.key >= 0 && flow.partitionedBy === flow.key,
      'rows of a window are partitioned by their key',
    )
    flow.stage.nodes.push(node.id)
    flow.stage.stores.push({ name: node.name, node: node.id, kind: 'window' })
    return { ...flow, keyPath: node.keyName }
  }

  #lateFlow(node: NodeOf<'late'>): Flow {
    const aggregate = must(this.#definition.nodes[node.input], 'late rows are those of a node')
    assert(aggregate.kind === 'aggregate', 'late rows are those of an aggregate')
    const flow = this.#flow(aggregate.input)
    flow.stage.nodes.push(node.id)
    return flow
  }

  /** The stage that reads `node`'s rows under another key; shared where that is the same. */
  #repartition(
    from: StageDraft,
    node: number,
    keyedBy: number,
    name: string,
    partitions: number,
    path?: string,
  ): StageDraft {
    const identity = JSON.stringify([node, path ?? keyedBy, partitions])
    const known = this.#repartitions.get(identity)
    if (known !== undefined) return known
    const topic = `${this.#definition.name}.${name}.repartition`
    from.outputs.push({ node, topic, role: 'repartition', partitions, keyedBy })
    const stage = this.#stage(name, partitions)
    stage.inputs.push({
      topic,
      role: 'repartition',
      node,
      upstreams: from.partitions,
      start: 'earliest',
    })
    this.#repartitions.set(identity, stage)
    return stage
  }

  #output(node: number, topic: string, role: 'output' | 'topic', partitions?: number): void {
    // A sink of a stream reads the stream's own topic.
    if (role === 'output' && this.#definition.nodes[node]?.kind === 'stream') return
    const { stage } = this.#flow(node)
    if (stage.outputs.some((output) => output.topic === topic && output.node === node)) return
    stage.outputs.push({ node, topic, role, partitions: partitions ?? stage.partitions })
  }

  #rowTopic(node: number): string {
    return rowTopic(this.#definition, node)
  }

  #table(node: EnrichNode): NodeOf<'table'> {
    const table = must(this.#definition.nodes[node.table], 'the table of an enrich is a node')
    assert(table.kind === 'table', 'enrich looks up a table')
    return table
  }

  #stage(name: string, partitions: number): StageDraft {
    const stage: StageDraft = { name, partitions, inputs: [], nodes: [], outputs: [], stores: [] }
    this.#stages.push(stage)
    return stage
  }

  #flow(node: number): Flow {
    return must(this.#flows.get(node), 'the input of a node comes before it')
  }
}

/** The topic in which sinks find the rows of a node. */
export function rowTopic(definition: PipelineDefinition, node: number): string {
  const found = must(definition.nodes[node], 'a sink reads the rows of a node')
  return found.kind === 'stream' ? found.topic : `${definition.name}.${nameOf(found)}`
}

/** What people call a node. */
export function nameOf(node: Node): string {
  return node.kind === 'stream' || node.kind === 'table' ? node.topic : node.name
}

function pathOf(key: Selector | undefined): string | undefined {
  return key !== undefined && 'path' in key ? key.path : undefined
}

function within(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}.`)
}

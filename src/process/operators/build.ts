/** A stage of the plan and the pipeline's functions become operators that are wired to each other. */
import { must } from '../../core/assert.ts'
import { MillraceError } from '../../errors.ts'
import type { OperatorNode, PipelineDefinition } from '../../pipeline/definition.ts'
import type { Plan, StageOutput, StagePlan } from '../../plan/plan.ts'
import type { StagedOutput } from '../staging.ts'
import { StagedTopic } from '../staging.ts'
import { Accumulators } from '../windows/accumulators.ts'
import { Aggregate } from '../windows/aggregate.ts'
import type { AggregateNode } from '../windows/aggregate.ts'
import { layoutOf as aggregateLayout } from '../windows/partials.ts'
import { Combine } from './combine.ts'
import type { TableStore } from './enrich.ts'
import { Enrich, LookupKey } from './enrich.ts'
import { KeyBy, picker, Select } from './fields.ts'
import { Filter, FlatMap, MapRows } from './functions.ts'
import { Join } from './join.ts'
import type { Fates, Operator } from './operator.ts'
import { Fanout, rowSelector, UserFunction } from './operator.ts'
import type { OutputFates } from './output.ts'
import { TopicOutput } from './output.ts'
import { neededPaths } from './projection.ts'
import { Where } from './where.ts'

/** An output whose readers merge watermarks. */
export interface Announcement {
  readonly topic: StagedTopic
  /** How far the watermark there lags behind the one of the stage's input. */
  readonly shiftMs: number
}

export interface BuiltAggregate {
  readonly operator: Aggregate
  readonly accumulators: Accumulators
  /** How far the watermark at its input lags behind the one of the stage's input. */
  readonly shiftMs: number
}

export interface BuiltStage {
  /** What follows each node, by node id: the start for rows of an input. */
  readonly after: ReadonlyMap<number, Fanout>
  /** Operators by node id: where replayed rows enter. */
  readonly operators: ReadonlyMap<number, Operator>
  /** How far the watermark at a node's input lags behind the one of the stage's input, by node id. */
  readonly inputShifts: ReadonlyMap<number, number>
  /** In an order in which rows of one may flow into a later one, never back. */
  readonly aggregates: readonly BuiltAggregate[]
  readonly outputs: readonly StagedOutput[]
  readonly announcements: readonly Announcement[]
  /** What the state of the stage's windows means. */
  readonly layout: string
  /** Rows of tables by table node id, then task. */
  readonly tables: ReadonlyMap<number, (TableStore | undefined)[]>
}

type EnrichNode = Extract<OperatorNode, { kind: 'enrich' }>

class Builder {
  readonly after = new Map<number, Fanout>()
  readonly operators = new Map<number, Operator>()
  readonly aggregates: BuiltAggregate[] = []
  readonly outputs = new Map<string, StagedTopic>()
  readonly combines: Combine[] = []
  readonly announcements: Announcement[] = []
  readonly tables = new Map<number, (TableStore | undefined)[]>()
  readonly lateAfter = new Map<number, Fanout>()
  readonly inputShifts = new Map<number, number>()
  readonly #shifts = new Map<number, number>()
  readonly #fates: Fates & OutputFates

  constructor(fates: Fates & OutputFates) {
    this.#fates = fates
  }

  fanout(node: number): Fanout {
    let fanout = this.after.get(node)
    if (fanout === undefined) this.after.set(node, (fanout = new Fanout()))
    return fanout
  }

  shift(node: number): number {
    return this.#shifts.get(node) ?? 0
  }

  add(node: OperatorNode): void {
    const inputShift = this.shift(node.input)
    if (node.kind === 'late') {
      // Late rows leave their aggregate as they came: its followers are another list than those of its results.
      this.after.set(node.id, this.lateFanout(node.input))
      this.#shifts.set(node.id, inputShift)
      return
    }
    const operator = this.#make(node, inputShift)
    this.fanout(node.input).targets.push(operator)
    this.operators.set(node.id, operator)
    this.inputShifts.set(node.id, inputShift)
    this.#shifts.set(
      node.id,
      operator instanceof Aggregate ? inputShift + operator.shiftMs : inputShift,
    )
  }

  lateFanout(aggregate: number): Fanout {
    let fanout = this.lateAfter.get(aggregate)
    if (fanout === undefined) this.lateAfter.set(aggregate, (fanout = new Fanout()))
    return fanout
  }

  /**
   * `lookup`: rows move to where this enrich finds its table's rows, and take its key. `combinedFor`: the aggregate they are
   * added up for before they move.
   */
  output(
    output: StageOutput,
    lookup: EnrichNode | undefined,
    combinedFor: AggregateNode | undefined,
    paths: readonly string[] | undefined,
  ): void {
    const topic = this.outputs.get(output.topic) ?? new StagedTopic(output.topic, output.partitions)
    this.outputs.set(output.topic, topic)
    const internal = output.role === 'repartition'
    const write = new TopicOutput(
      topic,
      internal,
      this.#fates,
      paths === undefined ? undefined : picker(paths),
    )
    const { targets } = this.fanout(output.node)
    if (combinedFor !== undefined) {
      const combine = new Combine(combinedFor, topic, this.#fates, write)
      this.combines.push(combine)
      targets.push(combine)
    } else targets.push(lookup === undefined ? write : this.#keyed(lookup, write))
    if (internal) this.announcements.push({ topic, shiftMs: this.shift(output.node) })
  }

  #keyed(lookup: EnrichNode, write: Operator): Operator {
    const next = new Fanout()
    next.targets.push(write)
    return new LookupKey(rowSelector(lookup, lookup.key, this.#fates), next)
  }

  #make(node: Exclude<OperatorNode, { kind: 'late' }>, inputShift: number): Operator {
    const next = this.fanout(node.id)
    const fates = this.#fates
    switch (node.kind) {
      case 'where':
        return new Where(node.conditions, next)
      case 'filter':
        return new Filter(new UserFunction(node, node.fn, fates), next)
      case 'map':
      case 'derive':
        return new MapRows(new UserFunction(node, node.fn, fates), node.kind === 'derive', next)
      case 'flatMap':
        return new FlatMap(new UserFunction(node, node.fn, fates), next)
      case 'select':
        return new Select(node.paths, next)
      case 'keyBy':
        return new KeyBy(node, fates, next)
      case 'enrich': {
        const key = rowSelector(node, node.key, fates)
        const table = this.#table(node.table)
        if (node.fields !== undefined)
          return new Join(node.key, key, node.fields, node.inner, table, next)
        return new Enrich(key, new UserFunction(node, node.fn, fates), table, next)
      }
      default: {
        const accumulators = new Accumulators(node.fields)
        const operator = new Aggregate(node, accumulators, fates, next, this.lateFanout(node.id))
        this.aggregates.push({ operator, accumulators, shiftMs: inputShift })
        return operator
      }
    }
  }

  #table(node: number): (TableStore | undefined)[] {
    let table = this.tables.get(node)
    if (table === undefined) this.tables.set(node, (table = []))
    return table
  }
}

export function buildStage(
  plan: Plan,
  stage: StagePlan,
  definition: PipelineDefinition,
  fates: Fates & OutputFates,
): BuiltStage {
  const builder = new Builder(fates)
  for (const input of stage.inputs) builder.fanout(input.node)
  for (const id of stage.nodes) builder.add(operatorNode(stage, definition, id))
  for (const output of stage.outputs) {
    const keyedBy = output.keyedBy === undefined ? undefined : definition.nodes[output.keyedBy]
    const paths =
      output.role === 'repartition' ? neededPaths(plan, definition, output.topic) : undefined
    const aggregate = definition.nodes[output.combinedFor ?? -1]
    builder.output(
      output,
      keyedBy?.kind === 'enrich' ? keyedBy : undefined,
      aggregate?.kind === 'aggregate' ? aggregate : undefined,
      paths,
    )
  }
  const { after, operators, inputShifts, aggregates, announcements, tables } = builder
  const outputs = [...builder.outputs.values(), ...builder.combines]
  const layout = layoutOf(stage, definition)
  return { after, operators, inputShifts, aggregates, outputs, announcements, tables, layout }
}

/** By name: fields, kinds and paths in the order of their slots; a function stands for any other. */
function layoutOf(stage: StagePlan, definition: PipelineDefinition): string {
  const aggregates: Record<string, unknown> = {}
  for (const id of stage.nodes) {
    const node = definition.nodes[id]
    if (node?.kind !== 'aggregate') continue
    aggregates[node.name] = aggregateLayout(node)
  }
  return JSON.stringify(aggregates)
}

function operatorNode(stage: StagePlan, definition: PipelineDefinition, id: number): OperatorNode {
  const node = must(definition.nodes[id], 'a planned node is part of the pipeline')
  if (
    node.kind === 'stream' ||
    node.kind === 'table' ||
    node.kind === 'toSink' ||
    node.kind === 'toTopic'
  ) {
    throw new MillraceError('MR4015', `Stage ${stage.id} has the node ${id}, which is no operator.`)
  }
  return node
}

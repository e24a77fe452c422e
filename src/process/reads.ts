/**
 * What the operators of a stage read of the rows of a node, as far as they are still the rows that were read: what a scanner
 * has to find.
 */
import type {
  Condition,
  OperatorNode,
  PipelineDefinition,
  Selector,
} from '../pipeline/definition.ts'
import type { StagePlan } from '../plan/plan.ts'

export interface Reads {
  readonly paths: ReadonlySet<string>
  /** Some function sees whole rows. */
  readonly views: boolean
  /** Rows are written as they are. */
  readonly written: boolean
  /** Conditions that every row must meet before anything else becomes of it: texts, of which one stands at a path. */
  readonly keep: readonly {
    readonly path: string
    readonly oneOf: readonly string[]
    readonly condition: Condition
  }[]
}

export function readsOf(stage: StagePlan, definition: PipelineDefinition, node: number): Reads {
  const collector = new Collector(stage, definition)
  collector.follow(node)
  return { ...collector.reads(), keep: keepOf(stage, definition, node) }
}

class Collector {
  readonly #stage: StagePlan
  readonly #definition: PipelineDefinition
  readonly #paths = new Set<string>()
  #views = false
  #written = false

  constructor(stage: StagePlan, definition: PipelineDefinition) {
    this.#stage = stage
    this.#definition = definition
  }

  reads(): Omit<Reads, 'keep'> {
    return { paths: this.#paths, views: this.#views, written: this.#written }
  }

  follow(node: number): void {
    for (const output of this.#stage.outputs) {
      if (output.node !== node) continue
      // Of rows that are added up few cross as they are: these may be written anew.
      if (output.combinedFor === undefined) this.#written = true
      const keyedBy = this.#definition.nodes[output.keyedBy ?? -1]
      if (keyedBy?.kind === 'enrich') this.#select(keyedBy.key)
      const aggregate = this.#definition.nodes[output.combinedFor ?? -1]
      if (aggregate?.kind === 'aggregate') this.#fields(aggregate)
    }
    for (const follower of followers(this.#stage, this.#definition, node)) this.#operator(follower)
  }

  #operator(node: OperatorNode): void {
    switch (node.kind) {
      case 'where':
        for (const { path } of node.conditions) this.#paths.add(path)
        return this.follow(node.id)
      case 'filter':
        this.#views = true
        return this.follow(node.id)
      case 'keyBy':
        this.#select(node.key)
        return this.follow(node.id)
      case 'enrich':
        this.#select(node.key)
        if (node.fields === undefined) this.#views = true
        else this.follow(node.id)
        return
      case 'aggregate':
        this.#fields(node)
        // The rows that come too late are those that were read.
        for (const follower of followers(this.#stage, this.#definition, node.id))
          if (follower.kind === 'late') this.follow(follower.id)
        return
      case 'select':
        return
      default:
        this.#views = true
    }
  }

  #fields({ fields }: Extract<OperatorNode, { kind: 'aggregate' }>): void {
    for (const { of } of Object.values(fields)) if (of !== undefined) this.#select(of)
  }

  #select(selector: Selector): void {
    if ('path' in selector) this.#paths.add(selector.path)
    else this.#views = true
  }
}

function followers(
  { nodes }: StagePlan,
  definition: PipelineDefinition,
  node: number,
): readonly OperatorNode[] {
  return nodes.flatMap((id) => {
    const follower = definition.nodes[id]
    return follower !== undefined && 'input' in follower && follower.input === node
      ? [follower as OperatorNode]
      : []
  })
}

function keepOf(stage: StagePlan, definition: PipelineDefinition, node: number): Reads['keep'] {
  const [only, ...others] = followers(stage, definition, node)
  if (only?.kind !== 'where' || others.length > 0) return []
  if (stage.outputs.some((output) => output.node === node)) return []
  const seen = new Set<string>()
  return only.conditions.flatMap((condition) => {
    if (condition.op !== 'in' || seen.has(condition.path)) return []
    const oneOf = condition.values.filter((value) => typeof value === 'string')
    // Lone surrogates have no bytes to be compared with.
    if (oneOf.length < condition.values.length || !oneOf.every((text) => text.isWellFormed()))
      return []
    seen.add(condition.path)
    return [{ path: condition.path, oneOf, condition }]
  })
}

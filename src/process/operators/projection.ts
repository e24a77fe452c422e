/**
 * Which fields of a repartition topic's rows anyone reads. Where the stage behind it works on field paths alone, only these
 * cross the log: the rest would be written and parsed for nobody.
 */
import type { OperatorNode, PipelineDefinition, Selector } from '../../pipeline/definition.ts'
import type { Plan, StagePlan } from '../../plan/plan.ts'

/** Paths that the reader of the topic uses; undefined where it may look at the whole row. */
export function neededPaths(
  plan: Plan,
  definition: PipelineDefinition,
  topic: string,
): readonly string[] | undefined {
  const needed = new Set<string>()
  for (const stage of plan.stages) {
    for (const input of stage.inputs) {
      if (input.topic === topic && !collect(stage, definition, input.node, needed)) return undefined
    }
  }
  return [...needed]
}

/** Adds what follows `node` in the stage reads; false when that cannot be told. */
function collect(
  stage: StagePlan,
  definition: PipelineDefinition,
  node: number,
  needed: Set<string>,
): boolean {
  if (stage.outputs.some((output) => output.node === node)) return false
  return stage.nodes.every((id) => {
    const follower = definition.nodes[id] as OperatorNode
    return follower.input !== node || reads(stage, definition, follower, needed)
  })
}

function reads(
  stage: StagePlan,
  definition: PipelineDefinition,
  node: OperatorNode,
  needed: Set<string>,
): boolean {
  switch (node.kind) {
    case 'where':
      for (const { path } of node.conditions) needed.add(path)
      return collect(stage, definition, node.id, needed)
    case 'keyBy':
      return addPath(node.key, needed) && collect(stage, definition, node.id, needed)
    case 'select':
      for (const path of node.paths) needed.add(path)
      return true
    case 'aggregate': {
      const hasLate = stage.nodes.some((id) => {
        const follower = definition.nodes[id]
        return follower?.kind === 'late' && follower.input === node.id
      })
      return (
        !hasLate &&
        Object.values(node.fields).every(({ of }) => of === undefined || addPath(of, needed))
      )
    }
    default:
      return false
  }
}

function addPath(selector: Selector, needed: Set<string>): boolean {
  if (!('path' in selector)) return false
  needed.add(selector.path)
  return true
}

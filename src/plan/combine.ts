/**
 * Two-phase aggregation: where rows cross the log only to be added up, each task adds up its own first, and the sums cross.
 * That needs an aggregate that reads nothing but field paths, directly behind the keyBy, and nobody else who reads the rows.
 */
import type { Node, PipelineDefinition } from '../pipeline/definition.ts'
import type { StageOutput, StagePlan } from './plan.ts'

/** The stages with `combinedFor` where it is possible. */
export function combined(
  stages: readonly StagePlan[],
  definition: PipelineDefinition,
): readonly StagePlan[] {
  return stages.map((stage) => ({
    ...stage,
    outputs: stage.outputs.map((output) => {
      const aggregate = aggregateBehind(output, stages, definition)
      return aggregate === undefined ? output : { ...output, combinedFor: aggregate.id }
    }),
  }))
}

function aggregateBehind(
  output: StageOutput,
  stages: readonly StagePlan[],
  { nodes }: PipelineDefinition,
): Node | undefined {
  const keyedBy = output.keyedBy === undefined ? undefined : nodes[output.keyedBy]
  if (output.role !== 'repartition' || keyedBy?.kind !== 'keyBy') return undefined
  const readers = stages.filter(({ inputs }) => inputs.some(({ topic }) => topic === output.topic))
  const followers = readers.flatMap((stage) => [
    ...stage.nodes
      .map((id) => nodes[id])
      .filter((node) => node !== undefined && 'input' in node && node.input === output.node),
    ...stage.outputs.filter(({ node }) => node === output.node).map(() => undefined),
  ])
  const [only] = followers
  if (followers.length !== 1 || only?.kind !== 'aggregate') return undefined
  const paths = Object.values(only.fields).every(({ of }) => of === undefined || 'path' in of)
  return paths ? only : undefined
}

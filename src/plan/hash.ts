import { xxh64 } from '../core/hash.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { Plan } from './plan.ts'

/**
 * 16 hex digits over the plan and the definition, functions by their source text. What a function closes over is not seen:
 * two files that differ only in an imported constant have the same hash.
 */
export function hashOf(plan: Omit<Plan, 'hash'>, definition: PipelineDefinition): string {
  const nodes = definition.nodes.map((node) => {
    if (node.kind === 'stream' || node.kind === 'table') {
      const { source: _source, schema, ...rest } = node
      return { ...rest, schema: schema.version }
    }
    if (node.kind !== 'toSink') return node
    const { kind, target, keyFields } = node.sink
    return { ...node, sink: { kind, target, keyFields } }
  })
  const text = JSON.stringify([plan, definition.stateBytes, nodes], (_name, value: unknown) =>
    typeof value === 'function' ? String(value) : value,
  )
  return xxh64(new TextEncoder().encode(text)).toString(16).padStart(16, '0')
}

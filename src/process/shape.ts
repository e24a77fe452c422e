/**
 * Rows have the shape of their schema: its fields in its order, an absent optional one as an own `undefined`, and none that
 * the schema does not name. So a row looks the same whoever wrote its JSON, and whatever reads it.
 */
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { Field } from '../schema/schema.ts'

interface Shape {
  readonly names: readonly string[]
  /** Fields that are objects of a known shape themselves. */
  readonly inner: readonly { readonly name: string; readonly shape: Shape }[]
}

type Row = Record<string, unknown>

export class Shaper {
  readonly #shape: Shape | undefined
  /** The last row had fields that the schema does not name. */
  dropped = false

  constructor(root: Field | undefined) {
    this.#shape = root === undefined ? undefined : shapeOf(root)
  }

  /** The value in its shape; most often it is in it already. The value is changed or returned, and must not be used again. */
  shape(value: unknown): unknown {
    this.dropped = false
    return this.#shape === undefined ? value : this.#shaped(value, this.#shape)
  }

  #shaped(value: unknown, shape: Shape): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const row = value as Row
    for (const { name, shape: inner } of shape.inner) {
      const old = row[name]
      if (old === undefined) continue
      const made = this.#shaped(old, inner)
      if (made !== old) row[name] = made
    }
    return hasNames(row, shape.names) ? row : this.#rebuilt(row, shape.names)
  }

  #rebuilt(row: Row, names: readonly string[]): Row {
    const made: Row = {}
    let found = 0
    for (const name of names) {
      const own = Object.hasOwn(row, name)
      if (own) found++
      made[name] = own ? row[name] : undefined
    }
    if (found < Object.keys(row).length) this.dropped = true
    return made
  }
}

function hasNames(row: Row, names: readonly string[]): boolean {
  let i = 0
  for (const name in row) if (name !== names[i++]) return false
  return i === names.length
}

function shapeOf(field: Field): Shape | undefined {
  if (field.type !== 'object' || field.fields === undefined) return undefined
  const entries = Object.entries(field.fields)
  // Assigning this name would set a prototype; ingest refuses such events, and so may they be left as they are.
  if (entries.length === 0 || entries.some(([name]) => name === '__proto__')) return undefined
  const inner = entries.flatMap(([name, member]) => {
    const shape = shapeOf(member)
    return shape === undefined ? [] : [{ name, shape }]
  })
  return { names: entries.map(([name]) => name), inner }
}

/** What rows that come out of a node look like, where that is known: as long as they are the rows of a stream or table. */
export function shapeAt(definition: PipelineDefinition, id: number): Field | undefined {
  const node = definition.nodes[id]
  switch (node?.kind) {
    case 'stream':
    case 'table':
      return node.schema.root
    case 'where':
    case 'filter':
    case 'keyBy':
      return shapeAt(definition, node.input)
    case 'late': {
      const aggregate = definition.nodes[node.input]
      return aggregate?.kind === 'aggregate' ? shapeAt(definition, aggregate.input) : undefined
    }
    default:
      return undefined
  }
}

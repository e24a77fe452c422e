/** The fields that a scan meets, as a tree: which names there are, where their spans go, and what lies below them. */
import type { Field } from '../schema.ts'

export interface Child {
  readonly name: string
  /** The name as it stands between quotes; one with an escape in it is never found by its bytes. */
  readonly bytes: Uint8Array
  /** Index of the path that ends here; -1 where none does. */
  readonly column: number
  /** Fields below that are known or asked for. */
  readonly node: Node | undefined
}

export interface Node {
  /** No other names are known: a field of another name is unknown. */
  readonly closed: boolean
  readonly children: readonly Child[]
}

const encoder = new TextEncoder()

/** The tree of a shape and the paths that are asked for. A path that a known shape does not have is nowhere in it. */
export function treeOf(shape: Field | undefined, paths: readonly string[]): Node {
  const wanted = paths.map((path, column) => ({ names: path.split('.'), column }))
  return nodeOf(shape, wanted)
}

interface Wanted {
  readonly names: readonly string[]
  readonly column: number
}

function nodeOf(shape: Field | undefined, wanted: readonly Wanted[]): Node {
  const fields = shape?.fields
  const names =
    fields === undefined ? wanted.map(({ names: [first] }) => first!) : Object.keys(fields)
  const children = [...new Set(names)].map((name): Child => {
    const here = wanted.filter(({ names: [first] }) => first === name)
    const below = here.flatMap(({ names: [, ...rest], column }) =>
      rest.length === 0 ? [] : [{ names: rest, column }],
    )
    const field = fields?.[name]
    const column = here.find(({ names: { length } }) => length === 1)?.column ?? -1
    const node =
      field?.fields === undefined && below.length === 0 ? undefined : nodeOf(field, below)
    return { name, bytes: encoder.encode(name), column, node }
  })
  return { closed: fields !== undefined, children }
}

/** Collects the nodes of one pipeline in the order of the calls; names them; ends when the definition ends. */
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Node } from './definition.ts'

type Unnumbered<N> = N extends Node ? Omit<N, 'id'> : never

export class Graph {
  readonly pipeline: string
  readonly partitions: number
  readonly nodes: Node[] = []
  readonly #names = new Map<string, string>()
  #closed = false

  constructor(pipeline: string, partitions: number) {
    this.pipeline = pipeline
    this.partitions = partitions
  }

  /** Adds a node and gives its id. */
  add(node: Unnumbered<Node>): number {
    if (this.#closed) {
      const text = `Pipeline ${this.pipeline} got an operator after its definition had ended.`
      throw new MillraceError('MR3018', text)
    }
    const id = this.nodes.length
    this.nodes.push({ ...node, id } as Node)
    return id
  }

  close(): void {
    this.#closed = true
  }

  /** Takes a name that the user chose. Throws MR3010 (no name) and MR3011 (taken). */
  named(name: string, what: string): string {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(name) || name.length > limits.nameBytes) {
      throw new MillraceError('MR3010', `${what} cannot be called ${JSON.stringify(name)}.`)
    }
    return this.taken(name, what)
  }

  /** Takes a name that is already known to be one. */
  taken(name: string, what: string): string {
    const by = this.#names.get(name)
    if (by !== undefined) {
      const text = `Pipeline ${this.pipeline} has ${by} and ${what} that are both called ${name}.`
      throw new MillraceError('MR3011', text)
    }
    this.#names.set(name, what)
    return name
  }

  /** A name from the place of an operator: `events-filter`, then `events-filter-2`. */
  fresh(origin: string, kind: string): string {
    const base = `${origin.replaceAll('.', '-')}-${kind}`
    let name = base
    for (let n = 2; this.#names.has(name); n++) name = `${base}-${n}`
    return this.taken(name, `an operator ${kind}`)
  }
}

/** Topics are called as in Kafka: letters, digits, `.`, `_`, `-`. Throws MR3010. */
export function checkedTopic(name: string): string {
  const good =
    typeof name === 'string' && /^[A-Za-z0-9._-]+$/.test(name) && name !== '.' && name !== '..'
  if (good && name.length <= limits.topicNameBytes) return name
  throw new MillraceError('MR3010', `A topic cannot be called ${JSON.stringify(name)}.`)
}

/** A power of two, up to the limit: a change of the count then moves whole key ranges. Throws MR3014. */
export function checkedPartitions(what: string, partitions: number): number {
  const power =
    Number.isInteger(partitions) && partitions > 0 && (partitions & (partitions - 1)) === 0
  if (power && partitions <= limits.partitions) return partitions
  const text = `partitions of ${what} is ${partitions}; it is a power of two from 1 to ${limits.partitions}.`
  throw new MillraceError('MR3014', text)
}

/** Refuses options that do not exist, and names those that do. Throws MR3014. */
export function checkedOptions(what: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new MillraceError('MR3014', `${what} has no option ${name}; it has ${known.join(', ')}.`)
  }
}

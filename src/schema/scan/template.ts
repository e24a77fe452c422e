/**
 * A template: what rows of one producer have in common. Most producers write the same keys in the same order with nothing
 * between, so that a row is literals with values between them, and only the values differ.
 */
import { kinds } from './scanner.ts'
import {
  closeBrace,
  colon,
  comma,
  kindOf,
  openBrace,
  quote,
  skipSpace,
  stringEnd,
  valueEnd,
} from './text.ts'
import type { Child, Node } from './tree.ts'

/** `opens` and `closes` mark where an object begins and ends whose span is asked for; they take no bytes. */
export type SlotKind = 'string' | 'scalar' | 'any' | 'opens' | 'closes'

export interface Slot {
  /** What stands before it; of a string the opening quote too. */
  readonly literal: Uint8Array
  readonly kind: SlotKind
  /** Index of the path whose span it is; -1 where none is. */
  readonly column: number
}

export interface Template {
  readonly slots: readonly Slot[]
  /** What stands behind the last value. */
  readonly tail: Uint8Array
  /** Columns that its rows do not have. */
  readonly absent: readonly number[]
  /** Its rows have a field that the shape does not name. */
  readonly unknown: boolean
}

/** More values than a row of fixed shape has. */
const mostSlots = 512

/** The template of a valid row; undefined where it has something that a template cannot say. */
export function templateOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  tree: Node,
  columns: number,
): Template | undefined {
  return new Learner(bytes, start, end).learn(tree, columns)
}

class Learner {
  readonly #bytes: Uint8Array
  readonly #end: number
  #literalStart: number
  readonly #slots: Slot[] = []
  #unknown = false

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.#end = end
    this.#literalStart = start
  }

  learn(tree: Node, columns: number): Template | undefined {
    const at = this.#object(tree, skipSpace(this.#bytes, this.#literalStart, this.#end))
    if (at === undefined || this.#slots.length === 0) return undefined
    if (skipSpace(this.#bytes, at, this.#end) !== this.#end) return undefined
    const found = new Set(this.#slots.map(({ column }) => column))
    return {
      slots: this.#slots,
      tail: this.#copy(this.#literalStart, this.#end),
      absent: Array.from({ length: columns }, (_, column) => column).filter((c) => !found.has(c)),
      unknown: this.#unknown,
    }
  }

  /** Behind the object at `from`; undefined where it cannot be learned. */
  #object(node: Node, from: number): number | undefined {
    const bytes = this.#bytes
    const end = this.#end
    if (bytes[from] !== openBrace) return undefined
    let at = skipSpace(bytes, from + 1, end)
    if (bytes[at] === closeBrace) return at + 1
    for (;;) {
      if (bytes[at] !== quote || this.#slots.length > mostSlots) return undefined
      const nameEnd = stringEnd(bytes, at + 1, end)
      if (nameEnd < 0 || bytes.subarray(at, nameEnd).includes(0x5c)) return undefined
      const name = bytes.subarray(at + 1, nameEnd)
      at = skipSpace(bytes, nameEnd + 1, end)
      if (bytes[at] !== colon) return undefined
      at = skipSpace(bytes, at + 1, end)
      const child = node.children.find((one) => Buffer.compare(one.bytes, name) === 0)
      if (child === undefined && node.closed) this.#unknown = true
      const behind = this.#value(child, at)
      if (behind === undefined) return undefined
      at = skipSpace(bytes, behind, end)
      if (bytes[at] === closeBrace) return at + 1
      if (bytes[at] !== comma) return undefined
      at = skipSpace(bytes, at + 1, end)
    }
  }

  #value(child: Child | undefined, at: number): number | undefined {
    const bytes = this.#bytes
    const column = child?.column ?? -1
    if (bytes[at] === quote) {
      const stop = stringEnd(bytes, at + 1, this.#end)
      if (stop < 0) return undefined
      this.#slot('string', column, at + 1, stop)
      return stop + 1
    }
    const kind = kindOf(bytes[at])
    if (kind === kinds.absent) return undefined
    if (kind === kinds.array && child?.node !== undefined) return undefined
    if (kind === kinds.object && child?.node !== undefined) {
      if (column >= 0) this.#slot('opens', column, at, at)
      const behind = this.#object(child.node, at)
      if (behind !== undefined && column >= 0) this.#slot('closes', column, behind, behind)
      return behind
    }
    const behind = valueEnd(bytes, at, this.#end)
    if (behind < 0) return undefined
    this.#slot(kind === kinds.object || kind === kinds.array ? 'any' : 'scalar', column, at, behind)
    return behind
  }

  #slot(kind: SlotKind, column: number, at: number, behind: number): void {
    this.#slots.push({ literal: this.#copy(this.#literalStart, at), kind, column })
    this.#literalStart = behind
  }

  /** Not `slice`: of a Buffer that is a view. */
  #copy(from: number, to: number): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(from, to))
  }
}

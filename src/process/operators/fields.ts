/** Operators that work on field paths: select and keyBy. */
import { limits } from '../../limits.ts'
import type { Selector } from '../../pipeline/definition.ts'
import type { Codes, Column, Selection } from '../batch.ts'
import type { GroupKey } from '../keys.ts'
import { groupKey, textOf } from '../keys.ts'
import type { RowBatch } from '../rows.ts'
import { fieldGetter, RowList } from '../rows.ts'
import type { Fanout, Fates, Operator, RowSelector } from './operator.ts'
import { failed, rowSelector, typeOf, UserFunction } from './operator.ts'

/** Keeps the named fields at their places; absent ones stay absent. */
export class Select implements Operator {
  readonly #pick: (value: unknown) => Record<string, unknown>
  readonly #next: Fanout

  constructor(paths: readonly string[], next: Fanout) {
    this.#pick = picker(paths)
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const values: unknown[] = new Array(batch.rows)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      values[row] = this.#pick(batch.plain(row))
    }
    this.#next.process(batch.withValues(values), selection)
  }
}

/** A function that makes a row of some fields of a row. */
export function picker(paths: readonly string[]): (value: unknown) => Record<string, unknown> {
  const fields = paths.map((path) => ({ names: path.split('.'), get: fieldGetter(path) }))
  return (value) => {
    const picked: Record<string, unknown> = {}
    for (const { names, get } of fields) {
      const found = get(value)
      if (found !== undefined) place(picked, names, found)
    }
    return picked
  }
}

function place(into: Record<string, unknown>, names: readonly string[], value: unknown): void {
  let at = into
  for (let i = 0; i < names.length - 1; i++) {
    const name = names[i]!
    if (!Object.hasOwn(at, name)) set(at, name, {})
    const inner = at[name]
    // Another path brought the whole of it, this field included.
    if (typeof inner !== 'object' || inner === null) return
    at = inner as Record<string, unknown>
  }
  set(at, names.at(-1)!, value)
}

/** Assigns an own property whatever its name, `__proto__` included. */
function set(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(object, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  } else object[name] = value
}

/** Gives rows the key that the next stateful operator groups by. */
export class KeyBy implements Operator {
  readonly #key: RowSelector
  readonly #path: string | undefined
  /** Which values can be keys, by their numbers in the dictionary met last. */
  #dictionary: object | undefined
  #good: (boolean | undefined)[] = []
  readonly #fn: UserFunction
  readonly #name: string
  readonly #next: Fanout
  readonly #kept = new RowList()

  constructor(
    node: { readonly id: number; readonly name: string; readonly key: Selector },
    fates: Fates,
    next: Fanout,
  ) {
    const { key } = node
    this.#key = rowSelector(node, key, fates)
    this.#path = 'path' in key ? key.path : undefined
    this.#fn = new UserFunction(node, () => undefined, fates)
    this.#name = 'path' in key ? `The key ${key.path}` : `The key of ${node.name}`
    this.#next = next
  }

  process(batch: RowBatch, selection: Selection): void {
    const kept = this.#kept
    kept.start(selection.count)
    const column = this.#path === undefined ? undefined : batch.column(this.#path)
    const codes = column?.codes?.(selection)
    if (column !== undefined && codes !== undefined && this.#areKeys(column, codes, selection)) {
      // A number stands for a text here, and each of them was looked at.
      const next = batch.withKeys((row) => column.get(row) as string, codes)
      this.#next.process(next, selection)
      return
    }
    const keys: (GroupKey | undefined)[] = new Array(batch.rows)
    const keyOf = this.#key(batch)
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const value = keyOf(row)
      if (value === failed) continue
      const key = groupKey(value)
      if (key === undefined) {
        this.#fn.reject(batch, row, 'MR4004', `${this.#name} is ${typeOf(value)}.`)
        continue
      }
      if (isTooLong(key)) {
        const what = `${this.#name} has more than ${limits.keyBytes} bytes.`
        this.#fn.reject(batch, row, 'MR4004', what)
        continue
      }
      keys[row] = key
      kept.add(row)
    }
    this.#next.process(
      batch.withKeys((row) => keys[row]),
      kept,
    )
  }

  /** Whether every row has a number, and each number stands for a text that can be a key. */
  #areKeys(column: Column, codes: Codes, { rows, count }: Selection): boolean {
    if (this.#dictionary !== codes.dictionary) {
      this.#dictionary = codes.dictionary
      this.#good = []
    }
    for (let i = 0; i < count; i++) {
      const code = codes.of[rows[i]!]!
      if (code < 0) return false
      const good = (this.#good[code] ??= isTextKey(column.get(rows[i]!)))
      if (!good) return false
    }
    return true
  }
}

function isTextKey(value: unknown): boolean {
  return typeof value === 'string' && groupKey(value) !== undefined && !isTooLong(value)
}

function isTooLong(key: GroupKey): boolean {
  const text = textOf(key)
  // UTF-8 takes at most three bytes per code unit: most keys need no counting.
  return text.length * 3 > limits.keyBytes && Buffer.byteLength(text) > limits.keyBytes
}

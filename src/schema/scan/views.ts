/**
 * Views: what a function of the pipeline sees of a scanned row. One object is used for all rows; its fields are own,
 * enumerable getters in the order of the schema, decoded when they are read. So spreading, destructuring, `in`, Object.keys
 * and JSON.stringify give what they would give for the plain object.
 */
import type { Field } from '../schema.ts'

/** Gives the fields of the row that the view stands at. */
export interface FieldSource {
  /** The value at a path of the shape; for an object of known fields only whether there is one, by its `kind`. */
  value(path: number): unknown
  /** Whether an object stands at the path. */
  isObject(path: number): boolean
}

const known = new WeakSet<object>()

/** A view of rows of a shape whose fields are known. `paths` is where `source` finds a dotted path. */
export function viewOf(
  shape: Field,
  paths: ReadonlyMap<string, number>,
  source: FieldSource,
  prefix = '',
): object {
  const view = {}
  known.add(view)
  for (const [name, field] of Object.entries(shape.fields ?? {})) {
    const path = prefix + name
    const index = paths.get(path)
    if (index === undefined) throw new Error(`a view needs the path ${path}`)
    const inner = field.fields === undefined ? undefined : viewOf(field, paths, source, `${path}.`)
    const get =
      inner === undefined
        ? () => source.value(index)
        : () => (source.isObject(index) ? inner : source.value(index))
    Object.defineProperty(view, name, { get, enumerable: true })
  }
  return view
}

/** All paths of a shape, of objects on the way too: what a view asks for. */
export function viewPaths(shape: Field, prefix = ''): string[] {
  return Object.entries(shape.fields ?? {}).flatMap(([name, field]) => [
    prefix + name,
    ...viewPaths(field, `${prefix}${name}.`),
  ])
}

/** Whether the names of a shape can be fields of a view, and paths that can be told apart. */
export function isViewable(shape: Field | undefined): shape is Field {
  if (shape?.fields === undefined) return false
  return Object.entries(shape.fields).every(
    ([name, field]) =>
      name !== '__proto__' &&
      name !== '' &&
      !name.includes('.') &&
      (field.fields === undefined || isViewable(field)),
  )
}

/** The value, or a copy of plain objects where there is a view in it: what a function returns is kept. */
export function withoutViews(value: unknown): unknown {
  return hasView(value, undefined) ? structuredClone(value) : value
}

function hasView(value: unknown, seen: Set<object> | undefined): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (known.has(value)) return true
  if (seen?.has(value) === true) return false
  seen?.add(value)
  for (const one of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
    if (typeof one !== 'object' || one === null) continue
    // Most rows are flat: only what is nested can come back to itself.
    seen ??= new Set([value])
    if (hasView(one, seen)) return true
  }
  return false
}

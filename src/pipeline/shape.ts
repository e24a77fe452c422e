/** What is known of a row's fields while the pipeline is being defined: for errors before anything runs. */
import { MillraceError } from '../errors.ts'
import type { Field } from '../schema/schema.ts'

/** Fields of a row, as far as known; undefined: a function made the row, or the schema does not list its fields. */
export type Shape = Field | undefined

/** The field at a path: undefined where nothing is known. Throws MR3012 where the schema knows that there is none. */
export function fieldAt(shape: Shape, path: string, where: string): Field | undefined {
  const names = path.split('.')
  if (path === '' || names.includes('')) {
    throw new MillraceError(
      'MR3012',
      `${where} names the field ${JSON.stringify(path)}, which is not a path.`,
    )
  }
  let field = shape
  for (const [depth, name] of names.entries()) {
    if (field === undefined || field.type === 'unknown') return undefined
    if (field.type === 'object' && field.fields === undefined) return undefined
    const next =
      field.fields !== undefined && Object.hasOwn(field.fields, name)
        ? field.fields[name]
        : undefined
    if (next === undefined) throw unknownField(where, names, depth, field)
    field = next
  }
  return field
}

function unknownField(
  where: string,
  names: readonly string[],
  depth: number,
  parent: Field,
): MillraceError {
  const above = depth === 0 ? 'the row' : names.slice(0, depth).join('.')
  const known = Object.keys(parent.fields ?? {})
  const has = known.length === 0 ? `is of type ${parent.type}` : `has ${known.join(', ')}`
  return new MillraceError(
    'MR3012',
    `${where} names the field ${names.join('.')}, but ${above} ${has}.`,
  )
}

/** The shape after `select`. */
export function selectedShape(shape: Shape, paths: readonly string[]): Shape {
  if (shape?.fields === undefined) return undefined
  const fields: Record<string, Field> = {}
  for (const [name, field] of Object.entries(shape.fields)) {
    if (paths.includes(name)) {
      fields[name] = field
      continue
    }
    const below = paths
      .filter((path) => path.startsWith(`${name}.`))
      .map((path) => path.slice(name.length + 1))
    if (below.length === 0) continue
    fields[name] = selectedShape(field, below) ?? { type: field.type, optional: field.optional }
  }
  return { type: 'object', optional: shape.optional, fields }
}

/** The shape of an aggregate's rows. */
export function aggregateShape(
  keyName: string,
  key: Field | undefined,
  fields: readonly string[],
): Shape {
  const text: Field = { type: 'string', optional: false }
  const number: Field = { type: 'number', optional: false }
  return {
    type: 'object',
    optional: false,
    fields: {
      [keyName]: key ?? { type: 'unknown', optional: false },
      window_start: text,
      window_end: text,
      ...Object.fromEntries(fields.map((name) => [name, number])),
    },
  }
}

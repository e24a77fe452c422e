/** The field tree of a JSON Schema: what operators, sinks and errors know of an event's shape before there is one. */
import type { Field, FieldType } from './schema.ts'

type Json = Readonly<Record<string, unknown>>
type Members = Record<string, Field>

const unknownField: Field = { type: 'unknown', optional: false }
const types: readonly FieldType[] = [
  'string',
  'number',
  'integer',
  'boolean',
  'object',
  'array',
  'null',
]

export function fieldsOf(schema: Json): Field {
  return fieldOf(schema, schema, new Set())
}

function fieldOf(schema: unknown, root: Json, open: ReadonlySet<unknown>): Field {
  if (!isJson(schema) || open.has(schema)) return unknownField
  const inside = new Set(open).add(schema)
  // What stands beside each other holds at once: an object with a choice has the fields of both.
  const parts: Field[] = []
  if (typeof schema['$ref'] === 'string')
    parts.push(fieldOf(target(schema['$ref'], root), root, inside))
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = schema[keyword]
    if (Array.isArray(branches))
      parts.push(union(branches.map((branch) => fieldOf(branch, root, inside))))
  }
  if (Array.isArray(schema['allOf']))
    parts.push(...schema['allOf'].map((part) => fieldOf(part, root, inside)))
  if (parts.length === 0) return own(schema, root, inside)
  const [only, ...more] =
    schema['properties'] === undefined ? parts : [own(schema, root, inside), ...parts]
  return more.length === 0 ? only! : intersection([only!, ...more])
}

function own(schema: Json, root: Json, open: ReadonlySet<unknown>): Field {
  const type = typeOf(schema)
  const properties = schema['properties']
  if (type !== 'object' || !isJson(properties) || isOpen(schema)) return { type, optional: false }
  const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
  const fields: Members = {}
  for (const [name, member] of Object.entries(properties)) {
    fields[name] = { ...fieldOf(member, root, open), optional: !required.includes(name) }
  }
  return { type, optional: false, fields }
}

/** Other fields than those listed are said to be welcome. Where nothing is said they pass, but nobody means to read them. */
function isOpen(schema: Json): boolean {
  const more = schema['additionalProperties']
  const words = ['patternProperties', 'if', 'dependentSchemas']
  return (more !== undefined && more !== false) || words.some((word) => word in schema)
}

function typeOf(schema: Json): FieldType {
  const { type } = schema as { readonly type?: unknown }
  if (types.includes(type as FieldType)) return type as FieldType
  if (type !== undefined) return 'unknown'
  if (schema['properties'] !== undefined) return 'object'
  const values = Array.isArray(schema['enum'])
    ? schema['enum']
    : 'const' in schema
      ? [schema['const']]
      : []
  const found = new Set(values.map(typeOfValue))
  return found.size === 1 ? [...found][0]! : 'unknown'
}

function typeOfValue(value: unknown): FieldType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  const type = typeof value
  return type === 'string' || type === 'number' || type === 'boolean' || type === 'object'
    ? type
    : 'unknown'
}

/** A field of one branch is a field of the union; it is optional unless all branches have and need it. */
function union(branches: readonly Field[]): Field {
  const type = same(branches.map((branch) => branch.type)) ?? 'unknown'
  if (type !== 'object' || branches.some(({ fields }) => fields === undefined))
    return { type, optional: false }
  const names = new Set(branches.flatMap(({ fields }) => Object.keys(fields!)))
  const fields: Members = {}
  for (const name of names) {
    const found = branches
      .map((branch) => branch.fields![name])
      .filter((field) => field !== undefined)
    const optional = found.length < branches.length || found.some((field) => field.optional)
    fields[name] = { ...union(found), optional }
  }
  return { type, optional: false, fields }
}

/** All of the parts hold; a field is optional where none of them needs it. */
function intersection(parts: readonly Field[]): Field {
  const fields: Members = {}
  for (const part of parts) {
    if (part.fields === undefined)
      return { type: same(parts.map(({ type }) => type)) ?? 'unknown', optional: false }
    for (const [name, field] of Object.entries(part.fields)) {
      const known = fields[name]
      const optional = field.optional && known?.optional !== false
      fields[name] = { ...(known === undefined ? field : intersection([known, field])), optional }
    }
  }
  return { type: 'object', optional: false, fields }
}

function same<T>(values: readonly T[]): T | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined
}

function target(ref: string, root: Json): unknown {
  // TypeBox refers to its definitions by name alone.
  if (!ref.startsWith('#')) return isJson(root['$defs']) ? root['$defs'][ref] : undefined
  let at: unknown = root
  for (const part of ref.slice(1).split('/').slice(1)) {
    if (!isJson(at)) return undefined
    at = at[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')]
  }
  return at
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

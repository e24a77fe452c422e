/** TypeBox and plain JSON Schema: checked by code that is generated once. */
import { Compile } from 'typebox/schema'
import { MillraceError } from '../errors.ts'
import { firstProblem, isObject, notAnObject, thrown } from './explain.ts'
import { fieldsOf } from './fields.ts'
import type { Schema } from './schema.ts'
import { versionOf } from './version.ts'

type Json = Readonly<Record<string, unknown>>

export function compiledSchema(json: Json): Schema {
  refuseForeign(json, '', new Set())
  const root = fieldsOf(json)
  if (root.type !== 'object' && root.type !== 'unknown') {
    throw new MillraceError('MR3001', `The schema is of type ${root.type}; events are objects.`)
  }
  if (
    json['type'] === undefined &&
    !['properties', 'anyOf', 'oneOf', 'allOf', '$ref'].some((word) => word in json)
  ) {
    const text = `The schema has no type (its keys are ${Object.keys(json).join(', ') || 'none'}); events are objects.`
    throw new MillraceError('MR3001', text)
  }
  const validator = compile(json)
  return {
    json,
    checkedBy: 'compiled',
    root,
    version: versionOf(json),
    check: (value) => {
      try {
        if (!validator.Check(value)) return firstProblem(validator.Errors(value)[1], value)
      } catch (error) {
        // A refinement of the user's is called with what the rest of the schema may have refused.
        return thrown(error)
      }
      return isObject(value) ? undefined : notAnObject(value)
    },
  }
}

function compile(json: Json): ReturnType<typeof Compile> {
  try {
    return Compile(json)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new MillraceError('MR3001', `The JSON Schema does not compile: ${text}.`, {
      cause: error,
    })
  }
}

const jsonTypes: readonly unknown[] = [
  'string',
  'number',
  'integer',
  'boolean',
  'object',
  'array',
  'null',
]
/** Keywords whose values are data, not schemas. */
const data: readonly string[] = ['const', 'enum', 'examples', 'required', 'default']
/** Keywords whose members are schemas by name, so that a field may be called `type` or `default`. */
const byName: readonly string[] = [
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
]

/** Refuses what changes an event and what JSON cannot hold, at any depth. */
function refuseForeign(schema: unknown, at: string, seen: Set<unknown>): void {
  if (typeof schema !== 'object' || schema === null || seen.has(schema)) return
  seen.add(schema)
  if (Array.isArray(schema)) {
    for (const one of schema) refuseForeign(one, at, seen)
    return
  }
  const where = at === '' ? 'The schema' : `The schema's field ${at}`
  if ('~codec' in schema) throw new MillraceError('MR3002', `${where} has a codec.`)
  if ('default' in schema) throw new MillraceError('MR3002', `${where} has a default.`)
  const type: unknown = 'type' in schema ? schema.type : undefined
  for (const one of Array.isArray(type) ? type : type === undefined ? [] : [type]) {
    if (!jsonTypes.includes(one))
      throw new MillraceError('MR3004', `${where} is of type ${JSON.stringify(one)}.`)
  }
  for (const [keyword, value] of Object.entries(schema)) {
    if (data.includes(keyword)) continue
    if (!byName.includes(keyword)) refuseForeign(value, at, seen)
    else
      for (const [name, member] of Object.entries(value as object)) {
        refuseForeign(member, at === '' ? name : `${at}.${name}`, seen)
      }
  }
}

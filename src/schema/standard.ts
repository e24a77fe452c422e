/** Validators of other libraries, through Standard Schema: they run on a copy, and must give back what they got. */
import { MillraceError } from '../errors.ts'
import { isObject, notAnObject, problemText, thrown } from './explain.ts'
import { fieldsOf } from './fields.ts'
import type { StandardIssue, StandardSchema } from './infer.ts'
import type { Schema } from './schema.ts'
import { inspect } from './vendors.ts'
import { versionOf } from './version.ts'

type Json = Readonly<Record<string, unknown>>

export function standardSchema(input: StandardSchema): Schema {
  const standard = input['~standard']
  const functions = inspect(input)
  const json = jsonOf(standard)
  const root = json === undefined ? ({ type: 'unknown', optional: false } as const) : fieldsOf(json)
  if (root.type !== 'object' && root.type !== 'unknown') {
    throw new MillraceError('MR3001', `The schema is of type ${root.type}; events are objects.`)
  }
  refuseAsync(standard)
  return {
    json,
    checkedBy: 'validator',
    root,
    version: versionOf([standard.vendor, json, functions]),
    check: (value) => (isObject(value) ? checkWith(standard, value) : notAnObject(value)),
  }
}

/** A probe: async validators answer with a promise whatever they get, as soon as they get as far as the async part. */
function refuseAsync({ validate, vendor }: StandardSchema['~standard']): void {
  let result: unknown
  try {
    result = validate({})
  } catch {
    // What it thinks of an empty object is not the question here.
    return
  }
  if (!isPromise(result)) return
  result.catch(() => {})
  throw new MillraceError('MR3003', `The ${vendor} schema answers with a promise.`)
}

function checkWith({ validate }: StandardSchema['~standard'], value: unknown): string | undefined {
  let result: ReturnType<typeof validate>
  try {
    result = validate(copyOf(value))
  } catch (error) {
    return thrown(error)
  }
  if (isPromise(result)) {
    result.catch(() => {})
    return 'the validator answered with a promise: async validators cannot run here (MR3003)'
  }
  if (result.issues !== undefined) return issueText(result.issues[0], value)
  const changed = firstChange(value, result.value, [])
  if (changed === undefined) return undefined
  const at = changed.length === 0 ? 'the event' : changed.join('.')
  return `the validator changes ${at}: a schema must leave events as they are (MR3002)`
}

function issueText(issue: StandardIssue | undefined, value: unknown): string {
  if (issue === undefined) return 'the event does not match the schema'
  const names = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
  let at = value
  for (const name of names)
    at = typeof at === 'object' && at !== null ? (at as Json)[name] : undefined
  return problemText(names, at, issue.message)
}

/**
 * Path of the first difference that a validator made; undefined where there is none. Unknown fields may be left out: many
 * validators do that, and nobody reads them through the schema.
 */
function firstChange(
  before: unknown,
  after: unknown,
  path: readonly string[],
): readonly string[] | undefined {
  if (Object.is(before, after)) return undefined
  if (typeof before !== 'object' || typeof after !== 'object' || before === null || after === null)
    return path
  if (Array.isArray(before) !== Array.isArray(after)) return path
  if (Array.isArray(before) && before.length !== (after as readonly unknown[]).length) return path
  if (!Array.isArray(before) && Object.getPrototypeOf(after) !== Object.prototype) {
    if (Object.getPrototypeOf(after) !== null) return path
  }
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name)) {
      if (value !== undefined) return [...path, name]
      continue
    }
    const inside = firstChange((before as Json)[name], value, [...path, name])
    if (inside !== undefined) return inside
  }
  return undefined
}

function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  const copy: Record<string, unknown> = {}
  for (const name of Object.keys(value)) copy[name] = copyOf((value as Json)[name])
  return copy
}

/** The JSON Schema of what goes in, where the library can say it; transforms show as one that only the input has. */
function jsonOf({ jsonSchema, vendor }: StandardSchema['~standard']): Json | undefined {
  if (jsonSchema === undefined) return undefined
  const options = { target: 'draft-2020-12' }
  const input = attempt(() => jsonSchema.input(options))
  const output = attempt(() => jsonSchema.output(options))
  if ((input === undefined) !== (output === undefined)) {
    throw new MillraceError(
      'MR3002',
      `The ${vendor} schema gives out something else than it takes in.`,
    )
  }
  return input
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch {
    return undefined
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  )
}

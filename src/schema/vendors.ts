/**
 * Looks into validators of zod and valibot for what Standard Schema does not tell: coercions, defaults and transforms that
 * leave a sample as it is, and the functions that make two schemas of one shape differ.
 */
import { MillraceError } from '../errors.ts'

type Json = Readonly<Record<string, unknown>>

/** Source texts of the functions inside. Throws MR3002, MR3003, MR3004. */
export function inspect(schema: unknown): readonly string[] {
  const functions: string[] = []
  visit(schema, '', new Set(), functions)
  return functions
}

function visit(value: unknown, at: string, seen: Set<unknown>, functions: string[]): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  seen.add(value)
  if (Array.isArray(value)) {
    for (const one of value) visit(one, at, seen, functions)
    return
  }
  const internals = member(value, '_zod')
  if (isObject(internals)) visitZod(member(internals, 'def'), at, seen, functions)
  else if (typeof member(value, 'kind') === 'string')
    visitValibot(value as Json, at, seen, functions)
}

const zodChanges: Readonly<Record<string, string>> = {
  transform: 'a transform',
  pipe: 'a pipe, transform or codec',
  default: 'a default',
  prefault: 'a default',
  catch: 'a catch',
  overwrite: 'a check that rewrites the value (trim, toLowerCase, ...)',
}
const foreign: readonly string[] = [
  'date',
  'bigint',
  'symbol',
  'map',
  'set',
  'promise',
  'function',
  'file',
  'blob',
  'instance',
]

function visitZod(def: unknown, at: string, seen: Set<unknown>, functions: string[]): void {
  if (!isObject(def)) return
  const kind = String(member(def, 'check') ?? member(def, 'type'))
  const change = def['coerce'] === true ? 'a coercion' : zodChanges[kind]
  if (change !== undefined) throw new MillraceError('MR3002', `${where(at)} has ${change}.`)
  if (foreign.includes(kind)) throw new MillraceError('MR3004', `${where(at)} is of type ${kind}.`)
  for (const [name, part] of Object.entries(def)) {
    if (name === 'shape' && isObject(part)) visitMembers(part, at, seen, functions)
    else if (name === 'getter' && typeof part === 'function')
      visit((part as () => unknown)(), at, seen, functions)
    else if (typeof part === 'function') note(part, at, functions)
    else visit(part, at, seen, functions)
  }
}

function visitValibot(schema: Json, at: string, seen: Set<unknown>, functions: string[]): void {
  if (schema['async'] === true)
    throw new MillraceError('MR3003', `${where(at)} validates asynchronously.`)
  if (schema['kind'] === 'transformation') {
    throw new MillraceError('MR3002', `${where(at)} has a transform (${String(schema['type'])}).`)
  }
  if (schema['default'] !== undefined || schema['fallback'] !== undefined) {
    throw new MillraceError('MR3002', `${where(at)} has a default.`)
  }
  const type = String(schema['type'])
  if (foreign.includes(type)) throw new MillraceError('MR3004', `${where(at)} is of type ${type}.`)
  functions.push(`${at}:${type}`)
  for (const [name, part] of Object.entries(schema)) {
    if (name.startsWith('~') || name === 'reference') continue
    if (name === 'entries' && isObject(part)) visitMembers(part, at, seen, functions)
    else if (name === 'requirement' || name === 'literal' || name === 'expects')
      functions.push(`${at}:${text(part)}`)
    else visit(part, at, seen, functions)
  }
}

function visitMembers(members: Json, at: string, seen: Set<unknown>, functions: string[]): void {
  for (const [name, schema] of Object.entries(members)) {
    visit(schema, at === '' ? name : `${at}.${name}`, seen, functions)
  }
}

function note(fn: object, at: string, functions: string[]): void {
  if (fn.constructor.name === 'AsyncFunction')
    throw new MillraceError('MR3003', `${where(at)} has an async check.`)
  functions.push(`${at}:${text(fn)}`)
}

function text(value: unknown): string {
  return typeof value === 'function' || value instanceof RegExp
    ? String(value)
    : (JSON.stringify(value) ?? '')
}

function where(at: string): string {
  return at === '' ? 'The schema' : `The schema's field ${at}`
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(value: object, name: string): unknown {
  return (value as Json)[name]
}

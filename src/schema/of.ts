import { MillraceError } from '../errors.ts'
import type { Infer, SchemaInput, StandardSchema } from './infer.ts'
import { compiledSchema } from './json-schema.ts'
import type { Schema } from './schema.ts'
import { standardSchema } from './standard.ts'

/**
 * One form for TypeBox, JSON Schema and any Standard Schema validator. Throws MR3001 (not a schema), MR3002 (it changes the
 * event), MR3003 (asynchronous), MR3004 (types that JSON does not have).
 */
export function schemaOf<const S extends SchemaInput>(input: S): Schema<Infer<S>> {
  if (isStandard(input)) return standardSchema(input) as Schema<Infer<S>>
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new MillraceError('MR3001', `The schema is ${input === null ? 'null' : typeof input}.`)
  }
  return compiledSchema(input as Readonly<Record<string, unknown>>) as Schema<Infer<S>>
}

/** Validators of arktype are functions. */
function isStandard(input: unknown): input is StandardSchema {
  if ((typeof input !== 'object' || input === null) && typeof input !== 'function') return false
  const standard: unknown = '~standard' in input ? input['~standard'] : undefined
  return typeof standard === 'object' && standard !== null && 'validate' in standard
}

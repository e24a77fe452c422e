/** Event schemas: what events look like, checked when they come in. */
export type { Infer, JsonSchema, SchemaInput, StandardSchema } from './infer.ts'
export { schemaOf } from './of.ts'
export type { Field, FieldType, Schema } from './schema.ts'

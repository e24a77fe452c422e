/** Types of schemas: what a TypeScript program sees of an event, from the schema alone. */
import type { Static, TSchema } from 'typebox'

/** The part of Standard Schema (standardschema.dev) that is used here; zod, valibot, arktype and others offer it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    /** Standard JSON Schema: zod 4 and arktype have it. */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: string }) => Record<string, unknown>
      readonly output: (options: { readonly target: string }) => Record<string, unknown>
    }
  }
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** A JSON Schema object. Written as a constant it needs `as const`, so that its types can be inferred. */
export type JsonSchema = { readonly [keyword: string]: unknown }

/** What a stream or table takes as its schema: TypeBox, JSON Schema, or any Standard Schema validator. */
export type SchemaInput = StandardSchema | (TSchema & object) | JsonSchema

/** The type of the events a schema describes. */
export type Infer<S> = S extends { readonly '~standard': { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly output: infer Output }
    ? Output
    : unknown
  : S extends TSchema
    ? Static<S>
    : unknown

/** unknown where events come out of `S` as they go in; else a text that names the fix, for the compiler to print. */
export type Unchanged<S> = S extends { readonly '~standard': { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly input: infer Input; readonly output: infer Output }
    ? Same<Input, Output> extends true
      ? unknown
      : 'This schema changes the event (transform, coercion or default): use map() or derive() for that'
    : unknown
  : unknown

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? SameKeys<A, B> : false) : false
// Optional and required differ for a default, though each type is assignable to the other field by field.
type SameKeys<A, B> = unknown extends A ? (unknown extends B ? true : false) : true

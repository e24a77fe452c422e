/**
 * @contract Schema: one form for TypeBox, plain JSON Schema and any Standard Schema validator.
 *
 * Input = output: transforms, coercion, defaults and async validators are refused when the schema is taken (MR30xx), with
 * the operator to use instead. What JSON Schema cannot express runs the validator on a plain copy of the value.
 */

/** What a field holds, as far as the schema says; `unknown` where it says nothing. */
export type FieldType =
  | 'string'
  | 'number'
  | 'integer'
  | 'boolean'
  | 'object'
  | 'array'
  | 'null'
  | 'unknown'

export interface Field {
  readonly type: FieldType
  readonly optional: boolean
  /** Members of an object, in schema order. */
  readonly fields?: Readonly<Record<string, Field>>
}

export interface Schema<T = unknown> {
  /** The JSON Schema, where the input has one; what `plan` shows and topics record. */
  readonly json: Readonly<Record<string, unknown>> | undefined
  /** `compiled`: JSON Schema checked by generated code. `validator`: the user's validator runs on a copy. */
  readonly checkedBy: 'compiled' | 'validator'
  readonly root: Field
  /** Changes exactly when the schema does; 32 bits, never 0. */
  readonly version: number
  /** undefined when `value` is a T; else the first problem, naming path, value and rule. */
  check(value: unknown): string | undefined
  /** Carries T for inference only. */
  readonly type?: T
}

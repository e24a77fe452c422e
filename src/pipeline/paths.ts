/** Field paths of rows (`properties.page`) as types: which exist, and what is there. */

export type Scalar = string | number | boolean | null
/** What can be a key: its text decides the partition, its text and type the group. */
export type Key = string | number | boolean | readonly Scalar[]

type Leaf =
  | Scalar
  | bigint
  | symbol
  | undefined
  | Date
  | readonly unknown[]
  | ((...args: never[]) => unknown)
// Types that contain themselves have endless paths: six fields deep is where these end.
type Deeper = [never, 0, 1, 2, 3, 4, 5]

/** Paths of the fields of T, of nested objects too; not into arrays. */
export type Path<T, Depth extends number = 6> = unknown extends T
  ? string
  : [Depth] extends [never]
    ? never
    : T extends Leaf
      ? never
      : { [K in keyof T & string]-?: PathAt<K, T[K], Depth> }[keyof T & string]

type PathAt<K extends string, V, Depth extends number> = string extends K
  ? string
  : K extends `${string}.${string}`
    ? never
    : K | (unknown extends V ? `${K}.${string}` : `${K}.${Path<V, Deeper[Depth] & number>}`)

/** What is at a path; undefined is part of it where the field, or an object on the way, may be absent. */
export type PathValue<T, P extends string> = unknown extends T
  ? unknown
  : T extends null | undefined
    ? undefined
    : P extends keyof T
      ? T[P]
      : P extends `${infer Head}.${infer Rest}`
        ? Head extends keyof T
          ? PathValue<T[Head], Rest>
          : undefined
        : undefined

/** Paths whose value is always a V. */
export type PathsTo<T, V> = unknown extends T
  ? string
  : {
      [P in Path<T>]: unknown extends PathValue<T, P> ? P : PathValue<T, P> extends V ? P : never
    }[Path<T>]

/** Paths that can be a key: always a string, a number or a boolean. */
export type KeyPath<T> = PathsTo<T, string | number | boolean>
/** Paths that may be looked up: a key, or absent. */
export type LookupPath<T> = PathsTo<T, string | number | boolean | null | undefined>
/** Paths that can be added up; where the value is null or absent, the row does not count. */
export type NumberPath<T> = PathsTo<T, number | null | undefined>
/** Paths that can be the time of an event: ISO 8601 text, or milliseconds since 1970. */
export type TimePath<T> = PathsTo<T, string | number>

/** The name of the field at the end of a path. */
export type LastName<P extends string> = P extends `${string}.${infer Rest}` ? LastName<Rest> : P

/** What a row keeps when only these paths are selected: the same places, nothing else. */
export type Selected<T, P extends string> = unknown extends T
  ? unknown
  : T extends Leaf
    ? T
    : Flat<{
        [K in keyof T as K extends HeadOf<P> ? K : never]: K extends P
          ? T[K]
          : Selected<T[K], RestOf<P, K & string>>
      }>

type HeadOf<P extends string> = P extends `${infer Head}.${string}` ? Head : P
type RestOf<P extends string, K extends string> = P extends `${K}.${infer Rest}` ? Rest : never

/** A row with fields added, or replaced where both have them. */
export type Merged<T, R> = T extends unknown
  ? R extends unknown
    ? Flat<Omit<T, keyof R> & R>
    : never
  : never

/** T, which is known to be made of objects. */
export type Rows<T> = unknown extends T ? Record<string, unknown> : Extract<T, object>

/** One object type instead of an intersection: what editors and errors show. */
export type Flat<T> = { [K in keyof T]: T[K] } & {}

/** Conditions on one field: its value, one of several, or comparisons that must all hold. */
export type Match<V> = V | readonly V[] | Comparison<V>
export interface Comparison<V> {
  readonly gt?: Exclude<V, boolean | null>
  readonly gte?: Exclude<V, boolean | null>
  readonly lt?: Exclude<V, boolean | null>
  readonly lte?: Exclude<V, boolean | null>
  readonly ne?: V
}

/** Conditions by path; all must hold. */
export type Where<T> = {
  readonly [P in PathsTo<T, Scalar | undefined>]?: Match<ScalarAt<PathValue<T, P>>>
}
type ScalarAt<V> = unknown extends V ? Scalar : Extract<V, Scalar>

/** Makes the compiler name a path in `W` that is none. */
export type KnownPaths<T, W> = {
  readonly [P in Exclude<keyof W, PathsTo<T, Scalar | undefined>>]: NoSuchField
}
interface NoSuchField {
  readonly 'the row has no such field to compare': never
}

/** Of a union of event types, those that can meet the conditions. */
export type Narrowed<T, W> = T extends unknown ? (false extends Meets<T, W> ? never : T) : never
type Meets<T, W> = { [K in keyof W & keyof T]: CanBe<T[K], W[K]> }[keyof W & keyof T]
type CanBe<V, C> = C extends Scalar
  ? [Extract<V, C>] extends [never]
    ? C extends V
      ? true
      : false
    : true
  : C extends readonly (infer One)[]
    ? [Extract<V, One>] extends [never]
      ? One extends V
        ? true
        : false
      : true
    : true

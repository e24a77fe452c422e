/**
 * @contract Scanner: where the fields of many JSON values lie, found without making a value of any. A *row* is the bytes of
 * one JSON object; a *path* is a dotted field path of the schema; a *span* is where the value at a path of a row lies.
 *
 * Invariants an implementation keeps:
 *  - A span decodes to what JSON.parse gives at that path of the object in its schema's shape; where that is undefined, the
 *    span is absent. Rows of which this cannot be told are flagged `odd`.
 *  - A row is dropped only when it surely fails one of `keep`.
 *  - Nothing outside the memory is read or written, whatever the bytes; work is linear in them.
 * Invariants a user keeps:
 *  - At most `maxRows` rows at once; their starts and ends are those of placed bytes. Rows were validated before.
 *  - Spans, flags and rows are read before the next `begin`.
 */
import type { Field } from '../schema.ts'

/**
 * What a span is. `ascii`, `text` and `escaped` are strings, without their quotes: all bytes below 0x80, some above, some
 * backslash. Of everything else it is the value without white space around it.
 */
export const kinds = {
  absent: 0,
  ascii: 1,
  text: 2,
  escaped: 3,
  number: 4,
  true: 5,
  false: 6,
  null: 7,
  object: 8,
  array: 9,
} as const

/**
 * `unknown`: the row has a field that the shape does not name. `odd`: its spans mean nothing, the row must be parsed.
 */
export const flags = { unknown: 1, odd: 2 } as const

export interface ScanSpec {
  /** Undefined: nothing is known of the rows' fields. */
  readonly shape: Field | undefined
  readonly paths: readonly string[]
  /** Rows may be dropped that have none of these strings at a path, given as index into `paths`. */
  readonly keep: readonly { readonly path: number; readonly oneOf: readonly string[] }[]
  /** Whether `flags.unknown` is asked for; else rows need not be looked at behind the last path. */
  readonly unknown: boolean
}

/** By row. Starts and ends are indexes into the scanner's memory. */
export interface Spans {
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly kinds: Uint8Array
}

export interface Scanned {
  /** By path. */
  readonly spans: readonly Spans[]
  /** By row. */
  readonly flags: Uint8Array
  /** Rows that were not dropped, ascending, the first `count`. */
  readonly rows: Int32Array
  readonly count: number
  /** Of some row it could not be told whether it meets `keep`; it was not dropped. */
  readonly undecided: boolean
}

/** What `compile` makes of a spec; of use to its own scanner alone. */
export interface ScanProgram {
  readonly spec: ScanSpec
}

/** Texts that come again and again, by number. It holds so many, and takes none in the place of another. */
export interface Dictionary {
  readonly size: number
  /** The text of a number; the same string each time. */
  text(code: number): string
}

export interface Scanner<Program extends ScanProgram = ScanProgram> {
  readonly memory: Buffer
  readonly maxRows: number
  /** Where rows begin and end in the memory: written by the user between `begin` and `scan`. */
  readonly rowStarts: Int32Array
  readonly rowEnds: Int32Array
  /** Undefined for a spec that is larger than its tables: its rows must be parsed. */
  compile(spec: ScanSpec): Program | undefined
  /** Forgets what was placed. */
  begin(): void
  /** Where these bytes begin in the memory, copied there where they do not lie in it; -1 where there is no room. */
  place(bytes: Uint8Array): number
  /** The rows were validated before: each is JSON that parseEvent takes. */
  scan(program: Program, count: number): Scanned
  /** The dictionary of a name, the same each time; undefined where there are enough of them. */
  dictionary(name: string): Dictionary | undefined
  /** Numbers of ascii and text spans in a dictionary of this scanner, into `into[row]` for these rows alone; -1 for what it does not have. */
  intern(
    spans: Spans,
    rows: Int32Array,
    count: number,
    dictionary: Dictionary,
    into: Int32Array,
  ): void
}

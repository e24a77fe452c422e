import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseEvent } from '../json-gate.ts'
import { schemaOf } from '../of.ts'
import type { Field } from '../schema.ts'
import { valueOf } from './decode.ts'
import { PlainScanner } from './plain.ts'
import { flags, kinds } from './scanner.ts'
import type { Dictionary, Scanner } from './scanner.ts'
import { WasmScanner } from './wasm.ts'

type Json = Record<string, unknown>

const Flat = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    kind: { type: 'string' },
    n: { type: 'number' },
    ok: { type: 'boolean' },
    maybe: { type: ['string', 'null', 'number'] },
    list: { type: 'array' },
  },
} as const
const Deep = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    kind: { type: 'string' },
    inner: {
      type: 'object',
      properties: {
        n: { type: 'number' },
        more: { type: 'object', properties: { text: { type: 'string' } } },
      },
    },
    open: { type: 'object' },
  },
} as const
const schemas = [
  { schema: schemaOf(Flat), paths: ['kind', 'id', 'n', 'ok', 'maybe', 'list', 'nowhere'] },
  {
    schema: schemaOf(Deep),
    paths: ['kind', 'inner.n', 'inner', 'inner.more.text', 'open', 'open.x', 'id'],
  },
  { schema: schemaOf({ type: 'object' }), paths: ['kind', 'n', 'inner.n', 'inner'] },
] as const

const texts = fc.oneof(
  fc.constantFrom(
    'view',
    'click',
    '',
    'a'.repeat(40),
    'é',
    '"',
    '\\',
    '\n',
    '\u{1f600}',
    '\ud800',
    '/',
  ),
  fc.string({ maxLength: 20 }),
)
const numbers = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-0, 0, 0.1, 1e300, 2 ** 53 + 2, 123456789.25, 1e-7),
)
const anything = fc.oneof(
  texts,
  numbers,
  fc.boolean(),
  fc.constant(null),
  fc.array(texts, { maxLength: 2 }),
  fc.record({ x: numbers }),
)
const inner = fc.record(
  { n: numbers, more: fc.record({ text: texts, odd: anything }, { requiredKeys: [] }) },
  { requiredKeys: [] },
)
const events = fc.record(
  {
    id: texts,
    kind: texts,
    n: numbers,
    ok: fc.boolean(),
    maybe: fc.oneof(texts, numbers, fc.constant(null)),
    list: fc.array(anything, { maxLength: 3 }),
    inner,
    open: fc.dictionary(fc.constantFrom('x', 'y', 'z"'), anything, { maxKeys: 2 }),
    extra: anything,
    'ki"nd': anything,
  },
  { requiredKeys: [] },
)

/** How a producer writes: the order of keys, white space, escapes where none are needed, numbers with an exponent. */
const styles = fc.record({
  backwards: fc.boolean(),
  space: fc.constantFrom('', '', '', ' ', '\n  ', '\t'),
  escapeValues: fc.constantFrom(false, false, false, true),
  escapeKeys: fc.constantFrom(false, false, false, false, true),
})

function written(
  value: unknown,
  style: typeof styles extends fc.Arbitrary<infer S> ? S : never,
): string {
  const { space, backwards } = style
  const string = (text: string, escape: boolean): string =>
    escape && /^[a-z]/.test(text)
      ? `"\\u00${text.charCodeAt(0).toString(16)}${JSON.stringify(text.slice(1)).slice(1)}`
      : JSON.stringify(text)
  if (typeof value === 'string') return string(value, style.escapeValues)
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((one) => written(one, style)).join(`${space},`)}]`
  const entries = Object.entries(value)
  if (backwards) entries.reverse()
  const members = entries.map(
    ([name, one]) =>
      `${space}${string(name, style.escapeKeys)}${space}:${space}${written(one, style)}`,
  )
  return `{${members.join(`${space},`)}${space}}`
}

/** What the schema's shape leaves of a value, and whether it left something out. */
function shaped(value: unknown, field: Field | undefined, lost: { any: boolean }): unknown {
  if (
    field?.fields === undefined ||
    typeof value !== 'object' ||
    value === null ||
    Array.isArray(value)
  )
    return value
  const known = field.fields
  const made: Json = {}
  for (const [name, one] of Object.entries(value)) {
    if (Object.hasOwn(known, name)) made[name] = shaped(one, known[name], lost)
    else lost.any = true
  }
  return made
}

function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((found, name) => {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    return (found as Json)[name]
  }, value)
}

const makers: [string, () => Scanner][] = [
  ['in plain TypeScript', () => new PlainScanner()],
  ['in WebAssembly', () => new WasmScanner()],
]

describe.each(makers)('a scanner %s', (_, make) => {
  const scanner = make()

  test('finds in validated rows what JSON.parse gives, drops only what fails, and says where fields are unknown', () => {
    let documents = 0
    fc.assert(
      fc.property(
        fc.constantFrom(...schemas),
        fc.array(events, { minLength: 1, maxLength: 12 }),
        fc.array(styles, { minLength: 1, maxLength: 3 }),
        fc.constantFrom([], ['view'], ['view', 'é', '']),
        fc.boolean(),
        ({ schema, paths }, values, producers, oneOf, unknown) => {
          const rows = values
            .flatMap((value) => producers.map((style) => Buffer.from(written(value, style))))
            .filter((bytes) => {
              const parsed = parseEvent(bytes, 0, bytes.length)
              return parsed.ok && schema.check(parsed.value) === undefined
            })
          const spec = {
            shape: schema.root,
            paths,
            keep: oneOf.length === 0 ? [] : [{ path: 0, oneOf }],
            unknown,
          }
          const program = scanner.compile(spec)!
          // The first pass learns templates that the next ones fit.
          for (let pass = 0; pass < 4; pass++) compare(scanner, program, rows, spec)
          documents += rows.length * 4
        },
      ),
      { numRuns: 1_500 },
    )
    expect(documents).toBeGreaterThan(50_000)
  })
})

function compare(
  scanner: Scanner,
  program: NonNullable<ReturnType<Scanner['compile']>>,
  rows: readonly Buffer[],
  { shape, paths, keep, unknown }: (typeof program)['spec'],
): void {
  scanner.begin()
  for (const [row, bytes] of rows.entries()) {
    const start = scanner.place(bytes)
    scanner.rowStarts[row] = start
    scanner.rowEnds[row] = start + bytes.length
  }
  const found = scanner.scan(program, rows.length)
  const list = [...found.rows.subarray(0, found.count)]
  expect(list).toEqual([...new Set(list)].toSorted((a, b) => a - b))
  const codes = new Int32Array(scanner.maxRows)
  const dictionary = dictionaryOf(scanner)
  for (const [column, path] of paths.entries()) {
    const spans = found.spans[column]!
    scanner.intern(spans, found.rows, found.count, dictionary, codes)
    for (const row of list) {
      if ((found.flags[row]! & flags.odd) !== 0) continue
      const value = at(shaped(JSON.parse(rows[row]!.toString()), shape, { any: false }), path)
      const [kind, start, end] = [spans.kinds[row]!, spans.starts[row]!, spans.ends[row]!]
      // An object comes with all its fields: who reads it gives it its shape.
      const decoded = shaped(valueOf(scanner.memory, kind, start, end), fieldAt(shape, path), {
        any: false,
      })
      if (!sameJson(decoded, value)) expect([path, decoded]).toEqual([path, value])
      const isText = kind === kinds.ascii || kind === kinds.text
      if (codes[row] !== -1) expect(dictionary.text(codes[row]!)).toBe(value)
      else if (isText) expect(dictionary.size).toBe(8_192)
    }
  }
  const kept = new Set(list)
  for (const [row, bytes] of rows.entries()) {
    const lost = { any: false }
    const value = shaped(JSON.parse(bytes.toString()), shape, lost)
    const holds = keep.every(({ path, oneOf }) => oneOf.includes(at(value, paths[path]!) as string))
    if (holds) expect(kept.has(row)).toBe(true)
    else if (!found.undecided) expect(kept.has(row)).toBe(false)
    if (!unknown || !kept.has(row) || (found.flags[row]! & flags.odd) !== 0) continue
    expect((found.flags[row]! & flags.unknown) !== 0).toBe(lost.any)
  }
}

const dictionaries = new Map<Scanner, Dictionary>()

/** One for all runs, so that it gets full. */
function dictionaryOf(scanner: Scanner): Dictionary {
  const dictionary = dictionaries.get(scanner) ?? scanner.dictionary('all')!
  dictionaries.set(scanner, dictionary)
  return dictionary
}

function fieldAt(shape: Field | undefined, path: string): Field | undefined {
  return path.split('.').reduce<Field | undefined>((field, name) => field?.fields?.[name], shape)
}

/** Also tells 0 from -0, and does not mind in which order keys come. */
function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return Object.is(a, b)
  const [x, y] = [Object.entries(a), Object.entries(b)]
  return (
    x.length === y.length &&
    x.every(([name, one]) => Object.hasOwn(b, name) && sameJson(one, (b as Json)[name]))
  )
}

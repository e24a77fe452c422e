import * as fc from 'fast-check'
import { Type } from 'typebox'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import type { StandardResult, StandardSchema } from './infer.ts'
import { schemaOf } from './of.ts'

const action = {
  event_type: 'page_view',
  user_id: 'u1',
  properties: { page: '/home', duration: 30 },
}

const kinds = {
  typebox: Type.Object({
    event_type: Type.Union([Type.Literal('page_view'), Type.Literal('click')]),
    user_id: Type.String({ minLength: 1 }),
    properties: Type.Object({ page: Type.String(), duration: Type.Number({ minimum: 0 }) }),
    note: Type.Optional(Type.String()),
  }),
  json: {
    type: 'object',
    properties: {
      event_type: { enum: ['page_view', 'click'] },
      user_id: { type: 'string', minLength: 1 },
      properties: {
        type: 'object',
        properties: { page: { type: 'string' }, duration: { type: 'number', minimum: 0 } },
        required: ['page', 'duration'],
      },
      note: { type: 'string' },
    },
    required: ['event_type', 'user_id', 'properties'],
  },
  zod: z.object({
    event_type: z.enum(['page_view', 'click']),
    user_id: z.string().min(1),
    properties: z.object({ page: z.string(), duration: z.number().min(0) }),
    note: z.string().optional(),
  }),
  valibot: v.object({
    event_type: v.picklist(['page_view', 'click']),
    user_id: v.pipe(v.string(), v.minLength(1)),
    properties: v.object({ page: v.string(), duration: v.pipe(v.number(), v.minValue(0)) }),
    note: v.optional(v.string()),
  }),
} as const

describe.each(Object.entries(kinds))('a schema of %s', (_kind, input) => {
  const schema = schemaOf(input)

  test('accepts what it describes, with fields it does not know', () => {
    expect(schema.check(action)).toBeUndefined()
    expect(schema.check({ ...action, note: 'x', more: [1] })).toBeUndefined()
  })

  test.each([
    ['a wrong type', { ...action, user_id: 5 }, /^user_id is 5: /],
    [
      'a wrong type inside',
      { ...action, properties: { page: '/', duration: 'x' } },
      /^properties\.duration is "x": /,
    ],
    [
      'a rule',
      { ...action, properties: { page: '/', duration: -1 } },
      /^properties\.duration is -1: .*0/,
    ],
    ['a missing field', { ...action, user_id: undefined }, /^user_id is (missing|undefined)/],
    ['a value that is none of several', { ...action, event_type: 'x' }, /^event_type is "x": /],
    ['null', null, /^the event is null: it must be object/],
    ['an array', [1], /^the event is \[1\]: it must be object/],
    ['text', 'page_view', /^the event is "page_view": it must be object/],
  ])('refuses %s and says where, what and why', (_what, value, text) => {
    expect(schema.check(value)).toMatch(text)
  })

  test('keeps its version until it changes', () => {
    expect(schemaOf(input).version).toBe(schema.version)
    expect(schema.version).not.toBe(0)
    const other = schemaOf(Type.Object({ other: Type.String() }))
    expect(other.version).not.toBe(schema.version)
  })
})

test.each(['typebox', 'json', 'zod'] as const)('%s tells the fields of an event', (kind) => {
  expect(schemaOf(kinds[kind]).root).toMatchObject({
    type: 'object',
    fields: {
      user_id: { type: 'string', optional: false },
      properties: {
        type: 'object',
        fields: { page: { type: 'string' }, duration: { type: 'number', optional: false } },
      },
      note: { type: 'string', optional: true },
    },
  })
})

test('a long value is shortened in the text', () => {
  const text = schemaOf(Type.Object({ n: Type.Number() })).check({ n: 'x'.repeat(500) })
  expect(text!.length).toBeLessThan(120)
})

test('of a union, the branch with the right constant explains', () => {
  const schema = schemaOf(
    Type.Union([
      Type.Object({ kind: Type.Literal('a'), x: Type.Number() }),
      Type.Object({ kind: Type.Literal('b'), y: Type.String() }),
    ]),
  )
  expect(schema.check({ kind: 'b', y: 1 })).toBe('y is 1: it must be string')
  expect(schema.root.fields).toMatchObject({
    kind: { type: 'string', optional: false },
    x: { type: 'number', optional: true },
  })
})

test('a strict schema names the field that is too many', () => {
  const strict = schemaOf(Type.Object({ a: Type.String() }, { additionalProperties: false }))
  expect(strict.check({ a: 'x', b: 1 })).toBe('b is not a field of the schema')
})

test('a record of anything has fields that nobody can list', () => {
  const { root } = schemaOf(Type.Object({ labels: Type.Record(Type.String(), Type.Number()) }))
  expect(root.fields!['labels']).toEqual({ type: 'object', optional: false })
})

test('fields of an object and of its choices are all fields of the event', () => {
  const text = { type: 'string' } as const
  const { root } = schemaOf({
    type: 'object',
    properties: { kind: text, at: text, inner: { type: 'object', properties: { a: text } } },
    required: ['kind', 'at'],
    anyOf: [
      {
        properties: { kind: { const: 'x' }, x: { type: 'number' } },
        required: ['x'],
      },
      {
        properties: { kind: { const: 'y' }, inner: { type: 'object', properties: { b: text } } },
      },
    ],
  } as const)
  expect(root).toEqual({
    type: 'object',
    optional: false,
    fields: {
      kind: { type: 'string', optional: false },
      at: { type: 'string', optional: false },
      x: { type: 'number', optional: true },
      inner: {
        type: 'object',
        optional: true,
        fields: {
          a: { type: 'string', optional: true },
          b: { type: 'string', optional: true },
        },
      },
    },
  })
})

test.each([
  ['that depend on a condition', { if: { properties: { kind: { const: 'x' } } }, else: {} }],
  ['that depend on others', { dependentSchemas: { kind: { required: ['x'] } } }],
  ['that a choice does not list', { anyOf: [{ required: ['kind'] }, { required: ['x'] }] }],
])('nobody can list fields %s', (_, more) => {
  const properties = { kind: { type: 'string' } }
  expect(schemaOf({ type: 'object', properties, ...more }).root.fields).toBeUndefined()
})

test('a schema that contains itself has fields too', () => {
  const Node = Type.Object({ id: Type.String(), kids: Type.Array(Type.Ref('Node')) })
  const schema = schemaOf(Type.Cyclic({ Node }, 'Node'))
  expect(schema.root.fields!['id']!.type).toBe('string')
  expect(schema.check({ id: 'a', kids: [{ id: 1, kids: [] }] })).toBe(
    'kids.0.id is 1: it must be string',
  )
})

test('functions are part of the version, and are called', () => {
  const not = (word: string): ReturnType<typeof schemaOf> =>
    word === 'a'
      ? schemaOf(z.object({ w: z.string().refine((text) => text !== 'a') }))
      : schemaOf(z.object({ w: z.string().refine((text) => text !== 'b') }))
  expect(not('a').version).not.toBe(not('b').version)
  expect(not('a').check({ w: 'a' })).toMatch(/^w is "a"/)
  const refined = schemaOf(Type.Object({ w: Type.Refine(Type.String(), (text) => text !== 'a') }))
  const plain = schemaOf(Type.Object({ w: Type.String() }))
  expect(refined.version).not.toBe(plain.version)
  expect(refined.check({ w: 'a' })).toMatch(/^w is "a"/)
})

test.each<[string, string, () => unknown]>([
  ['MR3001', 'a number', () => 5],
  ['MR3001', 'an array of schemas', () => [Type.String()]],
  ['MR3001', 'an empty object', () => ({})],
  ['MR3001', 'a schema of text', () => Type.String()],
  ['MR3001', 'a zod schema of an array', () => z.array(z.string())],
  ['MR3002', 'a TypeBox default', () => Type.Object({ a: Type.String({ default: 'x' }) })],
  ['MR3002', 'a JSON Schema default', () => ({ properties: { a: { default: 1 } } })],
  [
    'MR3002',
    'a TypeBox codec',
    () => Type.Object({ a: Type.Codec(Type.String()).Decode(Number).Encode(String) }),
  ],
  ['MR3002', 'a zod coercion', () => z.object({ a: z.coerce.number() })],
  ['MR3002', 'a nested zod default', () => z.object({ a: z.object({ b: z.number().default(1) }) })],
  ['MR3002', 'a zod catch', () => z.object({ a: z.array(z.number().catch(1)) })],
  ['MR3002', 'a zod transform', () => z.object({ a: z.string().transform(Number) })],
  ['MR3002', 'a zod trim', () => z.object({ a: z.string().trim() })],
  ['MR3002', 'a zod preprocess', () => z.object({ a: z.preprocess(String, z.string()) })],
  ['MR3002', 'a valibot transform', () => v.object({ a: v.pipe(v.string(), v.trim()) })],
  ['MR3002', 'a valibot default', () => v.object({ a: v.optional(v.string(), 'x') })],
  ['MR3002', 'a valibot fallback', () => v.object({ a: v.fallback(v.string(), 'x') })],
  ['MR3002', 'a validator whose output has another JSON Schema', () => otherOutput],
  ['MR3003', 'an async zod check', () => z.object({ a: z.string().refine(async () => true) })],
  ['MR3003', 'an async valibot schema', () => v.objectAsync({ a: v.string() })],
  [
    'MR3003',
    'a validator that answers with a promise',
    () => standard(async (value) => ({ value })),
  ],
  ['MR3004', 'a TypeBox bigint', () => Type.Object({ a: Type.BigInt() })],
  ['MR3004', 'a JSON Schema type that is none', () => ({ type: 'objct' })],
  ['MR3004', 'a zod date', () => z.object({ a: z.array(z.date()) })],
  ['MR3004', 'a valibot date', () => v.object({ a: v.date() })],
])('%s for %s', (code, _what, input) => {
  expect(() => schemaOf(input() as object)).toThrow(expect.objectContaining({ code }))
})

test('fields may be called as keywords are', () => {
  const schema = schemaOf({
    type: 'object',
    properties: { type: { type: 'string' }, default: { type: 'number' }, const: { type: 'null' } },
  })
  expect(schema.check({ type: 'x', default: 1, const: null })).toBeUndefined()
})

test('a validator gets a copy, and must give back what it got', () => {
  const event = { a: { b: 1 }, tags: ['x'] }
  const mutating = schemaOf(
    standard((value) => {
      ;(value as typeof event).a.b = 2
      return { value }
    }),
  )
  expect(mutating.check(event)).toMatch(/changes a\.b/)
  expect(event.a.b).toBe(1)
})

test('a validator that throws, or answers late with a promise, refuses the event', () => {
  const throwing = schemaOf(
    standard(() => {
      throw new Error('oh')
    }),
  )
  expect(throwing.check({})).toMatch(/threw oh/)
  const inner = Type.Object({ b: Type.Number() })
  const event = Type.Object({ a: Type.Optional(inner) })
  const refined = schemaOf(Type.Refine(event, (value) => (value.a as { b: number }).b > 0))
  expect(refined.check({})).toMatch(/threw .*undefined/)
  expect(refined.check({ a: { b: 1 } })).toBeUndefined()
  const late = schemaOf(
    standard((value) => {
      if (Object.keys(value as object).length === 0) return { value }
      return Promise.resolve({ value })
    }),
  )
  expect(late.check({ a: 1 })).toMatch(/promise/)
})

test('any JSON object passes a validator that copies it, and none that changes one value', () => {
  const leaf = fc.oneof(fc.string(), fc.double({ noNaN: true }), fc.boolean(), fc.constant(null))
  const object = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 3 }))
  const copying = schemaOf(standard((value) => ({ value: structuredClone(value) })))
  fc.assert(
    fc.property(object, fc.nat(), leaf, (event, at, other) => {
      expect(copying.check(event)).toBeUndefined()
      const names = Object.keys(event).filter((name) => name !== '__proto__')
      const name = names[at % names.length]
      if (name === undefined || Object.is(event[name], other)) return
      const changing = schemaOf(
        standard((value) => ({ value: { ...(value as object), [name]: other } })),
      )
      expect(changing.check(event)).toMatch(/changes/)
    }),
  )
})

function standard(
  validate: (value: unknown) => StandardResult<unknown> | Promise<StandardResult<unknown>>,
): StandardSchema {
  return { '~standard': { version: 1, vendor: 'own', validate } }
}

const otherOutput: StandardSchema = {
  '~standard': {
    version: 1,
    vendor: 'own',
    validate: (value) => ({ value }),
    jsonSchema: {
      input: () => ({ type: 'object', properties: {} }),
      output: () => {
        throw new Error('transforms have no JSON Schema')
      },
    },
  },
}

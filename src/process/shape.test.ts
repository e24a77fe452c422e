import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pipeline } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import { Shaper } from './shape.ts'

const base = Date.UTC(2024, 0, 1)
const field = { type: 'string', optional: true } as const
const root = {
  type: 'object',
  optional: false,
  fields: {
    a: field,
    b: { type: 'object', optional: true, fields: { c: field, d: field } },
    e: { type: 'unknown', optional: true },
  },
} as const

describe.each(['wasm', 'plain', 'parse'] as const)('the shape of rows read by %s', (reader) => {
  test('is that of the schema, whatever the order and the company of the fields', () => {
    const some = fc.dictionary(
      fc.constantFrom('a', 'c', 'd', 'e', 'x', 'constructor', '1'),
      fc.constantFrom('v', 'w', null),
    )
    fc.assert(
      fc.property(
        some,
        fc.option(some, { nil: undefined }),
        fc.boolean(),
        (outer, inner, first) => {
          const value = JSON.parse(
            JSON.stringify(first ? { b: inner, ...outer } : { ...outer, b: inner }),
          ) as Record<string, unknown>
          const original = structuredClone(value)
          const shaper = new Shaper(root)
          const row = shaper.shape(value) as Record<string, unknown>
          expect(Object.keys(row)).toEqual(['a', 'b', 'e'])
          expect([row['a'], row['e']]).toEqual([original['a'], original['e']])
          const b = original['b'] as Record<string, unknown> | undefined
          if (b === undefined) expect(row['b']).toBeUndefined()
          else {
            expect(Object.keys(row['b'] as object)).toEqual(['c', 'd'])
            expect(row['b']).toEqual({ c: b['c'], d: b['d'] })
          }
          const known =
            Object.keys(original).every((name) => ['a', 'b', 'e'].includes(name)) &&
            Object.keys(b ?? {}).every((name) => ['c', 'd'].includes(name))
          expect(shaper.dropped).toBe(!known)
        },
      ),
    )
  })

  test('is the same in every stage, and what a pipeline writes', async () => {
    const Event = {
      type: 'object',
      properties: { id: { type: 'string' }, maybe: { type: 'string' }, n: { type: 'number' } },
      required: ['id', 'n'],
    } as const
    const seen: string[] = []
    const see =
      (where: string) =>
      (e: object): boolean => {
        seen.push(
          `${where}: ${Object.entries(e)
            .map(([name, value]) => `${name}=${value}`)
            .join(' ')}`,
        )
        return true
      }
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      const users = p.table('users', { schema: Event, key: 'id' })
      const first = p.stream('events', { schema: Event, key: 'id' }).filter(see('first'))
      first.to(p.topic('out'))
      first
        .keyBy('n')
        .filter(see('second'))
        .enrich(
          users,
          (e) => String(e.n),
          () => ({}),
        )
        .to(p.topic('ignored'))
    })
    const world = new StageWorld(definition, { reader })
    await world.produce('events', [
      { partition: 0, timestamp: base, key: 'k', value: { n: 1, secret: 'x', id: 'k' } },
    ])
    await world.drain()
    expect(seen).toEqual(['first: id=k maybe=undefined n=1', 'second: id=k maybe=undefined n=1'])
    expect((await world.read('out')).map(({ value }) => JSON.stringify(value))).toEqual([
      '{"id":"k","n":1}',
    ])
  })
})

const Nested = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    n: { type: 'number' },
    inner: {
      type: 'object',
      properties: {
        text: { type: 'string' },
        deep: { type: 'object', properties: { ok: { type: 'boolean' } } },
      },
    },
    list: { type: 'array' },
    open: { type: 'object' },
    maybe: { type: ['string', 'null'] },
  },
  required: ['id'],
} as const

/** Everything that a function may do with a row, and keep. */
function lookedAt(row: Record<string, unknown>): Record<string, unknown> {
  const { id, inner, ...rest } = row
  return {
    json: JSON.stringify(row),
    keys: Object.keys(row),
    entries: Object.entries(row).map(([name, value]) => `${name}:${typeof value}`),
    has: ['id', 'maybe', 'other', 'toString'].map((name) => name in row),
    own: Object.hasOwn(row, 'maybe'),
    spread: { ...row },
    assigned: Object.assign({}, inner),
    kept: row,
    nested: [{ inner }],
    id,
    rest,
  }
}

test('a function sees the same in a row, and may keep what it makes of it, whatever reads the rows', async () => {
  const texts = fc.constantFrom('', 'a', 'é', '"', '\u{1f600}', 'x'.repeat(70))
  const events = fc.array(
    fc.record(
      {
        id: fc.constantFrom('k0', 'k1'),
        n: fc.oneof(fc.integer(), fc.constantFrom(0.5, 1e21, 123456789012345)),
        inner: fc.record(
          { text: texts, deep: fc.record({ ok: fc.boolean() }), odd: texts },
          { requiredKeys: [] },
        ),
        list: fc.array(fc.oneof(texts, fc.record({ a: fc.integer() })), { maxLength: 2 }),
        open: fc.dictionary(texts, fc.integer(), { maxKeys: 2 }),
        maybe: fc.option(texts, { nil: null }),
        unknown: texts,
      },
      { requiredKeys: ['id'] },
    ),
    { maxLength: 30, size: 'max' },
  )
  await fc.assert(
    fc.asyncProperty(events, async (values) => {
      const [wasm, plain, parsed] = await Promise.all(
        (['wasm', 'plain', 'parse'] as const).map(async (reader) => {
          const definition = pipeline('p', { partitions: 1 }, (p) => {
            p.stream('events', { schema: Nested, key: 'id' })
              .flatMap((e) => [lookedAt(e), lookedAt(e)])
              .to(p.topic('out'))
          })
          const world = new StageWorld(definition, { reader })
          const records = values.map((value) => ({
            partition: 0,
            timestamp: base,
            key: value.id,
            value,
          }))
          await world.produce('events', records)
          await world.drain()
          const out = await world.read('out')
          expect(out.length).toBe(values.length * 2)
          return out.map(({ value }) => JSON.stringify(value))
        }),
      )
      expect(wasm).toEqual(parsed)
      expect(plain).toEqual(parsed)
    }),
    { numRuns: 60 },
  )
})

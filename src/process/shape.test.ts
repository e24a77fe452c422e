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

describe('the shape of rows', () => {
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
    const world = new StageWorld(definition)
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

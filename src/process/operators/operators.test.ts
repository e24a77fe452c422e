import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { count, pipeline, sum, tumbling } from '../../index.ts'
import { StageWorld } from '../../../tests/support/stage-world.ts'

const base = Date.UTC(2024, 0, 1)
const day = 24 * 60 * 60 * 1000
const Event = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    text: { type: 'string' },
    n: { type: 'number' },
    maybe: { type: ['string', 'null'] },
    deep: {
      type: 'object',
      properties: { flag: { type: 'boolean' }, constructor: { type: 'string' } },
    },
  },
  required: ['id', 'text', 'n'],
} as const

interface Row {
  id: string
  text: string
  n: number
  maybe?: string | null
  deep?: { flag?: boolean }
}

const texts = fc.constantFrom('', 'a', 'b', 'ab', 'é', 'z', '￿', '\u{10000}', 'Z')
const rows = fc.array(
  fc.record(
    {
      id: fc.constantFrom('k0', 'k1', 'k2', 'k3'),
      text: texts,
      n: fc.integer({ min: -3, max: 3 }),
      maybe: fc.option(texts, { nil: null }),
      deep: fc.record({ flag: fc.boolean() }, { requiredKeys: [] }),
    },
    { requiredKeys: ['id', 'text', 'n'] },
  ),
  { maxLength: 40, size: 'max' },
)

/** An operator as the pipeline's paths say it, as its functions say it, and as one would write it over an array. */
interface Step {
  readonly name: string
  // The steps of a random pipeline have no type that TypeScript could follow.
  readonly paths: (stream: Loose) => Loose
  readonly functions: (stream: Loose) => Loose
  readonly model: (rows: Row[]) => Row[]
}
type Loose = Record<string, (...args: unknown[]) => Loose>

function picked({ id, text, n, maybe, deep }: Row): Row {
  const row: Row = { id, text, n }
  if (maybe !== undefined) row.maybe = maybe
  if (deep?.flag !== undefined) row.deep = { flag: deep.flag }
  return row
}

const bounds = fc.constantFrom('', 'a', 'é', '￿', '\u{10000}', 'ab')

const compare = fc
  .tuple(fc.constantFrom('gt', 'gte', 'lt', 'lte', 'ne' as const), bounds)
  .map(([op, bound]): Step => {
    const holds = (value: string): boolean =>
      op === 'gt'
        ? value > bound
        : op === 'gte'
          ? value >= bound
          : op === 'lt'
            ? value < bound
            : op === 'lte'
              ? value <= bound
              : value !== bound
    return {
      name: `where text ${op} ${JSON.stringify(bound)}`,
      paths: (s) => s['where']!({ text: { [op]: bound } }),
      functions: (s) => s['filter']!((row: Row) => holds(row.text)),
      model: (all) => all.filter((row) => holds(row.text)),
    }
  })

const steps: fc.Arbitrary<Step> = fc.oneof(
  compare,
  fc.integer({ min: -3, max: 3 }).map((n): Step => ({
    name: `where n ${n}`,
    paths: (s) => s['where']!({ n: { gte: n, lt: n + 3 } }),
    functions: (s) => s['filter']!((row: Row) => row.n >= n && row.n < n + 3),
    model: (all) => all.filter((row) => row.n >= n && row.n < n + 3),
  })),
  fc
    .constantFrom<(string | null | undefined)[]>(['a', 'é'], [null, 'z'], [null])
    .map((values): Step => ({
      name: `where maybe in ${JSON.stringify(values)}`,
      paths: (s) => s['where']!({ maybe: values }),
      functions: (s) => s['filter']!((row: Row) => values.includes(row.maybe)),
      model: (all) => all.filter((row) => values.some((value) => value === row.maybe)),
    })),
  fc.boolean().map((flag): Step => ({
    name: `where deep.flag ${flag}`,
    paths: (s) => s['where']!({ 'deep.flag': flag }),
    functions: (s) => s['filter']!((row: Row) => row.deep?.flag === flag),
    model: (all) => all.filter((row) => row.deep !== undefined && row.deep.flag === flag),
  })),
  fc.constant<Step>({
    name: 'where an inherited name',
    paths: (s) => s['where']!({ 'deep.constructor': { ne: 'x' } }),
    functions: (s) =>
      s['filter']!((row: { deep?: { constructor?: unknown } }) => row.deep?.constructor !== 'x'),
    model: (all) => all,
  }),
  fc.constant<Step>({
    name: 'select',
    paths: (s) => s['select']!('id', 'text', 'n', 'maybe', 'deep.flag', 'deep.constructor'),
    functions: (s) => s['map']!((row: Row) => picked(row)),
    model: (all) => all.map(picked),
  }),
  fc.integer({ min: 1, max: 3 }).map((by): Step => {
    const derive = (s: Loose): Loose =>
      s['derive']!((row: Row) => ({ n: row.n + by, text: `${row.text}!` }))
    return {
      name: 'derive',
      paths: derive,
      functions: derive,
      model: (all) => all.map((row) => ({ ...row, n: row.n + by, text: `${row.text}!` })),
    }
  }),
  fc.constant<Step>({
    name: 'flatMap',
    paths: (s) =>
      s['flatMap']!((row: Row) =>
        Array.from({ length: Math.max(0, row.n) }, (_, i) => ({ ...row, n: i })),
      ),
    functions: (s) =>
      s['flatMap']!((row: Row) =>
        Array.from({ length: Math.max(0, row.n) }, (_, i) => ({ ...row, n: i })),
      ),
    model: (all) =>
      all.flatMap((row) =>
        Array.from({ length: Math.max(0, row.n) }, (_, i) => ({ ...row, n: i })),
      ),
  }),
)

const readings = ['wasm', 'plain', 'parse'] as const

async function outputs(
  make: (stream: Loose) => Loose,
  events: readonly Row[],
  batch: number,
  reader: (typeof readings)[number],
): Promise<Map<string, unknown[]>> {
  const definition = pipeline('p', { partitions: 2 }, (p) => {
    const events_ = p.stream('events', { schema: Event, key: 'id' }) as unknown as Loose
    make(events_)['to']!(p.topic('out'))
  })
  const world = new StageWorld(definition, { reader })
  await world.produce(
    'events',
    events.map((value) => ({
      partition: Number(value.id[1]) % 2,
      timestamp: base,
      key: value.id,
      value,
    })),
  )
  await world.drain({ rows: batch, bytes: 1e6 })
  expect(await world.read('p.dead-letters')).toEqual([])
  return byKey(await world.read('out'))
}

function byKey(
  records: readonly { key: string | undefined; value: unknown }[],
): Map<string, unknown[]> {
  const found = new Map<string, unknown[]>()
  for (const { key, value } of records)
    found.set(key ?? '', [...(found.get(key ?? '') ?? []), value])
  return found
}

describe.each(readings)('operators on rows read by %s', (reader) => {
  test('paths, functions and an obvious model agree for any pipeline, and keep the order per key', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(steps, { minLength: 1, maxLength: 5 }),
        rows,
        fc.constantFrom(1, 3, 1000),
        async (chain, events, batch) => {
          const byPaths = await outputs(
            (s) => chain.reduce((at, step) => step.paths(at), s),
            events,
            batch,
            reader,
          )
          const byFunctions = await outputs(
            (s) => chain.reduce((at, step) => step.functions(at), s),
            events,
            batch,
            reader,
          )
          const model = chain.reduce((at, step) => step.model(at), events as Row[])
          const expected = byKey(model.map((value) => ({ key: value.id, value })))
          const names = chain.map(({ name }) => name).join(', ')
          expect({ names, rows: byFunctions }).toEqual({ names, rows: expected })
          expect({ names, rows: byPaths }).toEqual({ names, rows: expected })
        },
      ),
      { numRuns: 120 },
    )
  })

  test('keyBy by path and by function move rows to the same groups and partitions, whatever the type of the key', async () => {
    const keyed = fc.array(
      fc.record({
        id: fc.constantFrom('k0', 'k1'),
        key: fc.oneof(
          texts,
          fc.integer(),
          fc
            .double({ noNaN: true, noDefaultInfinity: true })
            .filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n)),
          fc.boolean(),
        ),
      }),
    )
    const Keyed = {
      type: 'object',
      properties: { id: { type: 'string' }, key: {} },
      required: ['id', 'key'],
    } as const
    await fc.assert(
      fc.asyncProperty(keyed, async (events) => {
        const results = await Promise.all(
          ['key', (row: { key: unknown }) => row.key].map(async (by) => {
            const definition = pipeline('p', { partitions: 4 }, (p) => {
              const stream = p.stream('events', {
                schema: Keyed,
                key: 'id',
                bound: '1ms',
              }) as unknown as Loose
              const windows = stream['keyBy']!(by)['window']!(tumbling('1s'))
              windows['aggregate']!('out', { n: count() })['to']!(p.topic('out'))
            })
            const world = new StageWorld(definition, { reader })
            await world.produce(
              'events',
              events.map((value) => ({
                partition: value.id === 'k0' ? 0 : 1,
                timestamp: base,
                key: 'k',
                value,
              })),
            )
            return world
          }),
        )
        for (const world of results) {
          world.now = base + 2 * day
          await world.produce(
            'events',
            [0, 1, 2, 3].map((p) => ({
              partition: p,
              timestamp: base + day,
              key: 'k',
              value: { id: 'k0', key: 'end' },
            })),
          )
          await world.drain()
        }
        const groups = await Promise.all(
          results.map(async (world) =>
            (await world.read('out')).map(({ value, partition }) => ({
              ...(value as { key: unknown; n: number }),
              partition,
            })),
          ),
        )
        const model = new Map<unknown, number>()
        for (const { key } of events)
          model.set(key === 0 ? 0 : key, (model.get(key === 0 ? 0 : key) ?? 0) + 1)
        for (const group of groups)
          expect(new Map(group.map(({ key, n }) => [key, n]))).toEqual(model)
        const places = groups.map(
          (group) =>
            new Set(group.map(({ key, partition }) => `${typeof key} ${String(key)} ${partition}`)),
        )
        expect(places[0]).toEqual(places[1])
      }),
      { numRuns: 25 },
    )
  })

  test('enrich finds what the table held when the row was read, in place and after a repartition', async () => {
    const User = {
      type: 'object',
      properties: { id: { type: 'string' }, plan: { type: 'string' } },
      required: ['id', 'plan'],
    } as const
    const table = fc.record({
      kind: fc.constant('user' as const),
      id: fc.constantFrom('k0', 'k1', 'k2'),
      plan: fc.option(fc.constantFrom('a', 'b'), { nil: undefined }),
    })
    const event = fc.record({
      kind: fc.constant('event' as const),
      id: fc.constantFrom('k0', 'k1', 'k2', 'k3'),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(table, event), { maxLength: 30, size: 'max' }),
        fc.constantFrom('same', 'path', 'fn', 'fields', 'inner'),
        async (commands, how) => {
          const definition = pipeline('p', { partitions: 2 }, (p) => {
            const Ref = {
              type: 'object',
              properties: { id: { type: 'string' }, ref: { type: 'string' } },
              required: ['id', 'ref'],
            } as const
            const stream = p.stream('events', { schema: Ref, key: 'id' })
            const users = p.table('users', { schema: User, key: 'id' })
            const found = (_: unknown, user: { plan: string } | undefined): { plan: string } => ({
              plan: user?.plan ?? 'none',
            })
            const enriched =
              how === 'same'
                ? stream.enrich(users, 'id', found)
                : how === 'path'
                  ? stream.enrich(users, 'ref', found)
                  : how === 'fn'
                    ? stream.enrich(users, (e) => e.ref, found)
                    : stream.enrich(
                        users,
                        'ref',
                        { plan: 'plan' },
                        { join: how === 'inner' ? 'inner' : 'left' },
                      )
            enriched.to(p.topic('out'))
          })
          // What the topic holds of a row that found nothing: undefined is not in JSON.
          const missing = how === 'fields' ? {} : how === 'inner' ? undefined : { plan: 'none' }
          const joined = (id: string): unknown[] => {
            const plan = plans.get(id)
            const added = plan === undefined ? missing : { plan }
            return added === undefined ? [] : [{ id, ref: id, ...added }]
          }
          const world = new StageWorld(definition, { reader })
          const plans = new Map<string, string>()
          const expected: unknown[] = []
          for (const command of commands) {
            const { id } = command
            if (command.kind === 'user') {
              const { plan } = command
              await world.produce('users', [
                {
                  partition: partitionFor(id),
                  timestamp: base,
                  key: id,
                  value: plan === undefined ? undefined : { id, plan },
                },
              ])
              if (plan === undefined) plans.delete(id)
              else plans.set(id, plan)
            } else {
              await world.produce('events', [
                {
                  partition: how === 'same' ? partitionFor(id) : 0,
                  timestamp: base,
                  key: id,
                  value: { id, ref: id },
                },
              ])
              expected.push(...joined(id))
            }
            await world.drain()
          }
          const byId = (list: unknown[]): unknown[] =>
            list.toSorted((a, b) => ((a as { id: string }).id < (b as { id: string }).id ? -1 : 1))
          expect(byId((await world.read('out')).map(({ value }) => value))).toEqual(byId(expected))
          const restarted = byId(expected)
          world.start(2)
          await world.drain()
          await world.produce('events', [
            {
              partition: how === 'same' ? partitionFor('k1') : 0,
              timestamp: base,
              key: 'k1',
              value: { id: 'k1', ref: 'k1' },
            },
          ])
          await world.drain()
          const again = (await world.read('out')).map(({ value }) => value)
          expect(byId(again)).toEqual(byId([...restarted, ...joined('k1')]))
        },
      ),
      { numRuns: 60 },
    )
  })

  test('only the fields that the next stage reads cross the log, and everything does when a function reads it', async () => {
    const make = (late: boolean): StageWorld => {
      const definition = pipeline('p', { partitions: 1 }, (p) => {
        const out = p
          .stream('events', { schema: Event, key: 'id' })
          .keyBy('text')
          .where({ n: { gte: 0 } })
          .window(tumbling('1s'))
          .aggregate('out', { total: sum('n'), rows: count() })
        out.to(p.topic('out'))
        if (late) out.late().to(p.topic('late'))
      })
      return new StageWorld(definition, { reader })
    }
    for (const late of [false, true]) {
      const world = make(late)
      await world.produce('events', [
        {
          partition: 0,
          timestamp: base,
          key: 'k',
          value: { id: 'k', text: 't', n: 1, maybe: null },
        },
      ])
      await world.drain()
      const topic = world.plan.topics.find(({ role }) => role === 'repartition')?.name ?? ''
      const [{ value } = { value: undefined }] = await world.read(topic)
      expect(value).toEqual(late ? { id: 'k', text: 't', n: 1, maybe: null } : { n: 1 })
    }
  })
})

/** Where murmur2 puts these keys in two partitions. */
function partitionFor(id: string): number {
  return { k0: 1, k1: 1, k2: 1, k3: 0 }[id] ?? 0
}

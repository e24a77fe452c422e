/**
 * What must not compile, and what types come out. The compiler runs this file: an expected error that is none, and a type
 * that is another one, fail `npm run check`.
 */
import { Type } from 'typebox'
import * as v from 'valibot'
import * as z from 'zod'
import type { Infer } from '../schema/infer.ts'
import type { Sink } from '../sinks/sink.ts'
import { sqlite } from '../sinks/sqlite/index.ts'
import { avg, count, max, min, sum, tumbling } from './aggregates.ts'
import type { Path } from './paths.ts'
import { pipeline } from './pipeline.ts'
import type { Stream } from './stream.ts'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** `same<A, B>(true)` compiles where A and B are one type. */
declare function same<A, B>(proof: Equal<A, B>): void
declare function rowOf<T extends object, N extends string, K>(stream: Stream<T, N, K>): T

interface Action {
  event_type: 'page_view' | 'click'
  timestamp: string
  user_id: string
  ok: boolean
  tags: string[]
  properties: { page: string; duration: number; depth?: number | null }
}

const TypeBoxAction = Type.Object({
  event_type: Type.Union([Type.Literal('page_view'), Type.Literal('click')]),
  timestamp: Type.String(),
  user_id: Type.String(),
  ok: Type.Boolean(),
  tags: Type.Array(Type.String()),
  properties: Type.Object({
    page: Type.String(),
    duration: Type.Number(),
    depth: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  }),
})
const User = Type.Object({ user_id: Type.String(), plan: Type.String(), age: Type.Integer() })

declare const anySink: Sink
declare const pageSink: Sink & { readonly keyFields: readonly ('page' | 'window_start')[] }
declare const wrongSink: Sink & { readonly keyFields: readonly ('page' | 'no_such_field')[] }

pipeline('inference', (p) => {
  const typebox = p.stream('typebox', { schema: TypeBoxAction, key: 'user_id', time: 'timestamp' })
  same<string, ReturnType<typeof rowOf<Action, never, never>>['user_id']>(true)
  const typeboxRow = rowOf(typebox)
  same<typeof typeboxRow.properties.page, string>(true)
  same<typeof typeboxRow.event_type, 'page_view' | 'click'>(true)

  const json = p.stream('json', {
    schema: {
      type: 'object',
      properties: {
        id: { type: 'string' },
        kind: { enum: ['a', 'b'] },
        inner: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] },
      },
      required: ['id', 'kind', 'inner'],
    },
    key: 'id',
  })
  const jsonRow = rowOf(json)
  same<typeof jsonRow.inner.n, number>(true)
  same<typeof jsonRow.kind, 'a' | 'b'>(true)

  const zod = p.stream('zod', {
    schema: z.object({ id: z.string(), inner: z.object({ n: z.number().optional() }) }),
    key: 'id',
  })
  const zodRow = rowOf(zod)
  same<typeof zodRow.inner.n, number | undefined>(true)

  const valibot = p.stream('valibot', {
    schema: v.object({ id: v.string(), n: v.number() }),
    key: 'id',
  })
  const valibotRow = rowOf(valibot)
  same<typeof valibotRow, { id: string; n: number }>(true)

  // @ts-expect-error A schema that coerces gives out another type than it takes.
  p.stream('coerced', { schema: z.object({ id: z.string(), n: z.coerce.number() }), key: 'id' })
  // @ts-expect-error A schema with a default too.
  p.stream('default', { schema: z.object({ id: z.string(), n: z.number().default(1) }), key: 'id' })
  // @ts-expect-error And one that transforms.
  p.stream('changed', { schema: v.object({ id: v.pipe(v.string(), v.transform(Number)) }) })
})

const Constant = {
  type: 'object',
  properties: { id: { type: 'string' }, n: { type: ['number', 'null'] } },
  required: ['id', 'n'],
} as const
const NotConstant = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }
interface Tree {
  id: string
  left?: Tree
  right?: Tree
}

pipeline('json schema', (p) => {
  const constant = rowOf(p.stream('constant', { schema: Constant, key: 'id' }))
  same<typeof constant.id, string>(true)
  same<typeof constant.n, number | null>(true)
  // @ts-expect-error Not always a key.
  p.stream('constant', { schema: Constant, key: 'n' })

  // Without `as const` the compiler knows the names of the fields, not their types.
  const loose = p.stream('loose', { schema: NotConstant, key: 'id' })
  const looseRow = rowOf(loose)
  same<typeof looseRow.id, unknown>(true)
  loose.where({ id: 5 }).keyBy('id')
  // @ts-expect-error No such field.
  loose.keyBy('other')
})
same<Path<Tree> extends string ? true : false, true>(true)
same<Infer<typeof User>, { user_id: string; plan: string; age: number }>(true)

pipeline('wrong streams and conditions', (p) => {
  // @ts-expect-error The schema is none.
  p.stream('s', { schema: 5, key: 'user_id' })
  // @ts-expect-error The key is not a field.
  p.stream('s', { schema: TypeBoxAction, key: 'user' })
  // @ts-expect-error An object cannot be the key.
  p.stream('s', { schema: TypeBoxAction, key: 'properties' })
  // @ts-expect-error The time is neither text nor number.
  p.stream('s', { schema: TypeBoxAction, key: 'user_id', time: 'ok' })
  // @ts-expect-error There is no such option.
  p.stream('s', { schema: TypeBoxAction, key: 'user_id', partition: 4 })
  // @ts-expect-error A duration needs a unit.
  p.stream('s', { schema: TypeBoxAction, key: 'user_id', bound: '5 seconds' })
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'drop-oldest', maxLag: 10 } })
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'sample', maxLag: 10, keep: 0.1 } })
  const orders = { event_type: 'click', 'properties.duration': { gt: 1 } } as const
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'priority', maxLag: 1, keep: orders } })
  // @ts-expect-error There is no such policy.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'drop-newest', maxLag: 10 } })
  // @ts-expect-error Nothing is shed by accident: it says from which lag on.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'drop-oldest' } })
  // @ts-expect-error A sample has a share.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'sample', maxLag: 10 } })
  // @ts-expect-error A sample is not chosen by conditions.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'sample', maxLag: 1, keep: orders } })
  // @ts-expect-error The oldest are dropped, whatever they are.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'drop-oldest', maxLag: 1, keep: 0.1 } })
  // @ts-expect-error The row has no such field.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'priority', maxLag: 1, keep: { no: 1 } } })
  const never = { ok: 'yes' } as const
  // @ts-expect-error The field never has this value.
  p.stream('s', { schema: TypeBoxAction, shed: { policy: 'priority', maxLag: 1, keep: never } })
  // @ts-expect-error A table sheds nothing.
  p.table('t', { schema: User, key: 'user_id', shed: { policy: 'drop-oldest', maxLag: 10 } })
  // @ts-expect-error A table needs a key.
  p.table('t', { schema: User })

  const actions = p.stream('actions', { schema: TypeBoxAction, key: 'user_id', time: 'timestamp' })

  // @ts-expect-error No such field.
  actions.where({ event: 'page_view' })
  // @ts-expect-error No such field, beside one that is there.
  actions.where({ event_type: 'page_view', event: 1 })
  // @ts-expect-error No such nested field.
  actions.where({ 'properties.pages': '/home' })
  // @ts-expect-error The field never has this value.
  actions.where({ event_type: 'pageview' })
  // @ts-expect-error A number is not compared with a string.
  actions.where({ 'properties.duration': { gt: '3' } })
  // @ts-expect-error There is no such comparison.
  actions.where({ 'properties.duration': { above: 3 } })
  actions.where({ event_type: ['page_view', 'click'], 'properties.duration': { gte: 1, lt: 9 } })
  actions.where({ 'properties.depth': null })
})

pipeline('wrong functions and keys', (p) => {
  const actions = p.stream('actions', { schema: TypeBoxAction, key: 'user_id', time: 'timestamp' })
  const users = p.table('users', { schema: User, key: 'user_id' })
  // @ts-expect-error No such field in the row of the function.
  actions.filter((action) => action.properties.pages === '/home')
  // @ts-expect-error A promise is not true or false.
  actions.filter(async (action) => action.ok)
  // @ts-expect-error map gives an object.
  actions.map((action) => action.user_id)
  // @ts-expect-error map gives one object.
  actions.map((action) => [action])
  // @ts-expect-error map does not wait.
  actions.map(async (action) => ({ id: action.user_id }))
  // @ts-expect-error flatMap gives an array.
  actions.flatMap((action) => ({ id: action.user_id }))
  // @ts-expect-error No such path.
  actions.select('user_id', 'properties.pages')
  // @ts-expect-error No such path.
  actions.keyBy('page')
  // @ts-expect-error Not a key: it may be absent.
  actions.keyBy('properties.depth')
  // @ts-expect-error An object is not a key.
  actions.keyBy((action) => action.properties)
  // @ts-expect-error Not a field to look up by.
  actions.enrich(users, 'tags', () => ({}))
  // @ts-expect-error A stream is not a table.
  actions.enrich(actions, 'user_id', () => ({}))
  // @ts-expect-error The row may not be in the table.
  actions.enrich(users, 'user_id', (_action, user) => ({ plan: user.plan }))
})

pipeline('wrong windows and sinks', (p) => {
  const actions = p.stream('actions', { schema: TypeBoxAction, key: 'user_id', time: 'timestamp' })
  const windows = actions.window(tumbling('1m'), { lateness: '30s' })
  // @ts-expect-error Not a number.
  windows.aggregate('a', { pages: avg('properties.page') })
  // @ts-expect-error Not a number.
  windows.aggregate('a', { oks: sum('ok') })
  // @ts-expect-error No such field.
  windows.aggregate('a', { durations: sum('properties.durations') })
  // @ts-expect-error The function gives no number.
  windows.aggregate('a', { pages: max((action) => action.properties.page) })
  // @ts-expect-error A number is not an aggregate.
  windows.aggregate('a', { pages: 1 })
  // @ts-expect-error There is no such emission.
  actions.window(tumbling('1m'), { emit: 'always' })
  // @ts-expect-error Not a duration.
  tumbling('1 minute')

  const keyless = p.stream('keyless', { schema: User })
  // @ts-expect-error Windows are per key.
  keyless.window(tumbling('1m'))

  const pages = actions
    .keyBy('properties.page')
    .window(tumbling('1m'))
    .aggregate('pages', { views: count() })
  pages.to(anySink)
  pages.to(pageSink)
  // @ts-expect-error The sink's key has a field that rows have not.
  pages.to(wrongSink)
  pages.to(sqlite({ path: 'p.sqlite', table: 'pages', key: ['page', 'window_start'] }))
  pages.to(sqlite({ path: 'p.sqlite', table: 'all' }))
  // @ts-expect-error The table's key has a field that rows have not.
  pages.to(sqlite({ path: 'p.sqlite', table: 'pages', key: ['page', 'window'] }))
  // @ts-expect-error A name is not a topic.
  pages.to('topic')
  // @ts-expect-error No such field in the rows of an aggregate.
  pages.filter((page) => page.view > 1)
})

pipeline('rows', (p) => {
  const actions = p.stream('actions', { schema: TypeBoxAction, key: 'user_id' })
  const users = p.table('users', { schema: User, key: 'user_id' })

  const mapped = rowOf(actions.map((action) => ({ id: action.user_id, n: 1 })))
  same<typeof mapped, { id: string; n: number }>(true)
  const flat = rowOf(actions.flatMap((action) => action.tags.map((tag) => ({ tag }))))
  same<typeof flat, { tag: string }>(true)
  const selected = rowOf(actions.select('user_id', 'properties.page', 'properties.depth'))
  same<typeof selected.properties.page, string>(true)
  const withoutDuration: { user_id: string; properties: { page: string; depth?: number | null } } =
    selected
  // @ts-expect-error What was not selected is gone.
  void selected.properties.duration
  // @ts-expect-error What was not selected is gone.
  void selected.ok
  void withoutDuration

  const derived = rowOf(
    actions.derive((action) => ({ seconds: action.properties.duration / 1000, ok: 'yes' })),
  )
  same<typeof derived.seconds, number>(true)
  same<typeof derived.ok, string>(true)
  const enriched = rowOf(
    actions.enrich(users, 'user_id', (_action, user) => ({
      plan: user?.plan ?? 'free',
      age: user?.age,
    })),
  )
  const joined = rowOf(actions.enrich(users, 'user_id', { level: 'plan' }))
  same<typeof joined.level, (typeof enriched)['plan'] | undefined>(true)
  const inner = rowOf(actions.enrich(users, 'user_id', { level: 'plan' }, { join: 'inner' }))
  same<typeof inner.level, (typeof enriched)['plan']>(true)
  // @ts-expect-error: the table has no such field
  actions.enrich(users, 'user_id', { level: 'nowhere' })
  same<typeof enriched.plan, string>(true)
  same<typeof enriched.age, number | undefined>(true)
  same<typeof enriched.tags, string[]>(true)
})

pipeline('rows of aggregates', (p) => {
  const actions = p.stream('actions', { schema: TypeBoxAction, key: 'user_id' })
  const users = p.table('users', { schema: User, key: 'user_id' })
  const perPage = actions
    .enrich(
      users,
      (action) => action.user_id,
      (_action, user) => ({ pro: user?.plan === 'pro' ? 1 : 0 }),
    )
    .keyBy('properties.page')
    .window(tumbling('10s'))
    .aggregate('per_page', {
      views: count(),
      seconds: avg('properties.duration'),
      deepest: max('properties.depth'),
      least: min((action) => action.properties.duration),
      pros: sum('pro'),
    })
  const page = rowOf(perPage)
  same<
    typeof page,
    {
      page: string
      window_start: string
      window_end: string
      views: number
      seconds: number | null
      deepest: number | null
      least: number | null
      pros: number
    }
  >(true)
  const late = rowOf(perPage.late())
  same<typeof late.properties.page, string>(true)

  const perUser = rowOf(actions.window(tumbling('1m')).aggregate('per_user', { n: count() }))
  same<typeof perUser.user_id, string>(true)
  const perAge = rowOf(
    actions
      .keyBy((action) => [action.user_id, action.ok] as const)
      .window(tumbling('1m'))
      .aggregate('per_age', { n: count() }),
  )
  same<typeof perAge.key, readonly [string, boolean]>(true)
})

const Shape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('circle'), id: z.string(), radius: z.number() }),
  z.object({ kind: z.literal('square'), id: z.string(), side: z.number() }),
])
pipeline('unions', (p) => {
  const shapes = p.stream('shapes', { schema: Shape, key: 'id' })
  const circle = rowOf(shapes.where({ kind: 'circle' }))
  same<typeof circle, { kind: 'circle'; id: string; radius: number }>(true)
  shapes.window(tumbling('1m')).aggregate('radii', { radius: avg('radius') })
  // @ts-expect-error Not in every shape.
  shapes.filter((shape) => shape.radius > 1)
})

/** Pipelines whose plans are kept as text beside the tests. */
import { Type } from 'typebox'
import * as z from 'zod'
import { avg, count, max, sum, tumbling } from '../pipeline/aggregates.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import type { ShedOptions } from '../pipeline/shed.ts'
import type { Infer } from '../schema/infer.ts'
import type { Guarantee, Sink } from '../sinks/sink.ts'
import type { Source } from '../sources/source.ts'

const sink = (
  kind: string,
  target: string,
  guarantee: Guarantee,
  more: Partial<Sink> = {},
): Sink => ({
  kind,
  target,
  guarantee,
  describe: `${kind} ${target}`,
  ...more,
})
const reader = { poll: () => ({ result: 'ended' }) as const, close: () => {} }
const pulled = (
  kind: string,
  describe: string,
  replay: Source['replay'],
  partitions = 1,
): Source => ({
  kind,
  replay,
  partitions,
  describe,
  start: 'earliest',
  open: () => reader,
})
const pushed = (path: string): Source => ({
  kind: 'http',
  replay: 'resends',
  partitions: 8,
  describe: `http POST ${path}`,
  start: 'earliest',
  push: { path, onInvalid: 'refuse' },
})

const Action = Type.Object({
  event_id: Type.String(),
  event_type: Type.String(),
  timestamp: Type.String(),
  user_id: Type.String(),
  properties: Type.Object({ page: Type.String(), duration: Type.Number() }),
})
const User = Type.Object({ user_id: Type.String(), plan: Type.String() })
const Order = z.object({ id: z.string(), country: z.string(), cents: z.number(), at: z.number() })
const Host = Type.Object({ host: Type.String(), cpu: Type.Number(), at: Type.Integer() })

const minimal = pipeline('minimal', (p) => {
  p.stream('events', { schema: Action, key: 'user_id' }).to(
    sink('file', 'out.ndjson', 'at-least-once'),
  )
})

const demo = pipeline('demo', (p) => {
  const actions = p.stream('actions', {
    schema: Action,
    key: 'user_id',
    time: 'timestamp',
    from: pushed('/actions'),
  })
  const users = p.table('users', { schema: User, key: 'user_id' })
  const pages = actions
    .where({ event_type: 'page_view' })
    .filter((action) => action.properties.duration > 0)
    .enrich(users, 'user_id', (_action, user) => ({ pro: user?.plan === 'pro' ? 1 : 0 }))
    .keyBy('properties.page')
    .window(tumbling('10s'), { lateness: '10s', emit: 'update' })
    .aggregate('pages', { views: count(), seconds: avg('properties.duration'), pro: sum('pro') })
  pages.to(sink('sqlite', 'pages', 'transactional', { keyFields: ['page', 'window_start'] }))
  pages.to(sink('websocket', '/live/pages', 'at-least-once', { serve: { path: '/live/pages' } }))
  pages.late().to(p.topic('late-actions'))

  p.stream('orders', {
    schema: Order,
    key: 'country',
    time: 'at',
    from: pulled('file', 'file orders.ndjson', 'replayable'),
  })
    .keyBy('country')
    .window(tumbling('1m'))
    .aggregate('revenue', { orders: count(), cents: sum('cents') })
    .to(sink('sqlite', 'revenue', 'transactional', { keyFields: ['country'] }))

  p.stream('host', {
    schema: Host,
    key: 'host',
    time: 'at',
    bound: '0s',
    partitions: 1,
    from: pulled('host-metrics', 'host metrics every 1s', 'none'),
  })
    .window(tumbling('5s'))
    .aggregate('cpu', { cpu: avg('cpu'), peak: max((sample) => sample.cpu) })
    .filter((window) => (window.cpu ?? 0) > 0.8, { name: 'alerts', retries: 1, onError: 'skip' })
    .to(
      sink('webhook', 'alerts', 'at-least-once', {
        hold: { ms: 3_600_000, bytes: 10 * 1024 ** 2 },
      }),
    )
})

/** Every reason to cut, and every reason not to. */
const cuts = pipeline('cuts', { mode: 'at-least-once', partitions: 8 }, (p) => {
  const actions = p.stream('actions', { schema: Action, key: 'user_id', start: 'latest' })
  const users = p.table('users', { schema: User, key: 'user_id' })
  const few = p.table('few-users', { schema: User, key: 'user_id', partitions: 2 })
  // Its own key: in place.
  const known = actions.enrich(users, 'user_id', (_action, user) => ({
    plan: user?.plan ?? 'free',
  }))
  known.window(tumbling('1h')).aggregate('per_user', { n: count() }).keyBy('user_id')
  // Another number of partitions.
  actions.enrich(few, 'user_id', () => ({ few: true }), { name: 'few' })
  // A function.
  actions.enrich(
    users,
    (action) => action.event_id,
    () => ({}),
    { name: 'by-function' },
  )
  // One repartition for two windows.
  const byPage = known.keyBy('properties.page', { name: 'by-page' })
  byPage.window(tumbling('1m')).aggregate('minutes', { n: count() })
  byPage
    .filter(() => true)
    .window(tumbling('1h'))
    .aggregate('hours', { n: count() })
  // A key for the topic alone: nobody needs the rows together.
  actions.keyBy('event_type').to(p.topic('by-type'))
  // Keyed twice: the first one is for nobody.
  actions
    .keyBy('event_type', { name: 'in-vain' })
    .keyBy('properties.page')
    .window(tumbling('1m'))
    .aggregate('again', { n: count() })
    .keyBy('n')
    .window(tumbling('1d'))
    .aggregate('histogram', { pages: count() })
})

const keyless = pipeline('keyless', (p) => {
  const lines = p.stream('lines', {
    schema: Host,
    start: { time: 1_700_000_000_000 },
    retention: { size: '1GB' },
  })
  lines
    .map((line) => ({ host: line.host, hot: line.cpu > 0.9 }))
    .to(p.topic('hot', { partitions: 1 }))
  lines
    .keyBy((line) => [line.host, line.cpu > 0.5] as const)
    .window(tumbling('90s'))
    .aggregate('load', { n: count() })
    .select('key', 'n')
    .to(sink('sqlite', 'load', 'idempotent'))
})

const shedding = pipeline('shedding', (p) => {
  const stream = (name: string, shed: ShedOptions<Infer<typeof Action>>, more = {}): void => {
    p.stream(name, { schema: Action, shed, ...more }).to(p.topic(`${name}-out`))
  }
  stream('newest', { policy: 'drop-oldest', maxLag: 100_000 })
  stream('some', { policy: 'sample', maxLag: 5_000, keep: 0.07 }, { start: 'latest' })
  const keep = { event_type: ['order', 'refund'], 'properties.duration': { gte: 5 } }
  stream('best', { policy: 'priority', maxLag: 1, keep })
})

export const pipelines: Readonly<Record<string, PipelineDefinition>> = {
  minimal,
  demo,
  cuts,
  keyless,
  shedding,
}

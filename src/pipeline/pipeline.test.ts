import * as fc from 'fast-check'
import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import type { Sink } from '../sinks/sink.ts'
import { avg, count, sum, tumbling } from './aggregates.ts'
import type { PipelineDefinition } from './definition.ts'
import type { PipelineBuilder } from './pipeline.ts'
import { pipeline } from './pipeline.ts'
import { bytes, milliseconds } from './units.ts'

const Action = Type.Object({
  event_type: Type.String(),
  user_id: Type.String(),
  at: Type.String(),
  ok: Type.Boolean(),
  properties: Type.Object({ page: Type.String(), duration: Type.Number() }),
})
const User = Type.Object({ user_id: Type.String(), plan: Type.String() })
const sink = (target: string, keyFields?: readonly string[]): Sink => ({
  kind: 'memory',
  target,
  guarantee: 'idempotent',
  describe: `memory ${target}`,
  ...(keyFields === undefined ? {} : { keyFields }),
})

test('nodes are listed in the order of the calls, with what was said', () => {
  const { nodes } = pipeline('clicks', (p) => {
    const actions = p.stream('actions', { schema: Action, key: 'user_id', time: 'at', bound: '1s' })
    const users = p.table('users', { schema: User, key: 'user_id', retention: { time: '1d' } })
    const pages = actions
      .where({ event_type: ['view', 'click'], 'properties.duration': { gt: 0, lte: 60 } })
      .filter((action) => action.ok, { name: 'good', onError: 'skip', retries: 2 })
      .enrich(users, 'user_id', (_action, user) => ({ plan: user?.plan }))
      .keyBy('properties.page')
      .window(tumbling('1m'), { lateness: '30s', emit: 'update' })
      .aggregate('pages', { views: count(), seconds: avg('properties.duration') })
    pages.to(sink('pages'))
    pages.late().to(p.topic('late', { partitions: 2 }))
  })
  const brief = nodes.map(({ kind, ...node }) => [kind, 'topic' in node ? node.topic : node.name])
  expect(brief).toEqual([
    ['stream', 'actions'],
    ['table', 'users'],
    ['where', 'actions-where'],
    ['filter', 'good'],
    ['enrich', 'actions-enrich'],
    ['keyBy', 'actions-keyBy'],
    ['aggregate', 'pages'],
    ['toSink', 'memory-pages'],
    ['late', 'pages-late'],
    ['toTopic', 'late'],
  ])
  expect(nodes.map(({ id }) => id)).toEqual(nodes.map((_, index) => index))
  expect(nodes[0]).toMatchObject({
    boundMs: 1000,
    partitions: 4,
    retentionMs: 7 * 86_400_000,
    time: 'at',
  })
  expect(nodes[1]).toMatchObject({ retentionMs: 86_400_000, key: { path: 'user_id' } })
  expect(nodes[2]).toMatchObject({
    conditions: [
      { path: 'event_type', op: 'in', values: ['view', 'click'] },
      { path: 'properties.duration', op: 'gt', value: 0 },
      { path: 'properties.duration', op: 'lte', value: 60 },
    ],
  })
  expect(nodes[3]).toMatchObject({ onError: 'skip', retries: 2, input: 2 })
  expect(nodes[4]).toMatchObject({ onError: 'deadLetter', retries: 0, table: 1 })
  expect(nodes[6]).toMatchObject({
    keyName: 'page',
    window: { kind: 'tumbling', sizeMs: 60_000, latenessMs: 30_000, emit: 'update' },
    fields: {
      views: { kind: 'count' },
      seconds: { kind: 'avg', of: { path: 'properties.duration' } },
    },
  })
  expect(nodes[8]).toMatchObject({ input: 6 })
})

test('default names count up where one place has several operators of a kind', () => {
  const { nodes } = define((p) => {
    const actions = p.stream('my.actions', { schema: Action })
    actions.filter((action) => action.ok)
    actions.filter((action) => !action.ok)
  })
  expect(nodes.slice(1)).toMatchObject([
    { name: 'my-actions-filter' },
    { name: 'my-actions-filter-2' },
  ])
})

test('late() twice is the same stream', () => {
  const { nodes } = define((p) => {
    const windows = actionsOf(p).window(tumbling('1m')).aggregate('n', { n: count() })
    windows.late().to(sink('a'))
    windows.late().to(sink('b'))
  })
  expect(nodes.filter(({ kind }) => kind === 'late')).toHaveLength(1)
})

test('options of the pipeline are defaults of its topics', () => {
  const definition = pipeline(
    'p',
    { partitions: 16, mode: 'at-least-once', state: '64MB' },
    (p) => {
      p.stream('s', { schema: Action })
    },
  )
  expect(definition).toMatchObject({ mode: 'at-least-once', stateBytes: 64 * 1024 ** 2 })
  expect(definition.nodes[0]).toMatchObject({ partitions: 16 })
})

// What the types refuse must be refused in plain JavaScript too: `never` stands for any argument.
const any = (value: unknown): never => value as never

describe.each<[string, string, RegExp, (p: PipelineBuilder) => unknown]>([
  ['MR3010', 'a topic with a blank', /"my topic"/, (p) => p.topic('my topic')],
  ['MR3010', 'a topic called ..', /"\.\."/, (p) => p.stream('..', { schema: Action })],
  ['MR3010', 'a long topic', /xxx/, (p) => p.topic('x'.repeat(201))],
  [
    'MR3010',
    'an operator with a dot',
    /"a\.b"/,
    (p) => actionsOf(p).filter(() => true, { name: 'a.b' }),
  ],
  [
    'MR3011',
    'two streams of one name',
    /both called s/,
    (p) => [1, 2].map(() => p.stream('s', { schema: Action })),
  ],
  [
    'MR3011',
    'two operators of one name',
    /both called x/,
    (p) =>
      actionsOf(p)
        .filter(() => true, { name: 'x' })
        .filter(() => true, { name: 'x' }),
  ],
  [
    'MR3011',
    'an aggregate called as a stream',
    /both called actions/,
    (p) => actionsOf(p).window(tumbling('1s')).aggregate('actions', { n: count() }),
  ],
  [
    'MR3011',
    'two sinks of one kind and target',
    /both called memory-a/,
    (p) => {
      actionsOf(p).to(sink('a'))
      p.stream('others', { schema: Action }).to(sink('a'))
    },
  ],
  [
    'MR3011',
    'a field called as the key',
    /field user_id/,
    (p) => actionsOf(p).window(tumbling('1s')).aggregate('n', { user_id: count() }),
  ],
  [
    'MR3011',
    'a field called window_start',
    /window_start/,
    (p) => actionsOf(p).window(tumbling('1s')).aggregate('n', { window_start: count() }),
  ],
  [
    'MR3011',
    'a key called window_start',
    /key of aggregate m is called window_start/,
    (p) =>
      actionsOf(p)
        .window(tumbling('1s'))
        .aggregate('n', { rows: count() })
        .keyBy('window_start')
        .window(tumbling('1m'))
        .aggregate('m', { rows: count() }),
  ],
  [
    'MR3012',
    'an unknown key',
    /user.*event_type, user_id/,
    (p) => p.stream('s', { schema: Action, key: any('user') }),
  ],
  [
    'MR3012',
    'a key that is an object',
    /type object/,
    (p) => p.stream('s', { schema: Action, key: any('properties') }),
  ],
  [
    'MR3012',
    'a time that is a boolean',
    /type boolean/,
    (p) => p.stream('s', { schema: Action, time: any('ok') }),
  ],
  [
    'MR3012',
    'an unknown field in where',
    /properties\.pages.*properties has page/,
    (p) => actionsOf(p).where(any({ 'properties.pages': 1 })),
  ],
  [
    'MR3012',
    'an unknown field after filter',
    /no/,
    (p) =>
      actionsOf(p)
        .filter(() => true)
        .keyBy(any('no')),
  ],
  [
    'MR3012',
    'a field that was not selected',
    /the row has user_id/,
    (p) =>
      actionsOf(p)
        .select('user_id')
        .where(any({ ok: true })),
  ],
  [
    'MR3012',
    'an unknown field in select',
    /pages/,
    (p) => actionsOf(p).select(any('properties.pages')),
  ],
  ['MR3012', 'an empty path', /not a path/, (p) => actionsOf(p).keyBy(any(''))],
  [
    'MR3012',
    'an unknown field in enrich',
    /no/,
    (p) => actionsOf(p).enrich(usersOf(p), any('no'), () => ({})),
  ],
  [
    'MR3012',
    'an unknown field of the table in enrich',
    /enrich\(\) from users names the field no/,
    (p) => actionsOf(p).enrich(usersOf(p), 'user_id', { plan: any('no') }),
  ],
  [
    'MR3012',
    'a name with a dot in enrich',
    /a name has no dots/,
    (p) => actionsOf(p).enrich(usersOf(p), 'user_id', { 'a.b': 'plan' }),
  ],
  [
    'MR3016',
    'no fields in enrich',
    /at least one field/,
    (p) => actionsOf(p).enrich(usersOf(p), 'user_id', {}),
  ],
  [
    'MR3014',
    'an unknown join',
    /left or inner/,
    (p) => actionsOf(p).enrich(usersOf(p), 'user_id', { plan: 'plan' }, { join: any('outer') }),
  ],
  [
    'MR3012',
    'an aggregate of text',
    /type string/,
    (p) =>
      actionsOf(p)
        .window(tumbling('1s'))
        .aggregate('n', { n: sum(any('event_type')) }),
  ],
  [
    'MR3012',
    'an unknown field in an aggregate',
    /properties\.length/,
    (p) =>
      actionsOf(p)
        .window(tumbling('1s'))
        .aggregate('n', { n: sum(any('properties.length')) }),
  ],
  [
    'MR3012',
    'a sink with an unknown key field',
    /sink memory a.*page/,
    (p) => actionsOf(p).to(any(sink('a', ['page']))),
  ],
  [
    'MR3013',
    'a bad duration',
    /"1 minute"/,
    (p) => p.stream('s', { schema: Action, bound: any('1 minute') }),
  ],
  ['MR3013', 'a window of no size', /more than zero/, () => tumbling('0s')],
  [
    'MR3013',
    'a bad size',
    /"5XB"/,
    (p) => p.stream('s', { schema: Action, retention: { size: any('5XB') } }),
  ],
  [
    'MR3014',
    'three partitions',
    /is 3; it is a power of two/,
    (p) => p.stream('s', { schema: Action, partitions: 3 }),
  ],
  ['MR3014', 'too many partitions', /2048/, (p) => p.topic('t', { partitions: 2048 })],
  [
    'MR3014',
    'an unknown option',
    /no option partition;/,
    (p) => p.stream('s', any({ schema: Action, partition: 2 })),
  ],
  [
    'MR3014',
    'an unknown option of an operator',
    /no option retry;/,
    (p) => actionsOf(p).filter(() => true, any({ retry: 2 })),
  ],
  [
    'MR3014',
    'an unknown onError',
    /"ignore"/,
    (p) => actionsOf(p).filter(() => true, { onError: any('ignore') }),
  ],
  ['MR3014', 'half a retry', /0\.5/, (p) => actionsOf(p).filter(() => true, { retries: 0.5 })],
  [
    'MR3014',
    'an unknown emit',
    /"always"/,
    (p) => actionsOf(p).window(tumbling('1s'), { emit: any('always') }),
  ],
  [
    'MR3014',
    'an unknown start',
    /"now"/,
    (p) => p.stream('s', { schema: Action, start: any('now') }),
  ],
  [
    'MR3015',
    'an async function',
    /filter\(\) is async/,
    (p) => actionsOf(p).filter(any(async () => true)),
  ],
  ['MR3015', 'a generator', /generator/, (p) => actionsOf(p).flatMap(any(function* () {}))],
  [
    'MR3015',
    'an async function in an aggregate',
    /sum\(\) is async/,
    () => sum(any(async () => 1)),
  ],
  ['MR3015', 'an async definition', /async/, async () => {}],
  ['MR3016', 'no function', /got undefined/, (p) => actionsOf(p).map(any(undefined))],
  ['MR3016', 'no conditions', /no conditions/, (p) => actionsOf(p).where({})],
  [
    'MR3016',
    'an unknown comparison',
    /above/,
    (p) => actionsOf(p).where(any({ ok: { above: 1 } })),
  ],
  [
    'MR3016',
    'a condition on an object',
    /compares properties/,
    (p) => actionsOf(p).where(any({ properties: {} })),
  ],
  [
    'MR3016',
    'NaN in a condition',
    /compares properties\.duration/,
    (p) => actionsOf(p).where({ 'properties.duration': Number.NaN }),
  ],
  [
    'MR3016',
    'an aggregate of nothing',
    /no fields/,
    (p) => actionsOf(p).window(tumbling('1s')).aggregate('n', {}),
  ],
  [
    'MR3017',
    'a window without a key',
    /without a key/,
    (p) => p.stream('s', { schema: Action }).window(any(tumbling('1s'))),
  ],
  ['MR3017', 'a table without a key', /Table t/, (p) => p.table('t', any({ schema: User }))],
  [
    'MR3018',
    'a table of another pipeline',
    /not a table of pipeline/,
    (p) =>
      actionsOf(p).enrich(any({ millrace: 'table', name: 'elsewhere' }), 'user_id', () => ({})),
  ],
])('%s: %s', (code, _what, text, build) => {
  test('is refused, with the value in the message', () => {
    const attempt = (): unknown => define(build as (p: PipelineBuilder) => void)
    expect(attempt).toThrow(expect.objectContaining({ code }))
    expect(attempt).toThrow(text)
  })
})

test.each(['', 'a b', 'a.b', 'ingest', 'x'.repeat(65), '-a'])(
  'a pipeline cannot be called %j',
  (name) => {
    expect(() => pipeline(name, () => {})).toThrow(expect.objectContaining({ code: 'MR3010' }))
  },
)

test('nothing can be added after the definition', () => {
  let kept: PipelineBuilder | undefined
  define((p) => {
    kept = p
  })
  expect(() => kept!.stream('s', { schema: Action })).toThrow(
    expect.objectContaining({ code: 'MR3018' }),
  )
})

test('the path of a field that a function made is not judged', () => {
  const rows = (p: PipelineBuilder): unknown =>
    actionsOf(p)
      .map((action) => ({ anything: action.user_id }))
      .keyBy('anything')
      .window(tumbling('1s'))
      .aggregate('n', { n: count() })
  expect(() => define(rows)).not.toThrow()
})

test('durations and sizes are what they say', () => {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  fc.assert(
    fc.property(fc.nat(10_000), fc.constantFrom(...Object.entries(units)), (n, [unit, ms]) => {
      expect(milliseconds('x', any(`${n}${unit}`))).toBe(n * ms)
      expect(milliseconds('x', n * ms)).toBe(n * ms)
    }),
  )
  expect(milliseconds('x', '1.5h')).toBe(5_400_000)
  expect(bytes('x', '50MB')).toBe(50 * 1024 * 1024)
  for (const wrong of [
    '',
    '5',
    's',
    '-1s',
    '1e3s',
    '1 s',
    '1s2',
    '0.5ms',
    '1S',
    NaN,
    -1,
    0.5,
    Infinity,
    null,
  ]) {
    expect(() => milliseconds('x', any(wrong))).toThrow(expect.objectContaining({ code: 'MR3013' }))
  }
})

function define(build: (p: PipelineBuilder) => unknown): PipelineDefinition {
  return pipeline('p', build as (p: PipelineBuilder) => void)
}

function actionsOf(p: PipelineBuilder) {
  return p.stream('actions', { schema: Action, key: 'user_id', time: 'at' })
}

function usersOf(p: PipelineBuilder) {
  return p.table('users', { schema: User, key: 'user_id' })
}

import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import { count, tumbling } from '../pipeline/aggregates.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { PipelineBuilder, PipelineOptions } from '../pipeline/pipeline.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import type { Sink } from '../sinks/sink.ts'
import type { Source } from '../sources/source.ts'
import { explain, mergePlans, planOf } from './index.ts'
import { pipelines } from './pipelines.fixture.ts'

describe.each(Object.entries(pipelines))('the plan of %s', (name, definition) => {
  const plan = planOf(definition)

  test('reads as it did', async () => {
    const text = explain(plan).replace(plan.hash, '0'.repeat(16))
    await expect(`${text}\n`).toMatchFileSnapshot(`golden/${name}.txt`)
  })

  test('is data, and the same each time', () => {
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
    expect(planOf(definition)).toEqual(plan)
    expect(plan.hash).toMatch(/^[0-9a-f]{16}$/)
  })

  test('names everything once, and only what it has', () => {
    const { topics, stages, delivers, ingests, deadLetters } = plan
    const names = topics.map((topic) => topic.name)
    expect(new Set(names).size).toBe(names.length)
    const ids = [...stages, ...delivers, ...ingests].map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const used = [
      deadLetters,
      ...delivers.map(({ topic }) => topic),
      ...ingests.flatMap(({ topic, sessions }) =>
        sessions === undefined ? [topic] : [topic, sessions],
      ),
      ...stages.flatMap(({ inputs, outputs, stores }) => [
        ...[...inputs, ...outputs].map(({ topic }) => topic),
        ...stores.map(({ changelog }) => changelog),
      ]),
    ]
    expect(used.filter((topic) => !names.includes(topic))).toEqual([])
  })

  test('no line of its text ends in a blank', () => {
    expect(explain(plan)).not.toMatch(/[ \t]$/m)
  })
})

const Row = Type.Object({ id: Type.String(), n: Type.Number(), at: Type.Integer() })

test('the hash changes with a function, an option, a schema, a limit; not with anything else', () => {
  const base = (p: PipelineBuilder) => p.stream('s', { schema: Row, key: 'id' })
  const plans = [
    define('p', (p) => base(p).filter((row) => row.n > 1)),
    define('p', (p) => base(p).filter((row) => row.n > 2)),
    define('p', (p) => base(p).filter((row) => row.n > 1, { retries: 1 })),
    define('p', (p) =>
      p.stream('s', { schema: Row, key: 'id', idle: '1s' }).filter((row) => row.n > 1),
    ),
    ...[2, 3].map((maxLag) =>
      define('p', (p) => {
        const shed = { policy: 'drop-oldest', maxLag } as const
        p.stream('s', { schema: Row, key: 'id', shed }).filter((row) => row.n > 1)
      }),
    ),
    define('p', (p) => {
      const schema = Type.Object({ ...Row.properties, more: Type.Optional(Type.String()) })
      p.stream('s', { schema, key: 'id' }).filter((row) => row.n > 1)
    }),
    define('p', (p) => base(p).filter((row) => row.n > 1), { state: '1MB' }),
    define('p', (p) => base(p).filter((row) => row.n > 1), { mode: 'at-least-once' }),
  ].map(planOf)
  expect(new Set(plans.map(({ hash }) => hash)).size).toBe(plans.length)
  expect(planOf(define('p', (p) => base(p).filter((row) => row.n > 1))).hash).toBe(plans[0]!.hash)
})

test('a topic has one number of partitions in one pipeline', () => {
  const build = (p: PipelineBuilder): void => {
    p.stream('s', { schema: Row, key: 'id', partitions: 8 })
    p.stream('in', { schema: Row, key: 'id' }).to(p.topic('s'))
  }
  expect(() => planOf(define('p', build))).toThrow(expect.objectContaining({ code: 'MR3020' }))
})

test('a topic that is written may be read in the same pipeline', () => {
  const plan = planOf(
    define('p', (p) => {
      p.stream('in', { schema: Row, key: 'id' }).to(p.topic('s'))
      p.stream('s', { schema: Row, key: 'id' }).filter(() => true)
    }),
  )
  expect(plan.topics.filter(({ name }) => name === 's')).toMatchObject([{ role: 'stream' }])
})

test('a stream that no stage reads can shed nothing: a sink on it reads the topic itself', () => {
  const shed = { policy: 'drop-oldest', maxLag: 10 } as const
  const to: Sink = { kind: 'memory', target: 'm', guarantee: 'idempotent', describe: 'memory' }
  const build = (p: PipelineBuilder): void => p.stream('s', { schema: Row, shed }).to(to)
  expect(() => planOf(define('p', build))).toThrow(expect.objectContaining({ code: 'MR3022' }))
  expect(() => planOf(define('p', build))).toThrow(/Stream s has the option shed/)
  const works = (p: PipelineBuilder): void => {
    const rows = p.stream('s', { schema: Row, shed })
    rows.to(to)
    rows.where({ n: 1 }).to(p.topic('ones'))
  }
  expect(planOf(define('p', works)).stages[0]?.inputs).toMatchObject([{ shed }, {}])
})

test('pipelines that share a topic shed each for itself', () => {
  const reads = (name: string, more: object): PipelineDefinition =>
    define(name, (p) => p.stream('shared', { schema: Row, ...more }).filter(() => true))
  const shed = { policy: 'sample', maxLag: 10, keep: 0.5 }
  const { plans } = mergePlans([planOf(reads('a', { shed })), planOf(reads('b', {}))])
  expect(plans.map(({ stages }) => stages[0]?.inputs[0]?.shed)).toEqual([shed, undefined])
})

test('topics that would share a name are refused', () => {
  const build = (p: PipelineBuilder): void => {
    const rows = p.stream('s', { schema: Row, key: 'id' })
    rows.window(tumbling('1s')).aggregate('time', { n: count() })
  }
  expect(() => planOf(define('p', build))).toThrow(expect.objectContaining({ code: 'MR3011' }))
})

test('names that are too long together are refused', () => {
  const build = (p: PipelineBuilder): void => {
    p.stream('s'.repeat(190), { schema: Row, key: 'id' }).filter(() => true)
  }
  expect(() => planOf(define('p', build))).toThrow(expect.objectContaining({ code: 'MR3010' }))
})

describe('several pipelines on one engine', () => {
  const reads = (name: string, more: object = {}, schema: object = Row): PipelineDefinition =>
    define(name, (p) => p.stream('shared', { schema, key: 'id', ...more }).filter(() => true))

  test('share topics and the ways into them', () => {
    const merged = mergePlans([planOf(reads('a')), planOf(reads('b'))])
    expect(merged.topics.filter(({ name }) => name === 'shared')).toHaveLength(1)
    expect(merged.ingests).toMatchObject([{ id: 'ingest/shared', pipeline: 'a' }])
    expect(merged.topics.map(({ name }) => name)).toContain('b.dead-letters')
  })

  test('the one that names the path of a topic gives it', () => {
    const from: Source = {
      kind: 'http',
      replay: 'resends',
      partitions: 8,
      describe: 'http POST /in',
      start: 'earliest',
      push: { path: '/in', onInvalid: 'refuse' },
    }
    for (const plans of [
      [reads('a'), reads('b', { from })],
      [reads('b', { from }), reads('a')],
    ]) {
      const { ingests } = mergePlans(plans.map(planOf))
      expect(ingests).toMatchObject([{ path: '/in', pipeline: 'b' }])
    }
    const other = { from: { ...from, push: { path: '/other', onInvalid: 'refuse' } } }
    const conflict = [planOf(reads('a', { from })), planOf(reads('b', other))]
    expect(() => mergePlans(conflict)).toThrow(expect.objectContaining({ code: 'MR3020' }))
  })

  test('one may write what another reads', () => {
    const writes = define('w', (p) => p.stream('in', { schema: Row }).to(p.topic('shared')))
    for (const plans of [
      [writes, reads('a')],
      [reads('a'), writes],
    ]) {
      const { topics } = mergePlans(plans.map(planOf))
      expect(topics.filter(({ name }) => name === 'shared')).toMatchObject([
        { role: 'stream', labels: { key: 'id' } },
      ])
    }
  })

  test.each<[string, object, RegExp]>([
    ['partitions', { partitions: 8 }, /partitions of topic shared is 8; another says 4/],
    ['key', { key: 'n' }, /key of topic shared is n; another says id/],
    ['time', { time: 'at' }, /time of topic shared is at; another says not given/],
    ['retention', { retention: 'forever' }, /retentionMs of topic shared/],
  ])('must agree on the %s of a topic', (_what, more, text) => {
    const plans = [planOf(reads('a')), planOf(reads('b', more))]
    expect(() => mergePlans(plans)).toThrow(expect.objectContaining({ code: 'MR3020' }))
    expect(() => mergePlans(plans)).toThrow(text)
  })

  test('must agree on the schema of a topic', () => {
    const plans = [
      reads('a'),
      reads('b', {}, Type.Object({ ...Row.properties, n: Type.Integer() })),
    ]
    expect(() => mergePlans(plans.map(planOf))).toThrow(/schema of topic shared/)
  })

  test('need names of their own', () => {
    const plans = [planOf(reads('a')), planOf(reads('a'))]
    expect(() => mergePlans(plans)).toThrow(expect.objectContaining({ code: 'MR3021' }))
  })
})

function define(
  name: string,
  build: (p: PipelineBuilder) => unknown,
  options: PipelineOptions = {},
): PipelineDefinition {
  return pipeline(name, options, build as (p: PipelineBuilder) => void)
}

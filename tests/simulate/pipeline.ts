/** Builds the pipeline that a shape describes. */
import { avg, count, max, min, pipeline, sum, tumbling } from '../../src/index.ts'
import type { Aggregate, PipelineDefinition, Sink } from '../../src/index.ts'
import type { Aggregated, Stream, Table } from '../../src/pipeline/stream.ts'
import type { SeededRandom } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import { eventOfWindow, keyOf } from './model.ts'
import type { RowValue } from './model.ts'
import { atStream, isIn, lateTopicOf, placesOf, topicOf } from './shape.ts'
import type { KeyOf, Part } from './shape.ts'

const eventSchema = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    user: { type: 'string' },
    page: { type: 'string' },
    kind: { type: 'string' },
    value: { type: 'integer' },
    at: { type: 'number' },
  },
  required: ['id', 'user', 'page', 'kind', 'value', 'at'],
} as const

const userSchema = {
  type: 'object',
  properties: { user: { type: 'string' }, plan: { type: 'string' } },
  required: ['user', 'plan'],
} as const

const sectionSchema = {
  type: 'object',
  properties: { page: { type: 'string' }, section: { type: 'string' } },
  required: ['page', 'section'],
} as const

type Rows = Stream<RowValue, string, string>
type Windows = Aggregated<RowValue, WindowRow, string, string>

interface WindowRow {
  readonly window_start: string
  readonly n: number
  readonly [key: string]: unknown
}

interface Tables {
  readonly users: Table<{ plan: string }>
  readonly sections: Table<{ section: string }>
}

/** One version of it. Sinks are found by the name of their part. */
export function simulatedPipeline(
  config: Config,
  version: number,
  sinks: ReadonlyMap<string, Sink>,
  random: SeededRandom,
): PipelineDefinition {
  const { mode, shape, partitions, pagePartitions } = config
  return pipeline('sim', { mode, partitions: pagePartitions }, (p) => {
    const tables: Tables = {
      users: p.table('users', { schema: userSchema, key: 'user', partitions }),
      sections: p.table('sections', {
        schema: sectionSchema,
        key: 'page',
        partitions: pagePartitions,
      }),
    }
    const events = p.stream('events', eventsOf(config)) as unknown as Rows
    const places = placesOf(shape)
    const streams: (Rows | undefined)[] = []
    for (const [i, part] of shape.entries()) {
      const before = part.from < 0 ? events : streams[part.from]
      streams.push(undefined)
      if (before === undefined || !isIn(shape, part, version)) continue
      const { keyName } = places[part.from] ?? atStream
      const rows = built(part, before, tables, keyName, version, random)
      streams[i] = rows
      if (part.topic !== undefined) rows.to(p.topic(topicOf(part), { partitions: part.topic }))
      const sink = sinks.get(part.name)
      if (sink !== undefined) rows.to(sink)
      if (part.step.kind === 'aggregate' && part.step.late)
        (rows as unknown as Windows).late().to(p.topic(lateTopicOf(part)))
    }
  })
}

function built(
  part: Part,
  before: Rows,
  tables: Tables,
  keyName: string,
  version: number,
  random: SeededRandom,
): Rows {
  const { step, name, fails } = part
  const options = { name, onError: fails?.onError ?? 'deadLetter' } as const
  const failed = new Set<string>()
  const check = (row: RowValue): RowValue => {
    if (row.value !== fails?.at) return row
    // Where the task has to stop for it, once: of many such rows in one commit it would go on with none.
    if (fails.onError === 'fail' && (failed.has(row.id) || random.chance(0.5))) return row
    failed.add(row.id)
    throw new Error('poison')
  }
  switch (step.kind) {
    case 'where':
      return before.where({ kind: [...step.kinds] }, { name }) as unknown as Rows
    case 'filter': {
      const multiple = step.multiples[Math.min(version, step.multiples.length - 1)]!
      return before.filter((row) => check(row).value % multiple !== 0, options)
    }
    case 'map':
      return before.map((row) => ({ ...check(row), value: row.value * 2 + 1 }), options)
    case 'flatMap':
      return before.flatMap(
        (row) =>
          Array.from({ length: check(row).value % step.modulo }, (_, nth) => ({
            ...row,
            id: `${row.id}.${nth}`,
            value: row.value + nth,
          })),
        options,
      )
    case 'select':
      return before.select('id', 'user', 'page', 'kind', 'value', 'at')
    case 'derive':
      return before.derive(
        (row) => ({ page: `page-${check(row).value % step.pages}` }),
        options,
      ) as unknown as Rows
    case 'keyBy':
      return before.keyBy(selector(step.key), { name }) as unknown as Rows
    case 'enrich': {
      const key = selector(step.key)
      const made =
        step.table === 'users'
          ? before.enrich(
              tables.users,
              key,
              (row, found) => ({ plan: (check(row), found?.plan ?? 'none') }),
              options,
            )
          : before.enrich(
              tables.sections,
              key,
              (row, found) => ({ section: (check(row), found?.section ?? 'none') }),
              options,
            )
      return made as unknown as Rows
    }
    case 'aggregate': {
      const { sizeMs, latenessMs, emit } = step
      return before
        .window(tumbling(sizeMs), { lateness: latenessMs, emit })
        .aggregate(name, fieldsOf(step.of)) as unknown as Rows
    }
    case 'again':
      return (before as unknown as Windows).map(
        (row) => eventOfWindow(keyName, String(row[keyName]), Date.parse(row.window_start), row.n),
        { name },
      )
  }
}

function selector(key: KeyOf): 'user' {
  const { field, by } = key
  // The types of paths and functions differ, and what is drawn is not known to the compiler.
  return (by === 'path' ? field : (row: RowValue) => keyOf(key, row)) as 'user'
}

function fieldsOf(of: 'path' | 'function'): Record<string, Aggregate<RowValue, unknown>> {
  const value = of === 'path' ? 'value' : (row: RowValue): number => row.value
  const field = value as 'value'
  return { n: count(), total: sum(field), low: min(field), high: max(field), mean: avg(field) }
}

/** Another reader of the same topic, with its own positions. */
export function tapPipeline(config: Config): PipelineDefinition {
  return pipeline('tap', { mode: config.mode }, (p) => {
    const events = p.stream('events', eventsOf(config))
    events.where({ kind: 'click' }).to(p.topic('clicks', { partitions: config.partitions }))
  })
}

export function eventsOf({ partitions, boundMs, idleMs }: Config) {
  return {
    schema: eventSchema,
    key: 'user',
    time: 'at',
    partitions,
    bound: boundMs,
    idle: idleMs,
    future: '30d',
  } as const
}

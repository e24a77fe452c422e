/** The pipeline under test: every operator with state, both ways to emit, late rows, a table, topics and sinks. */
import { avg, count, max, min, pipeline, sum, tumbling } from '../../src/index.ts'
import type { PipelineDefinition, Sink } from '../../src/index.ts'
import type { Config } from './config.ts'
import { poison } from './model.ts'

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

export function simulatedPipeline(
  config: Config,
  sinks: { readonly pages: Sink; readonly users: Sink },
): PipelineDefinition {
  const { mode, rules, partitions, pagePartitions } = config
  return pipeline('sim', { mode, partitions: pagePartitions }, (p) => {
    const users = p.table('users', { schema: userSchema, key: 'user', partitions })
    const sections = p.table('sections', {
      schema: sectionSchema,
      key: 'page',
      partitions: pagePartitions,
    })
    const events = p.stream('events', eventsOf(config))
    const enriched = events
      .where({ kind: 'view' })
      .filter((event) => {
        if (event.value === poison) throw new Error('poison')
        return event.value % 5 !== 0
      })
      .enrich(users, 'user', (_, user) => ({ plan: user?.plan ?? 'none' }))
    enriched.to(p.topic('enriched', { partitions }))
    const perUser = enriched
      .window(tumbling(rules.users.sizeMs), { lateness: rules.users.latenessMs, emit: 'update' })
      .aggregate('per_user', {
        n: count(),
        total: sum('value'),
        low: min('value'),
        high: max('value'),
        mean: avg('value'),
      })
    perUser.to(sinks.users)
    perUser.late().to(p.topic('late-users', { partitions }))
    // Another key than the stream's: rows move, to where the table's row is or to as many partitions as there were.
    const byPage = config.lookup
      ? enriched.enrich(sections, 'page', (_, page) => ({ section: page?.section ?? 'none' }))
      : enriched.derive(() => ({ section: 'none' })).keyBy('page')
    const perPage = byPage
      .window(tumbling(rules.pages.sizeMs), { lateness: rules.pages.latenessMs })
      .aggregate('per_page', {
        n: count(),
        total: sum('value'),
        low: min('value'),
        high: max('value'),
        mean: avg('value'),
      })
    perPage.to(sinks.pages)
    perPage.late().to(p.topic('late-pages', { partitions: pagePartitions }))
  })
}

/** Another reader of the same topic, with its own positions. */
export function tapPipeline(config: Config): PipelineDefinition {
  return pipeline('tap', { mode: config.mode }, (p) => {
    const events = p.stream('events', eventsOf(config))
    events.where({ kind: 'click' }).to(p.topic('clicks', { partitions: config.partitions }))
  })
}

function eventsOf({ partitions, rules, idleMs }: Config) {
  return {
    schema: eventSchema,
    key: 'user',
    time: 'at',
    partitions,
    bound: rules.boundMs,
    idle: idleMs,
    future: '30d',
  } as const
}

/** Pipelines whose functions and sinks fail in every way there is, over events of which little is known. */
import { count, MillraceError, pipeline, sum, tumbling } from '../../../src/index.ts'
import type { PipelineDefinition } from '../../../src/index.ts'
import type { Stream } from '../../../src/pipeline/stream.ts'
import { memory } from '../../../src/sinks/index.ts'
import type { MemorySink } from '../../../src/sinks/index.ts'
import type { Sink, SinkRecord } from '../../../src/sinks/sink.ts'
import { faulty } from '../sinks.ts'
import type { Road } from '../sinks.ts'
import { http } from '../../../src/sources/http.ts'
import type { SeededRandom } from '../../../src/testing/index.ts'

export interface Tested {
  readonly field: 'n' | 'm' | 'who'
  readonly op: 'gt' | 'gte' | 'lt' | 'lte' | 'ne' | 'in'
  readonly bound: string | number | boolean | null
}

export interface StraysConfig {
  readonly partitions: number
  readonly onInvalid: 'refuse' | 'deadLetter'
  /** Of `odd`. */
  readonly onError: 'deadLetter' | 'skip'
  readonly retries: number
  readonly tests: readonly Tested[]
  /** One event makes more than a commit holds. */
  readonly burst: boolean
}

export function drawStrays(random: SeededRandom): StraysConfig {
  const fields = random.pick<readonly Tested['field'][]>([['n'], ['m'], ['n', 'who']])
  const tests = fields.map((field): Tested => {
    const op = random.pick(['gt', 'gte', 'lt', 'lte', 'ne', 'in'] as const)
    const bound = random.pick([3, 7, '5', 'm', ...(op === 'ne' || op === 'in' ? [true, null] : [])])
    return { field, op, bound }
  })
  return {
    partitions: random.pick([1, 2, 4]),
    onInvalid: random.pick(['refuse', 'deadLetter']),
    onError: random.pick(['deadLetter', 'deadLetter', 'skip']),
    retries: random.int(3),
    tests,
    burst: random.chance(0.1),
  }
}

const schema = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    who: {},
    at: {},
    n: {},
    m: {},
    deep: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
  },
  required: ['id'],
} as const

const strict = {
  type: 'object',
  properties: { id: { type: 'string' }, n: { type: 'integer' } },
  required: ['id', 'n'],
} as const

interface Row {
  readonly id: string
  readonly n: unknown
}

export interface StraySinks {
  /** Takes the events of the stream, and refuses some for good, or only now and then. */
  readonly picky: MemorySink
  /** The way to it. */
  readonly toPicky: Sink
  /** By id, what the other one took of the rows of `odd`. */
  readonly taken: Map<string, SinkRecord>
  readonly list: Sink
  /** The most records of one delivery to it. */
  readonly asked: { most: number }
}

const nowAndThen = 10
/** What the list takes at once. */
export const listRows = 7

export function straySinks(random: SeededRandom, calm: () => boolean, road: Road): StraySinks {
  const picky = memory({
    name: 'picky',
    refuse: ({ value }) => {
      const { id, n } = value as unknown as Row
      const no = isDisliked(id) || (n === nowAndThen && random.chance(0.5))
      return no ? `It takes no ${id}.` : undefined
    },
  })
  const taken = new Map<string, SinkRecord>()
  const asked = { most: 0 }
  const list: Sink = {
    kind: 'list',
    target: 'list',
    guarantee: 'at-least-once',
    describe: 'a list',
    batch: { rows: listRows, bytes: 1 << 20 },
    open: () =>
      Promise.resolve({
        deliver: ({ records }) => {
          if (!calm() && random.chance(0.03))
            return Promise.reject(new MillraceError('MR5004', 'Somebody must look at the list.'))
          asked.most = Math.max(asked.most, records.length)
          const rejected = records.flatMap((record, index) => {
            const id = String(record.value?.['id'])
            if (isUnliked(id)) return [{ index, code: 'MR5006', message: 'It ends with a 7.' }]
            taken.set(id, record)
            return []
          })
          return Promise.resolve(rejected)
        },
        close: () => Promise.resolve(),
      }),
  }
  return { picky, toPicky: faulty(picky, road), taken, list: faulty(list, road), asked }
}

export const isDisliked = (id: string): boolean => id.endsWith('3')
export const isUnliked = (id: string): boolean => id.endsWith('7')

export function strayPipelines(
  config: StraysConfig,
  { toPicky, list }: StraySinks,
  random: SeededRandom,
): PipelineDefinition[] {
  const { partitions, onInvalid, onError, retries, tests } = config
  const strays = pipeline('strays', { partitions }, (p) => {
    const from = http({ path: '/strays', onInvalid })
    // No window ever closes.
    const options = { key: 'who', time: 'at', from, bound: '9000d', future: '1d' } as const
    const rows = p.stream('strays', { schema, ...options } as never) as unknown as Stream<
      Row,
      'who',
      string
    >
    const conditions: Record<string, unknown> = {}
    for (const { field, op, bound } of tests)
      conditions[field] = op === 'in' ? [bound, 'z'] : { [op]: bound }
    rows.where(conditions as never).to(p.topic('strays-some'))
    rows.select('id', 'deep.a' as 'id').to(p.topic('strays-picked'))
    rows.to(toPicky)
    const odd = rows.map((row) => oddly(row, random), { name: 'odd', onError, retries })
    odd.to(p.topic('strays-odd', { partitions }))
    odd.to(list)
    rows.flatMap((row) => many(row), { name: 'many' }).to(p.topic('strays-many'))
    rows
      .keyBy('n' as never, { name: 'numbered' })
      .window(tumbling('10000d') as never, { emit: 'update' })
      .aggregate('tally', { rows: count(), total: sum('m' as never) })
      .to(p.topic('strays-tally'))
  })
  const after = pipeline('after', { partitions }, (p) => {
    p.stream('strays-odd', {
      schema: strict,
      key: 'id',
      partitions,
      bound: '9000d',
      future: '0s',
    }).to(p.topic('after-out'))
  })
  return [strays, after]
}

/** Returns whatever a function should not. */
function oddly(row: Row, random: SeededRandom): Row {
  const { id } = row
  const returned = (value: unknown): Row => value as Row
  const circle: { id: string; circle?: object } = { id }
  let deep: object = {}
  switch (row.n) {
    case 1:
      throw new Error('always')
    case 2:
      return returned(Promise.reject(new Error('later')))
    case 3:
      return returned(null)
    case 4:
      return returned([row])
    case 5:
      return { id, n: 1n }
    case 6:
      return returned({ toJSON: () => undefined })
    case 7:
      return returned({ toJSON: () => 7 })
    case 8:
      for (let i = 0; i < 70; i++) deep = { deep }
      return returned({ id, n: 8, deep })
    case 99:
      return returned({ id, n: 'x'.repeat(1024 * 1024) })
    case nowAndThen:
      if (random.chance(0.5)) throw new Error('now and then')
      return { id, n: 10 }
    case 11:
      circle.circle = circle
      return returned(circle)
    case 12:
      return returned({ id: 12, was: id })
    case 13:
      return { id, n: 1.5 }
    default:
      return returned({ more: 'than is asked for', n: 1, id })
  }
}

export const burstAt = 1_000

/** Rows of rows; one number makes more than a commit holds. */
function many(row: Row): readonly Row[] {
  switch (row.n) {
    case 2:
      return 2 as unknown as Row[]
    case 3:
      return [row, 3 as unknown as Row]
    case burstAt:
      return Array.from({ length: 14 }, (_, n) => ({ id: 'x'.repeat(1_000_000), n }))
    default:
      return Array.from({ length: row.id.length % 3 }, (_, n) => ({ id: row.id, n }))
  }
}

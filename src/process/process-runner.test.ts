import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { avg, count, max, min, pipeline, sum, tumbling } from '../index.ts'
import type { PipelineDefinition } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import type { ModelEvent, ModelWindow } from '../../tests/support/window-model.ts'
import { windowsOf } from '../../tests/support/window-model.ts'

const day = 24 * 60 * 60 * 1000
const base = Date.UTC(2024, 0, 1)
const Event = {
  type: 'object',
  properties: {
    user: { type: 'string' },
    page: { type: 'string' },
    time: { type: 'number' },
    value: { type: 'number' },
  },
  required: ['user', 'page', 'time'],
} as const

interface Shape {
  readonly partitions: number
  readonly size: number
  readonly lateness: number
  readonly bound: number
  readonly emit: 'close' | 'update'
  readonly repartition: boolean
  /** Every field is a path: where rows cross the log, they are added up before. */
  readonly paths: boolean
}

function windows({
  partitions,
  size,
  lateness,
  bound,
  emit,
  repartition,
  paths,
}: Shape): PipelineDefinition {
  return pipeline('p', { partitions }, (p) => {
    const events = p.stream('events', {
      schema: Event,
      key: 'user',
      time: 'time',
      bound: `${bound}ms`,
      future: '9000d',
      idle: '100d',
    })
    const keyed = events.keyBy(repartition ? 'page' : 'user')
    const results = keyed
      .window(tumbling(`${size}ms`), { lateness: `${lateness}ms`, emit })
      .aggregate('out', {
        count: count(),
        sum: sum('value'),
        avg: paths ? avg('value') : avg((e) => e.value),
        min: min('value'),
        max: max('value'),
      })
    results.to(p.topic('results'))
    // Windows of windows: in the same stage, and behind a further repartition.
    const second = results
      .window(tumbling(`${size * 2.5}ms`))
      .aggregate('second', { rows: count(), total: sum('count') })
    second.to(p.topic('second'))
    second.late().to(p.topic('second-late'))
    second
      .keyBy(() => 'all')
      .window(tumbling(`${size * 7}ms`))
      .aggregate('third', { rows: sum('rows'), total: sum('total') })
      .to(p.topic('third'))
    results.late().to(p.topic('late'))
  })
}

const shapes = fc.record({
  partitions: fc.constantFrom(1, 2, 4),
  size: fc.constantFrom(10, 100),
  lateness: fc.constantFrom(0, 0, 15, 150),
  bound: fc.constantFrom(0, 20),
  emit: fc.constantFrom('close' as const, 'close' as const, 'update' as const),
  repartition: fc.boolean(),
  paths: fc.boolean(),
})

const rawEvents = fc.array(
  fc.record({
    user: fc.constantFrom('u0', 'u1', 'u2', 'u3', 'ü4'),
    page: fc.constantFrom('/a', '/b', '/c"\\', '/d'),
    // Many steps land exactly on the ends of windows and of their lateness.
    step: fc.oneof(
      fc.integer({ min: -40, max: 60 }),
      fc.constantFrom(-10, -5, -1, 0, 1, 4, 5, 6, 9, 10),
    ),
    value: fc.option(fc.integer({ min: -1000, max: 1000 }), { nil: undefined }),
  }),
  { maxLength: 120, size: 'max' },
)

/** How a run is cut: batch sizes, workers, commit endings, how much is produced at a time. */
const courses = fc.record({
  workers: fc.constantFrom(1, 1, 2, 4),
  rows: fc.constantFrom(1, 2, 7, 1000),
  chunk: fc.constantFrom(1, 5, 1000),
  steps: fc.constantFrom(1, 3),
  endings: fc.array(
    fc.constantFrom(
      'committed' as const,
      'committed' as const,
      'refused' as const,
      'unknown' as const,
      'unknown-committed' as const,
    ),
    { maxLength: 60, size: 'max' },
  ),
  crashes: fc.array(fc.boolean(), { maxLength: 40, size: 'max' }),
  closing: fc.array(fc.boolean(), { maxLength: 60, size: 'max' }),
  gaps: fc.boolean(),
  reader: fc.constantFrom('wasm' as const, 'wasm' as const, 'plain' as const, 'parse' as const),
})

/** The watermark stands at the end of the window when a record for it comes: chance alone does not always make that. */
const atTheVeryEnd: [
  Shape,
  typeof rawEvents extends fc.Arbitrary<infer R> ? R : never,
  typeof courses extends fc.Arbitrary<infer C> ? C : never,
] = [
  {
    partitions: 1,
    size: 10,
    lateness: 0,
    bound: 0,
    emit: 'close',
    repartition: false,
    paths: false,
  },
  [0, 10, -1].map((step) => ({ user: 'u0', page: '/a', step, value: 1 })),
  {
    workers: 1,
    rows: 1000,
    chunk: 1000,
    steps: 1,
    endings: [],
    crashes: [],
    closing: [],
    gaps: false,
    reader: 'wasm',
  },
]

function eventsOf(
  raw: readonly { user: string; page: string; step: number; value: number | undefined }[],
  partitions: number,
) {
  let time = base
  return raw.map(({ user, page, step, value }) => {
    time += step
    return { partition: Number(user[1]) % partitions, user, page, time, value }
  })
}

async function run(
  shape: Shape,
  events: ReturnType<typeof eventsOf>,
  course: typeof courses extends fc.Arbitrary<infer C> ? C : never,
) {
  let gapSeed = 7
  const gap = (): number => (gapSeed = (gapSeed * 31) % 17) % 3
  const world = new StageWorld(windows(shape), {
    workers: course.workers,
    reader: course.reader,
    ...(course.gaps ? { gap } : {}),
  })
  world.memory.endings = ['committed', ...course.endings]
  const budget = { rows: course.rows, bytes: 1e6 }
  let at = 0
  const crashes = [...course.crashes]
  const record = (e: (typeof events)[number]) => ({
    partition: e.partition,
    timestamp: e.time,
    key: e.user,
    value: {
      user: e.user,
      page: e.page,
      time: e.time,
      ...(e.value === undefined ? {} : { value: e.value }),
    },
  })
  while (at < events.length) {
    const kept = world.memory.endings
    world.memory.endings = []
    await world.produce('events', events.slice(at, at + course.chunk).map(record))
    world.memory.endings = kept
    at += course.chunk
    for (const worker of world.workers) {
      await world.turn(worker, budget, course.steps)
      if (crashes.shift() === true) world.crash(worker)
    }
    world.now += 13
  }
  // The end of time, once per partition: every window closes, and every late row is out.
  world.memory.endings = []
  await world.produce(
    'events',
    Array.from({ length: shape.partitions }, (_, partition) => ({
      partition,
      timestamp: base + 100 * day,
      key: `end${partition}`,
      value: { user: `end${partition}`, page: 'end', time: base + 100 * day },
    })),
  )
  // Windows close while workers crash.
  for (const crash of course.closing) {
    for (const worker of world.workers) {
      await world.turn(worker, budget, course.steps)
      if (crash) world.crash(worker)
    }
    world.now += 13
  }
  await world.drain(budget)
  return world
}

describe('windows', () => {
  test('equal an obvious model whatever the batches, workers, partitions and crashes', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, rawEvents, courses, async (shape, raw, course) => {
        const events = eventsOf(raw, shape.partitions)
        const world = await run(shape, events, course)
        const model = windowsOf(
          events.map((e): ModelEvent => ({
            partition: e.partition,
            time: e.time,
            key: shape.repartition ? e.page : e.user,
            value: e.value,
          })),
          shape,
        )
        const name = shape.repartition ? 'page' : 'user'
        const got = new Map<string, unknown>()
        const emissions = new Map<string, number>()
        for (const { value, timestamp } of await world.read('results')) {
          const row = value as Record<string, unknown>
          expect(timestamp).toBe(Date.parse(row['window_start'] as string))
          if (timestamp > base + 50 * day) continue
          const id = `${row[name] as string}@${row['window_start'] as string}`
          got.set(id, row)
          emissions.set(id, (emissions.get(id) ?? 0) + 1)
        }
        const expected = new Map<string, unknown>()
        for (const window of model.windows.values()) {
          const start = new Date(window.start).toISOString()
          expected.set(`${window.key}@${start}`, {
            [name]: window.key,
            window_start: start,
            window_end: new Date(window.start + shape.size).toISOString(),
            count: window.count,
            sum: window.sum,
            avg: window.n === 0 ? null : window.sum / window.n,
            min: window.min,
            max: window.max,
          })
          const most = shape.emit === 'close' ? 1 + window.updates : window.count
          expect(emissions.get(`${window.key}@${start}`)).toBeLessThanOrEqual(most)
        }
        expect(sorted(got)).toEqual(sorted(expected))
        if (shape.lateness === 0 && shape.emit === 'close') {
          const [seconds, thirds] = windowsOfWindows([...model.windows.values()], shape.size)
          expect(await totals(world, 'second', name)).toEqual(seconds)
          expect(await totals(world, 'third', 'key')).toEqual(thirds)
        }
        // No row of a window can be late for a window over them.
        expect(await world.read('second-late')).toEqual([])
        const late = (await world.read('late')).map(({ value }) => value as { time: number })
        const timesOf = (rows: readonly { time: number }[]): number[] =>
          rows.map(({ time }) => time).toSorted((a, b) => a - b)
        expect(timesOf(late)).toEqual(timesOf(model.late))
        expect((await world.read('p.dead-letters')).length).toBe(0)
        balance(world, events.length + shape.partitions)
      }),
      { numRuns: 90, examples: [atTheVeryEnd] },
    )
  })
})

function sorted(map: ReadonlyMap<string, unknown>): [string, unknown][] {
  return [...map].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** I11 of the first stage. */
function balance(world: StageWorld, read: number): void {
  let total = 0
  for (const { id, counters } of world.reports()) {
    const { processed, deadLettered, late, skipped, shed, expired } = counters
    expect({ id, read: counters.read }).toEqual({
      id,
      read: processed + deadLettered + late + skipped + shed + expired,
    })
    if (id.startsWith('p/events/')) total += counters.read
  }
  expect(total).toBe(read)
}

type Totals = Record<string, { rows: number; total: number }>

/** What windows over the results, and windows over those, hold. */
function windowsOfWindows(windows: readonly ModelWindow[], size: number): [Totals, Totals] {
  const seconds: Totals = {}
  const thirds: Totals = {}
  for (const { key, start, count: rows } of windows) {
    const begin = Math.floor(start / (size * 2.5)) * size * 2.5
    const second = (seconds[`${key}@${begin}`] ??= { rows: 0, total: 0 })
    second.rows++
    second.total += rows
    const end = Math.floor(begin / (size * 7)) * size * 7
    const third = (thirds[`all@${end}`] ??= { rows: 0, total: 0 })
    third.rows++
    third.total += rows
  }
  return [seconds, thirds]
}

/** The rows of a topic by key and window; each may come once only. */
async function totals(world: StageWorld, topic: string, name: string): Promise<Totals> {
  const found: Totals = {}
  for (const { value, timestamp } of await world.read(topic)) {
    if (timestamp > base + 50 * day) continue
    const row = value as { rows: number; total: number; [name: string]: unknown }
    const id = `${row[name] as string}@${timestamp}`
    expect(found[id]).toBeUndefined()
    found[id] = { rows: row.rows, total: row.total }
  }
  return found
}

/** What is shed, and that nothing else is (I2, I11): against a model that decides record by record, as one would on paper. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { count, pipeline, sum, tumbling } from '../index.ts'
import type { PipelineDefinition, ShedOptions } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import { totals } from '../../tests/support/stage-fixture.ts'

const base = Date.UTC(2024, 0, 1)
const Event = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    user: { type: 'string' },
    time: { type: 'number' },
    n: { type: 'number' },
  },
  required: ['id', 'user', 'time', 'n'],
} as const
interface Row {
  readonly id: string
  readonly user: string
  readonly time: number
  readonly n: number
}
type Policy = ShedOptions<Row> | undefined

const size = 20
const bound = 5
const partitions = 2

function shedding(shed: Policy): PipelineDefinition {
  return pipeline('p', { partitions }, (p) => {
    const events = p.stream('events', {
      schema: Event,
      key: 'user',
      time: 'time',
      bound,
      future: '9000d',
      idle: '100d',
      ...(shed === undefined ? {} : { shed }),
    })
    events.to(p.topic('out'))
    const windows = events
      .window(tumbling(size))
      .aggregate('windows', { count: count(), sum: sum('n') })
    windows.to(p.topic('results'))
    windows.late().to(p.topic('late'))
  })
}

interface Sent extends Row {
  readonly partition: number
  readonly offset: number
  /** Anyone may write to a topic: of these the stage cannot make a row. */
  readonly unreadable: boolean
}

const record = ({ partition, id, user, time, n, unreadable }: Sent) => ({
  partition,
  timestamp: time,
  key: user,
  value: unreadable ? { id, user, time } : { id, user, time, n },
})

/** Whose offsets are in a sample: seen once, where everything but the newest record is surplus. */
const samples = new Map<string, Promise<ReadonlySet<string>>>()

function sampleOf(keep: number): Promise<ReadonlySet<string>> {
  const known = samples.get(`${keep}`) ?? drawn(keep)
  samples.set(`${keep}`, known)
  return known
}

async function drawn(keep: number): Promise<ReadonlySet<string>> {
  const world = new StageWorld(shedding({ policy: 'sample', maxLag: 1, keep }))
  const all = Array.from({ length: 201 * partitions }, (_, i) => {
    const [partition, offset] = [i % partitions, Math.floor(i / partitions)]
    return { partition, offset, id: `${i}`, user: 'u', time: base, n: 1, unreadable: false }
  })
  await world.produce('events', all.map(record))
  await world.drain()
  return new Set((await world.read('out')).map(({ value }) => placeOf(value as Row, all)))
}

function placeOf({ id }: Row, all: readonly Sent[]): string {
  const { partition, offset } = all.find((one) => one.id === id)!
  return `${partition}/${offset}`
}

/** What became of records, in the order of their partitions. */
class Model {
  readonly out: Sent[] = []
  readonly shed: Sent[] = []
  readonly letters: Sent[] = []
  readonly late: Sent[] = []
  readonly windows = new Map<string, { count: number; sum: number }>()
  readonly #policy: Policy
  readonly #sample: ReadonlySet<string>
  readonly #watermarks = [-Infinity, -Infinity]

  constructor(policy: Policy, sample: ReadonlySet<string>) {
    this.#policy = policy
    this.#sample = sample
  }

  /** `end`: where the partition ended when the task came to the record. */
  take(sent: Sent, end: number): void {
    const policy = this.#policy
    const surplus = policy !== undefined && end - sent.offset > policy.maxLag
    if (surplus && policy.policy === 'drop-oldest') {
      this.shed.push(sent)
      return
    }
    const sampledOut =
      surplus && policy.policy === 'sample' && !this.#sample.has(`${sent.partition}/${sent.offset}`)
    if (sent.unreadable && !sampledOut) {
      this.letters.push(sent)
      return
    }
    const watermark = this.#watermarks[sent.partition]!
    this.#watermarks[sent.partition] = Math.max(watermark, sent.time - bound)
    if (sampledOut || (surplus && policy.policy === 'priority' && sent.n < 5)) this.shed.push(sent)
    else this.#work(sent, watermark)
  }

  #work(sent: Sent, watermark: number): void {
    this.out.push(sent)
    const start = Math.floor(sent.time / size) * size
    if (watermark >= start + size) {
      this.late.push(sent)
      return
    }
    const id = `${sent.user}@${start}`
    const window = this.windows.get(id) ?? { count: 0, sum: 0 }
    this.windows.set(id, window)
    window.count++
    window.sum += sent.n
  }
}

const maxLag = fc.constantFrom(1, 2, 5, 20, 1_000)
const policies: fc.Arbitrary<Policy> = fc.oneof(
  fc.constant(undefined),
  fc.record({ policy: fc.constant('drop-oldest' as const), maxLag }),
  fc.record({
    policy: fc.constant('sample' as const),
    maxLag,
    keep: fc.constantFrom(0.1, 0.5),
  }),
  fc.record({
    policy: fc.constant('priority' as const),
    maxLag,
    keep: fc.constant({ n: { gte: 5 } }),
  }),
)

const events = fc.array(
  fc.record({
    user: fc.constantFrom('u0', 'u1', 'u2', 'u3'),
    step: fc.integer({ min: -20, max: 30 }),
    n: fc.integer({ min: 0, max: 9 }),
    unreadable: fc.nat(9).map((nat) => nat === 0),
  }),
  { minLength: 20, maxLength: 150, size: 'max' },
)

const courses = fc.record({
  workers: fc.constantFrom(1, 2),
  rows: fc.constantFrom(1, 3, 10, 1_000),
  steps: fc.constantFrom(1, 3),
  chunks: fc.array(fc.constantFrom(1, 4, 15, 60), { minLength: 1, maxLength: 30 }),
  /** Turns of the workers between two chunks. */
  turns: fc.array(fc.nat(2), { minLength: 1, maxLength: 30 }),
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
})
type Course = typeof courses extends fc.Arbitrary<infer C> ? C : never

/** Runs the stage, and tells the model of each record as a commit goes past it. */
class Run {
  readonly world: StageWorld
  readonly model: Model
  readonly #course: Course
  readonly #crashes: boolean[]
  readonly #topic: Sent[][] = [[], []]
  readonly #committed = [0, 0]

  constructor(policy: Policy, course: Course, sample: ReadonlySet<string>) {
    this.model = new Model(policy, sample)
    this.world = new StageWorld(shedding(policy), { workers: course.workers })
    this.world.memory.endings = ['committed', ...course.endings]
    this.#course = course
    this.#crashes = [...course.crashes]
  }

  async produce(some: readonly Omit<Sent, 'offset'>[]): Promise<void> {
    const { memory } = this.world
    const kept = memory.endings
    memory.endings = []
    const sent = some.map((one) => {
      const topic = this.#topic[one.partition]!
      const placed = { ...one, offset: topic.length }
      topic.push(placed)
      return placed
    })
    // Nobody validated them: the stage looks itself.
    await this.world.produce('events', sent.map(record), 0)
    memory.endings = kept
  }

  /** One turn of every worker. False when nobody had anything to do. */
  async turn(): Promise<boolean> {
    const { rows, steps } = this.#course
    let worked = false
    for (const worker of this.world.workers) {
      if (await this.world.turn(worker, { rows, bytes: 1e6 }, steps)) worked = true
      await this.#follow()
      if (this.#crashes.shift() === true) {
        this.world.crash(worker)
        worked = true
      }
    }
    this.world.now += 13
    return worked
  }

  async #follow(): Promise<void> {
    for (const { topic, partition, offset } of await this.world.log.positions('p/events')) {
      if (topic !== 'events') continue
      const sent = this.#topic[partition]!
      for (const one of sent.slice(this.#committed[partition], offset))
        this.model.take(one, sent.length)
      this.#committed[partition] = offset
    }
  }
}

async function ran(policy: Policy, raw: readonly unknown[], course: Course) {
  const sample = policy?.policy === 'sample' ? await sampleOf(policy.keep) : new Set<string>()
  const run = new Run(policy, course, sample)
  let time = base
  const sent = (raw as { user: string; step: number; n: number; unreadable: boolean }[]).map(
    ({ user, step, n, unreadable }, i) => {
      time += step
      return { id: `${i}`, user, time, n, unreadable, partition: Number(user[1]) % partitions }
    },
  )
  for (let at = 0, round = 0; at < sent.length; round++) {
    const chunk = course.chunks[round % course.chunks.length]!
    await run.produce(sent.slice(at, at + chunk))
    at += chunk
    for (let i = 0; i < course.turns[round % course.turns.length]!; i++) await run.turn()
  }
  run.world.memory.endings = []
  for (let idle = 0; idle < 3; idle++) if (await run.turn()) idle = -1
  // The end of time closes every window.
  const end = base + 1e9
  const last = { time: end, n: 9, unreadable: false }
  await run.produce(
    [0, 1].map((partition) => ({
      ...last,
      id: `end${partition}`,
      user: `end${partition}`,
      partition,
    })),
  )
  for (let idle = 0; idle < 3; idle++) if (await run.turn()) idle = -1
  return run
}

const idsOf = (rows: readonly { readonly id: string }[]): string[] => rows.map(({ id }) => id)

/** The order of a key holds, wherever its records go. */
function byUser(rows: readonly Row[]): Record<string, string[]> {
  const lists: Record<string, string[]> = {}
  for (const { user, id } of rows) (lists[user] ??= []).push(id)
  return lists
}

const placesOf = (some: readonly Pick<Sent, 'partition' | 'offset'>[]): string[] =>
  some.map(({ partition, offset }) => `${partition}/${offset}`).toSorted()

async function idsIn(world: StageWorld, topic: string): Promise<string[]> {
  const records = await world.read(topic)
  return idsOf(records.map(({ value }) => value as Row)).toSorted()
}

async function windowsIn(world: StageWorld) {
  const rows = new Map<string, { count: number; sum: number }>()
  for (const { value } of await world.read('results')) {
    const row = value as { user: string; window_start: string; count: number; sum: number }
    const start = Date.parse(row.window_start)
    if (start < base + 1e8) rows.set(`${row.user}@${start}`, { count: row.count, sum: row.sum })
  }
  return rows
}

describe('a stream that sheds', () => {
  test('sheds what its policy says beyond its maxLag and nothing else, counts it, and works on the rest once', async () => {
    const seen = { 'drop-oldest': 0, sample: 0, priority: 0 }
    await fc.assert(
      fc.asyncProperty(policies, events, courses, async (policy, raw, course) => {
        const { world, model } = await ran(policy, raw, course)
        const shed = model.shed.length
        if (policy === undefined) expect(shed).toBe(0)
        else seen[policy.policy] += shed
        const out = (await world.read('out')).map(({ value }) => value as Row)
        expect(byUser(out)).toEqual(byUser(model.out))
        const letters = (await world.read('p.dead-letters')).map(({ value }) => value as Sent)
        expect(placesOf(letters)).toEqual(placesOf(model.letters))
        expect(await idsIn(world, 'late')).toEqual(idsOf(model.late).toSorted())
        const windows = [...model.windows].filter(([id]) => !id.startsWith('end'))
        expect(await windowsIn(world)).toEqual(new Map(windows))
        const counters = totals(world)
        expect(counters).toMatchObject({ read: raw.length + 2 })
        expect({ shed: 0, deadLettered: 0, late: 0, ...counters }).toMatchObject({
          processed: model.out.length - model.late.length,
          shed,
          deadLettered: model.letters.length,
          late: model.late.length,
        })
        // The counters are in the commits: a restart finds them there.
        world.start(1)
        await world.drain()
        expect(totals(world)).toEqual(counters)
      }),
      { numRuns: 150 },
    )
    // The cases are such that it happens.
    for (const shed of Object.values(seen)) expect(shed).toBeGreaterThan(50)
  })

  test('what drop-oldest leaves out is not even read', async () => {
    const world = new StageWorld(shedding({ policy: 'drop-oldest', maxLag: 3 }))
    let blocks = 0
    const open = world.memory.reader.bind(world.memory)
    world.memory.reader = async (from) => {
      const reader = await open(from)
      const next = reader.next.bind(reader)
      reader.next = (arena) => {
        const result = next(arena)
        if (result.result === 'block') blocks++
        return result
      }
      return reader
    }
    const one = { user: 'u0', partition: 0, offset: 0, n: 1, unreadable: false, time: base }
    for (let i = 0; i < 500; i++) await world.produce('events', [record({ ...one, id: `${i}` })])
    const [worker] = world.workers
    while (await world.turn(worker!, { rows: 10, bytes: 1e6 }));
    expect(await idsIn(world, 'out')).toEqual(['497', '498', '499'])
    expect(totals(world)).toMatchObject({ read: 500, shed: 497, processed: 3 })
    expect(blocks).toBeLessThan(15)
  })

  test('a sample is about as large as it should be, and not the same in every partition', async () => {
    for (const keep of [0.1, 0.5, 0.9]) {
      const sample = await sampleOf(keep)
      expect(Math.abs(sample.size / (201 * partitions) - keep)).toBeLessThan(0.08)
      const [first, second] = [0, 1].map((partition) =>
        [...sample].flatMap((place) => (place.startsWith(`${partition}/`) ? [place.slice(2)] : [])),
      )
      expect(first).not.toEqual(second)
    }
  })
})

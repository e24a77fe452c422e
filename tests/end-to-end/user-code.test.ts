import { describe, expect, it } from 'vitest'
import type { Engine } from 'millrace'
import { ask, Place, until } from './harness.ts'

interface Letters {
  readonly open: number
  readonly letters: readonly {
    readonly letter: number
    readonly code: string
    readonly raw: string
  }[]
}

const lettersOf = (engine: Engine): Promise<Letters> =>
  ask(engine, '/admin/dlq/trial') as Promise<Letters>
const records = async (engine: Engine, topic: string): Promise<number> =>
  ((await ask(engine, `/admin/topics/${topic}`)) as { records: number }).records

/** A pipeline that sends what \`fn\` gives to the topic \`done\`. */
const trial = (fn: string): string => `
  p.stream('in', { schema: Type.Object({ n: Type.Number() }), key: 'n', partitions: 1 })
    .filter(${fn})
    .to(p.topic('done', { partitions: 1 }))
`
const numbers = (count: number): object[] => Array.from({ length: count }, (_, n) => ({ n }))

describe('user code', { timeout: 90_000 }, () => {
  it('that throws, or gives a promise, sends its record to the dead letters, and the rest goes on', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'trial',
      trial(`(e) => {
        if (e.n === 3) throw new Error('three is bad')
        if (e.n === 5) return Promise.resolve(true)
        return true
      }`),
    )
    const engine = await place.start(url, { workers: 1 })
    await engine.ready
    await engine.produce('in', numbers(10))
    await until(
      () => records(engine, 'done'),
      (count) => count === 8,
    )
    const { open, letters } = await lettersOf(engine)
    expect(open).toBe(2)
    expect(letters.map(({ code, raw }) => ({ code, raw }))).toEqual([
      { code: 'MR4001', raw: '{"n":3}' },
      { code: 'MR4002', raw: '{"n":5}' },
    ])
    await expectResolved(
      engine,
      letters.map(({ letter }) => letter),
    )
  })

  it('that never returns costs its own record: worker after worker is replaced until it is found', async () => {
    await using place = new Place()
    const url = place.pipeline('trial', trial(`(e) => { while (e.n === 7) {} return true }`))
    const engine = await place.start(url, { workers: 1, watchdogMs: 1_000 })
    await engine.ready
    await engine.produce('in', numbers(20))
    await until(
      () => records(engine, 'done'),
      (count) => count === 19,
    )
    const { letters } = await lettersOf(engine)
    expect(letters.map(({ raw }) => raw)).toEqual(['{"n":7}'])
    const [worker] = engine.status().workers
    expect(worker?.lastError?.code).toBe('MR6006')
    expect(worker?.restarts).toBeGreaterThanOrEqual(3)
  })

  it('that eats all memory ends its worker and nothing else', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'trial',
      trial(
        `(e) => { const all = []; while (e.n === 2) all.push({ n: all.length }); return true }`,
      ),
    )
    const engine = await place.start(url, { workers: 1, workerMemoryMb: 64 })
    await engine.ready
    await engine.produce('in', numbers(5))
    await until(
      () => records(engine, 'done'),
      (count) => count === 4,
    )
    expect(engine.status().workers[0]?.lastError).toMatchObject({
      code: 'MR6007',
      kind: 'unavailable',
    })
    expect((await lettersOf(engine)).letters.map(({ raw }) => raw)).toEqual(['{"n":2}'])
  })

  it('with more state than its limit stops its task with a code that names it; other pipelines go on', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'trial',
      `
  const rows = p.stream('in', { schema: Type.Object({ n: Type.Number(), t: Type.Number() }), key: 'n', time: 't', partitions: 1 })
  rows.window(tumbling('1h')).aggregate('counts', { seen: count() }).to(p.topic('counted', { partitions: 1 }))
`,
      `{ state: '64KB' }`,
    )
    const other = place.pipeline(
      'other',
      `p.stream('more', { schema: Type.Object({}) }).to(p.topic('copied', { partitions: 1 }))`,
    )
    const engine = await place.start([url, other], { workers: 1 })
    await engine.ready
    const t = Date.UTC(2026, 0, 1)
    await engine.produce(
      'in',
      Array.from({ length: 5_000 }, (_, n) => ({ n, t })),
    )
    const reasons = await until(
      async () => ((await ask(engine, '/readyz')) as { reasons: string[] }).reasons,
      (found) => found.length > 0,
    )
    expect(reasons.join()).toMatch(/trial\/[a-z]+\/0 is failed: MR40\d\d: .*65,?536/)
    await engine.produce('more', [{}, {}])
    await until(
      () => records(engine, 'copied'),
      (count) => count === 2,
    )
  })
})

/** Letters can be dropped one by one, and all the rest replayed: to the operator that failed, which fails again. */
async function expectResolved(engine: Engine, offsets: readonly number[]): Promise<void> {
  const post = (how: string, body: object): Promise<unknown> =>
    ask(engine, `/admin/dlq/trial/${how}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  expect(await post('drop', { offsets: [offsets[1]] })).toEqual({ done: 1 })
  expect((await lettersOf(engine)).letters.map(({ letter }) => letter)).toEqual([offsets[0]])
  expect(await post('replay', { all: true })).toEqual({ done: 1 })
  const again = await until(
    () => lettersOf(engine),
    ({ open, letters }) => open === 1 && letters[0]?.letter !== offsets[0],
  )
  expect(again.letters[0]).toMatchObject({ code: 'MR4001', raw: '{"n":3}' })
}

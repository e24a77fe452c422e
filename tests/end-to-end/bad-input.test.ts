import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Engine } from 'millrace'
import { ask, Place, until } from './harness.ts'

const good = { key: 'k', n: 1, at: '2026-01-01T00:00:00Z' }
const text = (change: object): string => JSON.stringify({ ...good, ...change })
const inside = (more: string): string => `${JSON.stringify(good).slice(0, -1)},${more}}`

/** One bad event each: what is wrong, the code, and what the message must name. */
const badEvents: readonly (readonly [body: string | Uint8Array, code: string, names: string])[] = [
  ['{"key":', 'MR1001', 'Send one JSON object'],
  [Buffer.from(JSON.stringify({ ...good, key: 'ÿ' }), 'latin1'), 'MR1002', 'UTF-8'],
  [inside(`"x":${'['.repeat(64)}${']'.repeat(64)}`), 'MR1003', '64 levels'],
  [inside('"__proto__":{}'), 'MR1004', '__proto__'],
  [inside('"n":2'), 'MR1005', '"n" twice'],
  [text({ x: 'x'.repeat(1024 * 1024) }), 'MR1020', 'at most 1048576'],
  [text({ n: 'one' }), 'MR1021', 'n is "one": it must be number'],
  [text({ key: undefined }), 'MR1022', 'key field key'],
  [text({ at: undefined }), 'MR1025', 'time field at'],
  [text({ at: 'soon' }), 'MR1026', '"soon"'],
  [text({ at: '2999-01-01T00:00:00Z' }), 'MR1027', 'at most 600 s'],
]

const whole = `p.stream('in', {
  schema: Type.Object({ key: Type.Optional(Type.String()), n: Type.Number(), at: Type.Optional(Type.String()) }),
  key: 'key', time: 'at', partitions: 1, from: http({ path: '/in' }),
}).to(p.topic('out', { partitions: 1 }))`

const records = async (engine: Engine, topic: string): Promise<number> =>
  ((await ask(engine, `/admin/topics/${topic}`)) as { records: number }).records

function post(engine: Engine, path: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' }
  return ask(engine, path, { method: 'POST', headers, body: JSON.stringify(body) })
}

describe('bad input', { timeout: 90_000 }, () => {
  it('is refused by name, limit and advice, counted, and costs nothing that is good', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', whole), { workers: 1 })
    await engine.ready
    const headers = { 'content-type': 'application/json' }
    for (const [body, code, names] of badEvents) {
      const answer = await fetch(`${engine.url}/in`, {
        method: 'POST',
        headers,
        body: Buffer.from(body),
      })
      const { accepted, verdicts } = (await answer.json()) as {
        accepted: number
        verdicts: { code: string; message: string }[]
      }
      expect([answer.status, accepted, verdicts[0]?.code]).toEqual([
        code === 'MR1020' ? 413 : 400,
        0,
        code,
      ])
      expect(verdicts[0]?.message).toContain(names)
    }
    const wrongWay = await fetch(`${engine.url}/in`, { method: 'PUT', headers, body: text({}) })
    expect([wrongWay.status, wrongWay.headers.get('allow')]).toEqual([405, 'POST'])
    expect(await post(engine, '/topics/nowhere', good)).toMatchObject({ error: { code: 'MR1035' } })
    expect(await post(engine, '/in', [good, { n: 1 }, good])).toMatchObject({
      accepted: 2,
      verdicts: [{ index: 1, code: 'MR1022' }],
    })
    await until(
      () => records(engine, 'out'),
      (count) => count === 2,
    )
    const ledger = (await ask(engine, '/admin/ledger')) as {
      tasks: { task: string; counters: { skipped: number } }[]
    }
    expect(ledger).toMatchObject({ balanced: true, topics: [{ accepted: 2, appended: 2 }] })
    const refused = ledger.tasks
      .filter(({ task }) => task.startsWith('ingest/'))
      .reduce((sum, { counters }) => sum + counters.skipped, 0)
    expect(refused).toBe(badEvents.length + 1)
  })

  it('that one pipeline cannot take stops that pipeline alone, until it is resumed', async () => {
    await using place = new Place()
    const flag = join(place.directory, 'repaired')
    const shared = `import { Type } from 'typebox'\nexport const In = Type.Object({ n: Type.Number() })`
    place.file('event.ts', shared)
    const make = (name: string, step: string): string =>
      place.file(
        `${name}.ts`,
        `import { existsSync } from 'node:fs'
import { pipeline } from 'millrace'
import { In } from './event.ts'
export default pipeline('${name}', (p) => {
  p.stream('in', { schema: In, key: 'n', partitions: 1 })${step}.to(p.topic('${name}-out', { partitions: 1 }))
})
void existsSync`,
      )
    const strict = `.filter((e) => { if (e.n === 2 && !existsSync(${JSON.stringify(flag)})) throw new Error('two'); return true }, { onError: 'fail' })`
    const engine = await place.start([make('strict', strict), make('easy', '')], { workers: 1 })
    await engine.ready
    await engine.produce('in', [{ n: 1 }, { n: 2 }, { n: 3 }])
    await until(
      () => records(engine, 'easy-out'),
      (count) => count === 3,
    )
    const { reasons } = (await until(
      () => ask(engine, '/readyz') as Promise<{ reasons: string[] }>,
      ({ reasons: all }) => all.length > 0,
    )) as { reasons: string[] }
    expect(reasons).toEqual([
      expect.stringMatching(
        /strict\/in\/0 is failed: MR4018: .*two.*offset 1 of partition 0 of topic in/,
      ),
    ])
    expect(await records(engine, 'strict-out')).toBe(0)
    writeFileSync(flag, '')
    // Nothing more arrives: to be resumed is enough.
    await post(engine, '/admin/resume', { target: 'strict' })
    await until(
      () => records(engine, 'strict-out'),
      (count) => count === 3,
    )
  })

  it('waits as letters for the repaired pipeline, and then counts as if it had never failed', async () => {
    await using place = new Place()
    const database = join(place.directory, 'sums.sqlite')
    const shop = (check: string): string =>
      place.pipeline(
        'shop',
        `p.stream('in', {
          schema: Type.Object({ key: Type.String(), n: Type.Number(), at: Type.String() }),
          key: 'key', time: 'at', partitions: 1, from: http({ path: '/in', onInvalid: 'deadLetter' }),
        })
          .filter((e) => { ${check} return true })
          .window(tumbling('1m'), { lateness: '30s', emit: 'update' })
          .aggregate('sums', { count: count(), sum: sum('n') })
          .to(sqlite({ path: ${JSON.stringify(database)}, table: 'sums', key: ['key', 'window_start'] }))`,
      )
    const letters = async (engine: Engine): Promise<string[]> =>
      ((await ask(engine, '/admin/dlq/shop')) as { letters: { code: string }[] }).letters.map(
        ({ code }) => code,
      )
    const first = await place.start(shop(`if (e.n > 2) throw new Error('too many');`), {
      workers: 1,
    })
    await first.ready
    const body = [1, 2, 3, 4].map((n) => ({ ...good, n }))
    expect(await post(first, '/in', [...body, { key: 'k' }])).toMatchObject({
      accepted: 4,
      deadLettered: 1,
    })
    await until(
      () => letters(first),
      (codes) => codes.length === 3,
    )
    expect(await letters(first)).toEqual(['MR1021', 'MR4001', 'MR4001'])
    await first.stop()

    const second = await place.start(shop(''), { workers: 1 })
    await second.ready
    // What was refused on its way in has no operator to go back to: it stays, and does not hold up the others.
    expect(await post(second, '/admin/dlq/shop/replay', { all: true })).toEqual({
      done: 2,
      left: 1,
    })
    await until(
      () => Promise.resolve(sumsOf(database)),
      (rows) => JSON.stringify(rows) === '[{"count":4,"sum":10}]',
    )
    expect(await post(second, '/admin/dlq/shop/drop', { all: true })).toEqual({ done: 1 })
    expect(await letters(second)).toEqual([])
    await second.stop()

    rmSync(join(place.directory, 'data'), { recursive: true })
    const third = await place.start(shop(''), { workers: 1 })
    await third.ready
    expect((await third.produce('in', [{ ...good, n: 99 }])).accepted).toBe(1)
    const { reasons } = await until(
      () => ask(third, '/readyz') as Promise<{ reasons: string[] }>,
      (found) => found.reasons.length > 0,
    )
    expect(reasons[0]).toMatch(/shop\/sqlite-sums\/0 is failed: MR5002: .*was written from log/)
    expect(sumsOf(database)).toEqual([{ count: 4, sum: 10 }])
    // An operator who wants to start over does what the message says.
    const statement = /`(DELETE FROM [^`]+)`/.exec(reasons[0] ?? '')?.[1] ?? ''
    const other = new DatabaseSync(database)
    other.exec(statement)
    other.close()
    await post(third, '/admin/resume', { target: 'shop' })
    await until(
      () => Promise.resolve(sumsOf(database)),
      (rows) => JSON.stringify(rows) === '[{"count":1,"sum":99}]',
    )
  })
})

function sumsOf(file: string): unknown[] {
  if (!existsSync(file)) return []
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const rows = database.prepare('select count, sum from sums').all()
    return rows.map((row) => ({ ...row }))
  } catch {
    // The sink has not made its table yet.
    return []
  } finally {
    database.close()
  }
}

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ask, Place, until } from './harness.ts'

const views = `
  p.stream('views', {
    schema: Type.Object({ user: Type.String(), page: Type.String(), seconds: Type.Number(), at: Type.String() }),
    key: 'user', time: 'at', partitions: 4, from: http({ path: '/views' }),
  })
    .filter((view) => view.seconds > 0)
    .keyBy('page')
    .window(tumbling('1m'), { lateness: '30s', emit: 'update' })
    .aggregate('pages', { views: count(), seconds: sum('seconds') })
`

function events(from: number, to: number): object[] {
  const at = '2026-01-01T00:00:10Z'
  return Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return { user: `u${n % 7}`, page: `/p${n % 3}`, seconds: n % 5, at }
  })
}

interface Row {
  readonly page: string
  readonly views: number
  readonly seconds: number
}

function rowsOf(file: string): Row[] {
  if (!existsSync(file)) return []
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database
      .prepare('select page, views, seconds from pages order by page')
      .all() as unknown as Row[]
  } catch {
    return []
  } finally {
    database.close()
  }
}

function tally(all: readonly object[]): Row[] {
  const pages = new Map<string, Row>()
  for (const { page, seconds } of all as { page: string; seconds: number }[]) {
    if (seconds <= 0) continue
    const row = pages.get(page) ?? { page, views: 0, seconds: 0 }
    pages.set(page, { page, views: row.views + 1, seconds: row.seconds + seconds })
  }
  return [...pages.values()].toSorted((a, b) => (a.page < b.page ? -1 : 1))
}

describe('an engine', { timeout: 90_000 }, () => {
  it('turns events into windows in a database, and goes on where it stopped', async () => {
    await using place = new Place()
    const database = join(place.directory, 'pages.sqlite')
    const url = place.pipeline(
      'shop',
      `${views}.to(sqlite({ path: ${JSON.stringify(database)}, table: 'pages', key: ['page', 'window_start'] }))`,
    )
    const all = events(0, 1_000)
    const settled = (sent: number): Promise<Row[]> =>
      until(
        () => Promise.resolve(rowsOf(database)),
        (rows) => JSON.stringify(rows) === JSON.stringify(tally(all.slice(0, sent))),
      )

    const first = await place.start(url)
    await first.ready
    expect(await first.produce('views', all.slice(0, 400))).toEqual({ accepted: 400, refused: [] })
    await settled(400)
    await first.stop()

    const second = await place.start(url)
    await second.ready
    const body = all
      .slice(400)
      .map((event) => JSON.stringify(event))
      .join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    expect(await ask(second, '/views', { method: 'POST', headers, body })).toMatchObject({
      accepted: 600,
      refused: 0,
    })
    await settled(1_000)
    const ledger = await ask(second, '/admin/ledger')
    expect(ledger).toMatchObject({
      balanced: true,
      topics: [{ topic: 'views', accepted: 1_000, appended: 1_000 }],
    })
    expect(await ask(second, '/readyz')).toEqual({
      ready: true,
      reasons: [],
      paused: [],
      degraded: [],
    })
    expect(await (await fetch(`${second.url}/metrics`)).text()).toMatch(
      /^millrace_records_read_total\{stage="shop\/pages"/m,
    )
  })

  it('runs the pipelines that load when others do not, and says which and why', async () => {
    await using place = new Place()
    const good = place.pipeline('good', views)
    const bad = place.file('bad.ts', `throw new Error('out of order')`)
    const engine = await place.start([bad, good])
    await engine.ready
    expect(engine.status().pipelines).toMatchObject([
      { state: 'failed', error: { code: 'MR3094' } },
      { name: 'good', state: 'running' },
    ])
    expect((await engine.produce('views', events(0, 3))).accepted).toBe(3)
    const readiness = await fetch(`${engine.url}/readyz`)
    expect(readiness.status).toBe(503)
    expect(await readiness.text()).toContain('out of order')
  })

  it(
    'stops in time also while somebody does not read what was asked for',
    { timeout: 40_000 },
    async () => {
      await using place = new Place()
      const body = `p.stream('in', { schema: Type.Object({ text: Type.String() }) })`
      const engine = await place.start(place.pipeline('shop', body), { workers: 1 })
      await engine.ready
      // More than the sockets of both sides hold.
      const text = 'x'.repeat(500_000)
      for (let i = 0; i < 24; i++) await engine.produce('in', [{ text }])
      const { hostname, port } = new URL(engine.url)
      const socket = connect(Number(port), hostname)
      socket.pause()
      socket.write('GET /topics/in/records HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await once(socket, 'readable')
      await engine.stop()
      socket.destroy()
    },
  )

  it('refuses a second engine on its directory, and a port that is taken, with what to do', async () => {
    await using place = new Place()
    const url = place.pipeline('shop', views)
    const engine = await place.start(url, { workers: 1 })
    await expect(place.start(url)).rejects.toMatchObject({ code: 'MR2001', kind: 'conflict' })
    const port = Number(new URL(engine.url).port)
    const elsewhere = { workers: 1, port, dataDir: join(place.directory, 'other') }
    await expect(place.start(url, elsewhere)).rejects.toMatchObject({
      code: 'MR6001',
      kind: 'conflict',
    })
    // The refused one let go of its directory.
    await place.start(url, { ...elsewhere, port: 0 })
  })
})

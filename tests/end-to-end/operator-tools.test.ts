import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ask, Place, until } from './harness.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Done {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** A command as a process of its own. */
function millrace(place: Place, ...args: readonly string[]): Promise<Done> {
  return new Promise((resolve) => {
    const options = { cwd: place.directory, env: { ...process.env, NODE_OPTIONS: '' } }
    const child = execFile(process.execPath, [main, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
    place.children.push(child)
  })
}

const numbers = (from: number, to: number): { n: number; kind: string; at: string }[] =>
  Array.from({ length: to - from }, (_, i) => ({
    n: from + i,
    kind: `k${i % 3}`,
    at: new Date(1_700_000_000_000 + (from + i) * 1_000).toISOString(),
  }))

describe('tools for the data directory', { timeout: 120_000 }, () => {
  it('back up a running engine; what is restored keeps its state, and its sinks notice', async () => {
    await using place = new Place()
    const database = join(place.directory, 'rows.db')
    const url = place.pipeline(
      'shop',
      `const events = p.stream('in', { schema: Type.Object({ n: Type.Number(), kind: Type.String(), at: Type.String() }), key: 'kind', time: 'at', partitions: 2 })
       events.to(sqlite({ path: ${JSON.stringify(database)}, table: 'rows' }))
       events.window(tumbling('1h')).aggregate('per_hour', { count: count() }).to(p.topic('counts', { partitions: 1 }))`,
    )
    const rows = (): number => {
      if (!existsSync(database)) return 0
      const db = new DatabaseSync(database, { readOnly: true })
      try {
        return (db.prepare('SELECT count(*) AS n FROM rows').get() as { n: number }).n
      } catch {
        return 0
      } finally {
        db.close()
      }
    }
    const first = await place.start(url, { workers: 1 })
    await first.ready
    await first.produce('in', numbers(0, 300))
    await until(
      () => Promise.resolve(rows()),
      (found) => found === 300,
    )
    const data = join(place.directory, 'data')
    const sound = await millrace(place, 'verify', data, '--json')
    expect(sound).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(sound.out)).toMatchObject({ verdict: 'sound', log: { starts: true } })
    expect(await millrace(place, 'backup', '--data-dir', data, '--to', 'monday')).toMatchObject({
      code: 0,
    })
    const refused = await millrace(place, 'salvage', data, '--to', 'salvaged')
    expect(refused).toMatchObject({ code: 5, err: expect.stringContaining('MR2001') as string })
    await first.stop()

    // One start follows the copy: the epochs of the old log and of an older copy of it would be the same.
    const second = await place.start(url, { workers: 1 })
    await second.ready
    await second.produce('in', numbers(300, 350))
    await until(
      () => Promise.resolve(rows()),
      (found) => found === 350,
    )
    await second.stop()

    const restored = await millrace(place, 'restore', 'monday', '--data-dir', 'restored', '--json')
    expect(restored).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(restored.out)).toMatchObject({ verdict: 'sound' })
    const third = await place.start(url, { workers: 1, dataDir: join(place.directory, 'restored') })
    await third.ready
    // More than the sink has rows of the old log beyond the backup: by offsets alone it would take these for its own.
    await third.produce('in', numbers(400, 600))
    const { reasons } = await until(
      () => ask(third, '/readyz') as Promise<{ reasons: string[] }>,
      (found) => found.reasons.length > 0,
    )
    expect(reasons.join('\n')).toMatch(/MR5002: .*was written from log/)
    expect(rows()).toBe(350)
    // The window of the first 300 goes on where the backup left it.
    await third.produce('in', [
      { n: 0, kind: 'k0', at: '2025-01-01T00:00:00Z' },
      { n: 0, kind: 'k1', at: '2025-01-01T00:00:00Z' },
      { n: 0, kind: 'k2', at: '2025-01-01T00:00:00Z' },
    ])
    const counted = await until(
      async () => {
        const { out } = await millrace(place, 'tail', 'counts', '--data-dir', 'restored', '--json')
        const values = out
          .trim()
          .split('\n')
          .filter((line) => line !== '')
        return values
          .map((line) => (JSON.parse(line) as { value: { count: number } }).value.count)
          .reduce((sum, n) => sum + n, 0)
      },
      (sum) => sum >= 500,
    )
    expect(counted).toBe(500)
  })

  it('take snapshots now, of what is named, so that a start has nothing to read', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'shop',
      `const events = p.stream('in', { schema: Type.Object({ n: Type.Number(), kind: Type.String(), at: Type.String() }), key: 'kind', time: 'at', partitions: 2 })
       events.window(tumbling('1h')).aggregate('per_hour', { count: count() }).to(p.topic('counts', { partitions: 1 }))`,
    )
    const data = join(place.directory, 'data')
    const nobody = await millrace(place, 'snapshot', '--data-dir', data, '--json')
    expect(nobody).toMatchObject({
      code: 4,
      out: '',
      err: expect.stringContaining('MR6003') as string,
    })
    const engine = await place.start(url, { workers: 1 })
    await engine.ready
    await engine.produce('in', numbers(0, 300))
    const unknown = await millrace(place, 'snapshot', 'nothing', '--data-dir', data)
    expect(unknown).toMatchObject({ code: 3, err: expect.stringContaining('MR6010') as string })

    interface Row {
      readonly changelog: string
      readonly partition: number
      readonly lsn?: number
      readonly entries: number
      readonly bytes: number
    }
    const taken = async (...target: readonly string[]): Promise<Row[]> => {
      // The thread for snapshots is started last.
      const { out } = await until(
        () => millrace(place, 'snapshot', ...target, '--data-dir', data, '--json'),
        ({ err }) => !err.includes('MR6004'),
      )
      return JSON.parse(out) as Row[]
    }
    const rows = await until(
      () => taken('shop/in'),
      (found) =>
        found
          .filter(({ changelog }) => changelog === 'shop.in.per_hour.changelog')
          .reduce((sum, { entries }) => sum + entries, 0) === 3,
    )
    for (const { changelog, partition, lsn, bytes } of rows) {
      if (lsn === undefined) continue
      const path = join(data, 'state', changelog, String(partition), `${lsn}.snap`)
      expect(readFileSync(path).length).toBe(bytes)
    }
    expect((await taken()).length).toBeGreaterThan(rows.length)
    const shown = await millrace(place, 'snapshot', 'shop', '--data-dir', data)
    expect(shown.out).toMatch(/^STORE +PARTITION +COMMIT +KEYS +BYTES +MILLISECONDS\n/)
    const status = await millrace(place, 'status', '--data-dir', data)
    expect(status.out).toMatch(/ is ready at http.*\nPipeline shop: running\.\nWorker 0: running/)
    await engine.stop()
  })

  it('find what has rotted while the engine runs, and say it once', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'shop',
      `const events = p.stream('in', { schema: Type.Object({ n: Type.Number(), kind: Type.String(), at: Type.String() }), key: 'kind', time: 'at', partitions: 1 })
       events.window(tumbling('1h')).aggregate('per_hour', { count: count() }).to(p.topic('counts', { partitions: 1 }))`,
    )
    const data = join(place.directory, 'data')
    // Else the next engine would wait until a day has passed.
    const first = await place.start(url, { workers: 1, scrubBytesPerSecond: 0 })
    await first.ready
    await first.produce('in', numbers(0, 100))
    await until(
      () => millrace(place, 'snapshot', '--data-dir', data),
      ({ code, out }) => code === 0 && out.includes('per_hour'),
    )
    await first.stop()
    const folder = join(data, 'state', 'shop.in.per_hour.changelog', '0')
    const snapshot = join(folder, readdirSync(folder)[0]!)
    const bytes = readFileSync(snapshot)
    bytes[100]! ^= 1
    writeFileSync(snapshot, bytes)

    // A process of its own, for what it logs.
    renameSync(data, join(place.directory, '.millrace'))
    const child = spawn(
      process.execPath,
      [
        main,
        'run',
        fileURLToPath(url),
        '--port',
        '0',
        '--workers',
        '1',
        '--log-level',
        'warn',
        '--json',
      ],
      { cwd: place.directory, env: { ...process.env, NODE_OPTIONS: '' } },
    )
    place.children.push(child)
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    await until(
      () => Promise.resolve(err),
      (text) => text.includes('MR2021'),
    )
    const line = JSON.parse(err.split('\n').find((text) => text.includes('MR2021'))!) as object
    expect(line).toMatchObject({ code: 'MR2021', offset: 64, lsn: expect.any(Number) as number })
    const { url: base } = JSON.parse(out) as { url: string }
    const get = async (path: string) => (await fetch(`${base}${path}`)).text()
    const ready = await until(
      () => get('/readyz'),
      (text) => text.includes('MR2021'),
    )
    expect(JSON.parse(ready)).toMatchObject({ ready: true, reasons: [] })
    expect(await get('/metrics')).toContain('millrace_scrub_damaged_files 1\n')
    const status = await millrace(place, 'status')
    expect(status.out).toMatch(
      /DAMAGED: state\/shop\.in\.per_hour\.changelog\/0\/\d+\.snap, byte 64, commit \d+/,
    )
    expect(err.split('\n').filter((text) => text.includes('MR2021'))).toHaveLength(1)
  })

  it('find damage, say what it costs, and save the rest', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'shop',
      `p.stream('in', { schema: Type.Object({ n: Type.Number(), kind: Type.String(), at: Type.String() }), key: 'kind', time: 'at', partitions: 1 }).filter(() => true).to(p.topic('out', { partitions: 1 }))`,
    )
    const data = join(place.directory, 'data')
    const first = await place.start(url, { workers: 1 })
    await first.ready
    for (let i = 0; i < 20; i++) await first.produce('in', numbers(i * 10, i * 10 + 10))
    await first.stop()
    cpSync(data, join(place.directory, 'copy'), { recursive: true })
    const segment = join(
      data,
      'log',
      readdirSync(join(data, 'log')).find((name) => name.endsWith('.seg'))!,
    )
    const bytes = readFileSync(segment)
    bytes[bytes.indexOf('"n":57,') + 4]! ^= 1
    writeFileSync(segment, bytes)

    const verified = await millrace(place, 'verify', data)
    expect(verified).toMatchObject({ code: 6, err: '' })
    expect(verified.out).toMatch(/DAMAGE: log\/.*\.seg, byte \d+, commit \d+/)
    expect(verified.out).toContain('Lost: in, partition 0, offsets 50 to 59.')
    expect((await millrace(place, 'log', data, '--topic', 'in', '--limit', '1000')).out).toContain(
      'DAMAGED',
    )
    const restored = await millrace(place, 'restore', data, '--data-dir', 'no')
    expect(restored).toMatchObject({ code: 6, err: expect.stringContaining('MR2018') as string })

    const salvaged = await millrace(place, 'salvage', data, '--to', 'saved')
    expect(salvaged.code).toBe(0)
    expect(salvaged.out).toMatch(/^in +0 +50 +59$/m)
    expect((await millrace(place, 'verify', 'saved')).code).toBe(0)
    const second = await place.start(url, { workers: 1, dataDir: join(place.directory, 'saved') })
    await second.ready
    await second.produce('in', numbers(200, 210))
    const tail = await millrace(place, 'tail', 'in', '--data-dir', 'saved', '--json')
    const kept = [...tail.out.matchAll(/"n":(\d+)/g)].map((match) => Number(match[1]))
    expect(kept).toEqual(
      numbers(0, 210)
        .map(({ n }) => n)
        .filter((n) => n < 50 || n >= 60),
    )

    // A plain copy is put back the same way as a backup.
    expect(await millrace(place, 'restore', 'copy', '--data-dir', 'back')).toMatchObject({
      code: 0,
    })
    expect((await millrace(place, 'verify', 'back')).code).toBe(0)
  })
})

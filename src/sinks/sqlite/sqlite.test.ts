import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { realEnv } from '../../core/env/real/index.ts'
import {
  batchOf,
  contextFor,
  good,
  goodBatch,
  sinkSuite,
  transactionalSuite,
} from '../sink.suite.ts'
import type { SinkSubject, SinkSuite } from '../sink.suite.ts'
import type { Hold, Sink } from '../sink.ts'
import { sqlite } from './index.ts'
import { openingIn, positions } from './opening.ts'
import { SqliteSession } from './session.ts'
import type { SessionOptions } from './session.ts'

const env = realEnv()
const columns = { partition: 'INTEGER', n: 'INTEGER' } as const

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'millrace-sqlite-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The same sink without its thread: what the thread runs, called directly. */
function inline(options: SessionOptions): Sink {
  return {
    ...sqlite(options),
    open: async (context) => {
      const session = new SqliteSession(options, openingIn(options.path, context))
      let open = true
      return {
        stored: async (partition) => session.stored(partition),
        deliver: async (batch) => session.deliver(batch),
        close: async () => {
          if (open) session.close()
          open = false
        },
      }
    },
  }
}

function read(path: string, sql: string): Record<string, unknown>[] {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    return db
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }))
  } finally {
    db.close()
  }
}

/** The table is made by the first row. */
function hasTable(path: string): boolean {
  return read(path, "SELECT 1 FROM sqlite_schema WHERE name = 'rows'").length > 0
}

async function subjectOf(make: (path: string) => Sink): Promise<SinkSubject> {
  const path = mkdtempSync(join(tmpdir(), 'millrace-sqlite-'))
  const file = join(path, 'out.db')
  return {
    sink: make(file),
    env,
    keeps: 'upsert',
    contents: async (partition) =>
      (hasTable(file)
        ? read(file, `SELECT * FROM "rows" WHERE "partition" = ${partition}`)
        : []
      ).map((row) => ({
        ...row,
        nested: JSON.parse(String(row['nested'])),
        flag: row['flag'] === 1,
      })),
    close: async () => rmSync(path, { recursive: true, force: true }),
  }
}

const table = { table: 'rows', key: ['id'], columns, busyMs: 1_000 }
const threaded: SinkSuite = {
  name: 'sqlite in its thread',
  bad: { ...good(1), n: 'no number' },
  make: () => subjectOf((path) => sqlite({ path, ...table })),
}
const direct: SinkSuite = {
  name: 'sqlite direct',
  bad: { ...good(1), n: 'no number' },
  make: () => subjectOf((path) => inline({ path, ...table })),
}
sinkSuite(threaded)
sinkSuite(direct)
transactionalSuite(direct)

/** Delivers values to a fresh table and gives the rejected indexes and the rows. */
async function store(
  options: Partial<SessionOptions>,
  values: readonly (Record<string, unknown> | undefined)[],
  before?: string,
): Promise<{ rejected: [number, string][]; rows: Record<string, unknown>[] }> {
  const path = join(directory(), 'out.db')
  if (before !== undefined) {
    const db = new DatabaseSync(path)
    db.exec(before)
    db.close()
  }
  const sink = inline({ path, table: 't', key: ['id'], columns: {}, busyMs: 1_000, ...options })
  const writer = await sink.open!(contextFor(env))
  try {
    const rejected = await writer.deliver(batchOf(0, 0, values))
    return {
      rejected: rejected.map((r) => [r.index, r.message]),
      rows: read(path, 'SELECT * FROM t ORDER BY rowid'),
    }
  } finally {
    await writer.close()
  }
}

test('a delivery whose position cannot be written leaves no rows: both are one transaction (K3)', async () => {
  const path = join(directory(), 'out.db')
  const sink = inline({ path, table: 't', key: ['id'], columns: {}, busyMs: 1_000 })
  const writer = await sink.open!(contextFor(env))
  onTestFinished(() => writer.close())
  await writer.deliver(batchOf(0, 0, [{ id: 'a' }]))
  const other = new DatabaseSync(path)
  onTestFinished(() => other.close())
  other.exec(`CREATE TRIGGER no BEFORE INSERT ON ${positions} WHEN NEW.position = 2
    BEGIN SELECT RAISE(ABORT, 'not now'); END`)
  await expect(writer.deliver(batchOf(0, 1, [{ id: 'b' }]))).rejects.toThrow('not now')
  expect(read(path, 'SELECT id FROM t')).toEqual([{ id: 'a' }])
  other.exec('DROP TRIGGER no')
  await writer.deliver(batchOf(0, 1, [{ id: 'b' }]))
  expect(read(path, 'SELECT id FROM t ORDER BY id')).toEqual([{ id: 'a' }, { id: 'b' }])
})

test('values keep their type and value', async () => {
  const row = {
    id: 'a',
    whole: 5,
    part: 5.5,
    big: Number.MAX_SAFE_INTEGER,
    tiny: 5e-324,
    no: false,
    none: null,
    list: [1, 'x'],
    text: '007',
  }
  const { rows } = await store({}, [row])
  expect(rows).toEqual([{ ...row, no: 0, list: '[1,"x"]' }])
  const { rows: types } = await store({}, [row])
  expect(Object.keys(types[0]!)).toEqual(Object.keys(row))
})

test('a number column takes whole numbers first and fractions later', async () => {
  const { rows } = await store({}, [
    { id: 1, v: 5 },
    { id: 2, v: 5.5 },
    { id: 1, v: 6 },
  ])
  expect(rows).toEqual([
    { id: 1, v: 6 },
    { id: 2, v: 5.5 },
  ])
})

test('columns come as rows bring them; a row replaces the one of its key whole', async () => {
  const { rows } = await store({}, [
    { id: 'a', x: 1 },
    { id: 'b', y: 'two' },
    { id: 'a', y: 'one' },
  ])
  expect(rows).toEqual([
    { id: 'a', x: null, y: 'one' },
    { id: 'b', x: null, y: 'two' },
  ])
})

test('without a key rows are only added', async () => {
  const { rows, rejected } = await store({ key: [] }, [{ x: 1 }, { x: 1 }, undefined])
  expect(rows).toEqual([{ x: 1 }, { x: 1 }])
  expect(rejected).toEqual([[2, 'A tombstone needs a sink with key columns.']])
})

test('a tombstone removes the row of its key: text, number or composite', async () => {
  const path = join(directory(), 'out.db')
  const writer = await inline({ path, table: 't', key: ['page', 'at'], columns: {}, busyMs: 1_000 })
    .open!(contextFor(env))
  const record = (offset: number, key: string, value?: Record<string, unknown>): object => ({
    offset,
    timestamp: 0,
    key,
    value,
  })
  const records = [
    record(0, 'x', { page: '/', at: 5 }),
    record(1, 'x', { page: '/', at: 6 }),
    record(2, '["/",5]'),
    record(3, '/'),
  ]
  const rejected = await writer.deliver({ partition: 0, from: 0, to: 4, records: records as never })
  expect(rejected).toMatchObject([{ index: 3 }])
  expect(read(path, 'SELECT * FROM t')).toEqual([{ page: '/', at: 6 }])
  await writer.close()
})

test('names from events are quoted, never run', async () => {
  const evil = 'x" TEXT); DROP TABLE t; --'
  const row = { id: "'); DROP TABLE t; --", [evil]: 'v', select: 1, __proto__x: 2, Ü: 3, 'a b': 4 }
  const { rows } = await store({ table: 'a"; DROP TABLE t; --' }, [row], 'CREATE TABLE t (x)')
  expect(rows).toEqual([])
  const plain = await store({}, [row])
  expect(plain.rows).toEqual([row])
})

test('rows that SQLite or we cannot take are named with the reason, one by one', async () => {
  const many = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`f${i}`, i]))
  const { rejected, rows } = await store({}, [
    { id: 'a', A: 1 },
    { x: 1 },
    { id: null },
    { id: 'b', a: 1, A: 2 },
    { id: 'c', '': 1 },
    { id: 'd', 'x\0y': 1 },
    { id: 'e', s: '\ud800' },
    { id: 'f', ['n'.repeat(300)]: 1 },
    { id: 'g', ...many },
    { id: 'z', a: 2 },
  ])
  expect(rejected.map(([index]) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(rows).toEqual([
    { id: 'a', A: 1 },
    { id: 'z', A: 2 },
  ])
})

test('a table made by others keeps its own rules: a row against them is refused alone', async () => {
  const { rejected, rows } = await store(
    {},
    [
      { id: 1, v: 1 },
      { id: 2, v: -1 },
      { id: 3, v: 3 },
      { id: 4, v: 13 },
      { id: 5, v: 5 },
    ],
    `CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER CHECK (v > 0));
     CREATE TRIGGER unlucky BEFORE INSERT ON t WHEN new.v = 13 BEGIN SELECT RAISE(ROLLBACK, 'unlucky'); END`,
  )
  expect(rejected.map(([index]) => index)).toEqual([1, 3])
  expect(rows).toEqual([
    { id: 1, v: 1 },
    { id: 3, v: 3 },
    { id: 5, v: 5 },
  ])
})

test('a target that cannot work is told at once, with a code that stops the task', async () => {
  const path = join(directory(), 'out.db')
  writeFileSync(
    path,
    'this is no database, and it is long enough to be looked at as one'.repeat(40),
  )
  await expect(sqlite({ path, table: 't' }).open!(contextFor(env))).rejects.toMatchObject({
    code: 'MR5005',
  })
  await expect(
    store({ key: ['v'] }, [{ id: 1, v: 1 }], 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)'),
  ).rejects.toMatchObject({ code: 'MR5005' })
})

test("another log's position is named with the statement that deletes it, after which it starts over", async () => {
  const path = join(directory(), 'out.db')
  const sink = inline({ path, table: 't', key: ['id'], columns: {}, busyMs: 1_000 })
  const writer = await sink.open!(contextFor(env))
  await writer.deliver(goodBatch(0, 0, 3))
  await writer.close()
  const foreign = contextFor(env, { logId: 'log-b/1', epoch: 5 })
  const { message } = await sink.open!(foreign).then(
    () => expect.fail('it opened'),
    (error: Error) => error,
  )
  const [, statement = '', file] =
    /`(DELETE FROM _millrace_positions [^`]+)` in (\S+) /.exec(message) ?? []
  expect(file).toBe(path)
  const other = new DatabaseSync(path)
  other.exec(statement)
  other.close()
  const again = await sink.open!(foreign)
  expect(await again.stored!(0)).toBeUndefined()
  expect(await again.deliver(goodBatch(0, 0, 2))).toEqual([])
  await again.close()
})

test('a directory that is made for the database is there after a power cut', async () => {
  const path = directory()
  const synced: string[] = []
  const fsyncDir = (name: string): void => void synced.push(name)
  const disk = Object.assign(Object.create(env.disk) as typeof env.disk, { fsyncDir })
  const sink = sqlite({ path: join(path, 'a', 'b', 'out.db'), table: 't' })
  const writer = await sink.open!(contextFor({ ...env, disk }))
  await writer.close()
  expect(synced.toSorted()).toEqual([dirname(path), path, join(path, 'a')])
})

test('a database that another program holds is asked again later; nothing is half written', async () => {
  const path = join(directory(), 'out.db')
  const writer = await inline({ path, table: 't', key: ['id'], columns: {}, busyMs: 5 }).open!(
    contextFor(env),
  )
  const other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  await expect(writer.deliver(goodBatch(0, 0, 3))).rejects.toMatchObject({
    code: 'MR5007',
    kind: 'unavailable',
  })
  other.exec('ROLLBACK')
  other.close()
  expect(await writer.stored!(0)).toBeUndefined()
  expect(await writer.deliver(goodBatch(0, 0, 3))).toEqual([])
  await writer.close()
})

test('a schema that others change while we write is followed', async () => {
  const path = join(directory(), 'out.db')
  const writer = await inline({ path, table: 't', key: ['id'], columns: {}, busyMs: 1_000 }).open!(
    contextFor(env),
  )
  await writer.deliver(batchOf(0, 0, [{ id: 'a', x: 1 }]))
  const other = new DatabaseSync(path)
  other.exec('ALTER TABLE t ADD COLUMN y ANY; ALTER TABLE t DROP COLUMN x')
  other.close()
  expect(await writer.deliver(batchOf(0, 1, [{ id: 'b', x: 2, y: 3 }]))).toEqual([])
  expect(read(path, 'SELECT id, x, y FROM t')).toEqual([
    { id: 'a', x: null, y: null },
    { id: 'b', x: 2, y: 3 },
  ])
  await writer.close()
})

test('options that cannot work are refused when they are given', () => {
  for (const options of [
    { path: '', table: 't' },
    { path: ':memory:', table: 't' },
    { path: 'x.db', table: '' },
    { path: 'x.db', table: 't', key: ['a\0'] },
    { path: 'x.db', table: 't', busyMs: -1 },
    { path: 'x.db', table: 't', columns: { n: 'NUMBER' as 'ANY' } },
    { path: 'x.db', table: 't', hold: { ms: 1_000 } as Hold },
  ]) {
    expect(() => sqlite(options)).toThrow(/MR5009/)
  }
})

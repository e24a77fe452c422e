import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import type { Log, Writer } from '../log/log.ts'
import { file, memory, sqlite } from '../sinks/index.ts'
import type { Sink, SinkBatch } from '../sinks/index.ts'
import { openingIn } from '../sinks/sqlite/opening.ts'
import { SqliteSession } from '../sinks/sqlite/session.ts'
import { range, row, rowsOf, World } from './deliver.suite.ts'
import type { TaskReport } from './runner.ts'

/** Wraps a sink so that its answers arrive late, and some are lost although the sink did its work. */
function unreliable(sink: Sink, env: () => SimulatedEnv, chance: () => number): Sink {
  return {
    ...sink,
    open: async (context) => {
      const writer = await sink.open!(context)
      return {
        ...(writer.stored === undefined
          ? {}
          : { stored: (partition: number) => writer.stored!(partition) }),
        close: () => writer.close(),
        deliver: async (batch: SinkBatch) => {
          const { timers } = env()
          await timers.sleep(chance() * 20)
          if (chance() < 0.1) throw new Error('before')
          const rejected = await writer.deliver(batch)
          await timers.sleep(chance() * 20)
          if (chance() < 0.1) throw new Error('after')
          return rejected
        },
      }
    },
  }
}

/** Commits fail now and then: refused, or done although the answer is lost. The worker starts over each time. */
function flakyLog(log: Log, chance: () => number, sleep: (ms: number) => Promise<void>): Log {
  const open = async (owner: string): Promise<Writer> => {
    const inner = await log.open(owner)
    let staged: (() => void)[] = []
    return {
      owner,
      epoch: inner.epoch,
      stagedSections: 0,
      stagedBytes: 0,
      append: (...args) => void staged.push(() => inner.append(...args)),
      control: (...args) => void staged.push(() => inner.control(...args)),
      position: (...args) => void staged.push(() => inner.position(...args)),
      state: (...args) => void staged.push(() => inner.state(...args)),
      close: () => inner.close(),
      commit: async () => {
        const work = staged
        staged = []
        await sleep(chance() * 30)
        if (chance() < 0.05)
          return { outcome: 'refused', error: new MillraceError('MR2007', 'Full.') }
        for (const act of work) act()
        await sleep(chance() * 30)
        const result = await inner.commit()
        return chance() < 0.05
          ? { outcome: 'unknown', error: new MillraceError('MR2008', 'Lost.') }
          : result
      },
    }
  }
  return {
    topics: log.topics,
    open,
    reader: (from) => log.reader(from),
    positions: (group) => log.positions(group),
  }
}

const bad = (n: number): boolean => n % 11 === 5

describe('after crashes at random moments', () => {
  test.each(['memory', 'file', 'sqlite', 'at-least-once'] as const)(
    '%s: nothing lost, nothing twice, each dead letter once',
    async (kind) => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 1e6 }),
          fc.array(
            fc.record({
              rows: fc.integer({ min: 1, max: 30 }),
              ms: fc.nat({ max: 60 }),
              crash: fc.constantFrom('no', 'kill', 'power'),
            }),
            {
              minLength: 1,
              maxLength: 10,
            },
          ),
          async (seed, steps) => {
            const world = new World(seed)
            const random = world.simulation.random('sink')
            await world.start()
            const kept = memory({
              refuse: ({ value }) => (bad(Number(value?.['n'])) ? 'bad' : undefined),
            })
            const database = sqliteInline()
            const base =
              kind === 'file'
                ? file({ path: '/out', roll: { ms: 30 } })
                : kind === 'sqlite'
                  ? database.sink
                  : kept
            const seen: SinkBatch[] = []
            const loose: Sink = {
              ...kept,
              guarantee: 'at-least-once',
              open: async () => ({
                deliver: async (batch) => {
                  seen.push(batch)
                  return batch.records.flatMap(({ value }, index) =>
                    bad(Number(value?.['n'])) ? [{ index, code: 'MR5006', message: 'bad' }] : [],
                  )
                },
                close: async () => {},
              }),
            }
            const sink = unreliable(
              kind === 'at-least-once' ? loose : base,
              () => world.env,
              () => random.float(),
            )
            const flaky = (): Log =>
              flakyLog(
                world.log!,
                () => random.float(),
                (ms) => world.env.timers.sleep(ms),
              )
            world.deliver({ out: sink }, flaky())
            let n = 0
            for (const step of steps) {
              await world.produce(0, range(n, n + step.rows).map(row))
              n += step.rows
              await world.simulation.advance(step.ms)
              if (step.crash === 'no') continue
              await world.restart(step.crash)
              world.deliver({ out: sink }, flaky())
            }
            await world.until(world.delivered('out', n))
            await world.halt()
            const wanted = range(0, n).filter((i) => kind === 'file' || !bad(i))
            if (kind === 'memory') expect(rowsOf(kept, 0)).toEqual(wanted)
            if (kind === 'sqlite') expect(database.rows()).toEqual(wanted)
            database.remove()
            if (kind === 'file') expect(linesOf(world)).toEqual(wanted)
            if (kind === 'at-least-once') {
              const got = seen.flatMap((batch) =>
                batch.records.map(({ value }) => Number(value?.['n'])),
              )
              expect([...new Set(got)].sort((a, b) => a - b)).toEqual(range(0, n))
            }
            const dead = (await world.letters()).map((letter) => letter.offset)
            expect(dead).toEqual(kind === 'file' ? [] : range(0, n).filter(bad))
            const { counters } = world.report('out')[0] ?? (await committed(world))
            expect(counters.read).toBe(n)
            expect(counters.processed + counters.deadLettered).toBe(n)
          },
        ),
        { numRuns: kind === 'sqlite' ? 10 : 15, endOnFailure: true },
      )
    },
  )
})

/** What the log says after the workers ended. */
async function committed(world: World): Promise<Pick<TaskReport, 'counters'>> {
  const positions = await world.inTime(world.log!.positions('shop/out'))
  const { meta } = positions.find(({ partition }) => partition === 0)!
  return JSON.parse(meta) as Pick<TaskReport, 'counters'>
}

/** The sqlite sink without its thread, on a real file; a row with `n` of the wrong kind is refused by the table. */
function sqliteInline(): { sink: Sink; rows(): unknown[]; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-deliver-'))
  const path = join(directory, 'out.db')
  const before = new DatabaseSync(path)
  before.exec('CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n % 11 <> 5))')
  before.close()
  const options = { path, table: 't', key: ['id'], columns: {}, busyMs: 100 }
  return {
    sink: {
      ...sqlite(options),
      open: async (context) => {
        const session = new SqliteSession(options, openingIn(path, context))
        return {
          stored: async (partition) => session.stored(partition),
          deliver: async (batch) => session.deliver(batch),
          close: async () => session.close(),
        }
      },
    },
    rows: () => {
      const db = new DatabaseSync(path, { readOnly: true })
      const rows = db.prepare('SELECT n FROM t ORDER BY n').all()
      db.close()
      return rows.map((r) => r['n'])
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

function linesOf(world: World): unknown[] {
  const files = [...world.simulation.disk().contents()]
    .filter(([path]) => path.endsWith('.ndjson'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return files.flatMap(([, bytes]) =>
    new TextDecoder()
      .decode(bytes)
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { n: number }).n),
  )
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MillraceError } from '../errors.ts'
import { generator, memory } from '../sources/index.ts'
import { file } from '../sources/file.ts'
import type { Source } from '../sources/source.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import { IngestWorld, lettersTopic, rules, topic } from './ingest.fixture.ts'
import { PullIngestRunner } from './ingest-pull.ts'
import type { TaskReport } from './runner.ts'

class PullWorld extends IngestWorld {
  readonly #sources: readonly Source[]
  runners: PullIngestRunner[] = []

  constructor(seed: number, ...sources: Source[]) {
    super(seed)
    this.#sources = sources
  }

  async begin(): Promise<void> {
    await this.start((env, log) => {
      this.runners = this.#sources.map(
        (source, i) =>
          new PullIngestRunner({
            env,
            log,
            id: `ingest/events/${source.kind}${i}`,
            topic,
            rules,
            source,
            start: source.start,
            deadLetters: lettersTopic,
            planHash: 'abc',
            partitions: [0],
          }),
      )
      return this.runners
    })
  }

  report(runner = 0): TaskReport {
    const [report] = this.runners[runner]!.report()
    if (report === undefined) throw new Error('there is no task')
    return report
  }
}

const at = '2024-01-01T00:00:00Z'
const event = (n: number): object => ({ id: `k${n % 5}`, n, at })

function write(world: IngestWorld, path: string, text: string): void {
  const opened = world.env.disk.open(path, 'write')
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length;) done += opened.write(bytes.subarray(done), opened.size())
  opened.fdatasync()
  opened.close()
}

describe('a pulled source', () => {
  test('is read to its end and says that it is finished, also after a restart', async () => {
    const source = memory(Array.from({ length: 300 }, (_, n) => event(n)))
    source.end()
    const world = new PullWorld(1, source)
    await world.begin()
    await world.world.advance(500)
    expect(world.report()).toMatchObject({
      status: 'finished',
      counters: { read: 300, processed: 300, emitted: 300 },
    })
    world.kill()
    await world.begin()
    await world.world.advance(500)
    expect(world.report()).toMatchObject({ status: 'finished', counters: { read: 300 } })
    const numbers = (await world.values()).map((value) => (JSON.parse(value) as { n: number }).n)
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, n) => n))
  })

  test('keeps what is invalid as dead letters, with the reason', async () => {
    const source = memory([event(1), { at }, event(2)])
    source.addBytes(Buffer.from('{"id":'))
    const world = new PullWorld(1, source)
    await world.begin()
    await world.world.advance(500)
    const letters = (await world.values(lettersTopic, 1)).map((value) =>
      decodeLetterRecord(Buffer.from(value)),
    )
    expect(
      letters.map((record) => record?.kind === 'letter' && [record.letter.code, record.letter.id]),
    ).toEqual([
      ['MR1022', 'ingest/events/memory0:ingest@events/0/1'],
      ['MR1001', 'ingest/events/memory0:ingest@events/0/3'],
    ])
    const [missing] = letters
    expect(missing?.kind === 'letter' && missing.letter.message).toMatch(
      /^MR1022: The key field id is missing. \w+/,
    )
    expect(world.report().counters).toMatchObject({
      read: 4,
      processed: 2,
      deadLettered: 2,
      emitted: 2,
    })
  })

  test('that is not there is tried again by itself, ever less often, and says why; others go on', async () => {
    let opens = 0
    const late = file('/in/late')
    const counted: Source = { ...late, open: (context) => (opens++, late.open!(context)) }
    const other = memory([event(1)])
    other.end()
    const world = new PullWorld(1, counted, other)
    await world.begin()
    await world.world.advance(3_600_000)
    expect(world.report(0)).toMatchObject({ status: 'retrying', error: { code: 'MR1060' } })
    expect(world.report(1)).toMatchObject({ status: 'finished', counters: { emitted: 1 } })
    expect(opens).toBeGreaterThan(60)
    expect(opens).toBeLessThan(130)
    world.env.disk.mkdir('/in')
    write(world, '/in/late', `${JSON.stringify(event(2))}\n`)
    await world.world.advance(60_000)
    expect(world.report(0)).toMatchObject({ status: 'finished', counters: { emitted: 1 } })
    expect(world.report(0).error).toBeUndefined()
    expect(world.failures).toEqual([])
  })

  test('that cannot be read for a while goes on where it stood, also behind a restart of the worker', async () => {
    const source = memory([event(1), event(2)])
    let broken = false
    let readers = 0
    const shaky: Source = {
      ...source,
      open: (context) => {
        const reader = source.open!(context)
        readers++
        return {
          poll: (events, bytes) => {
            if (broken) throw new MillraceError('MR1060', 'It cannot be read.')
            return reader.poll(Math.min(events, 1), bytes)
          },
          close: () => {
            readers--
            reader.close()
          },
        }
      },
    }
    const world = new PullWorld(1, shaky)
    await world.begin()
    await world.world.advance(100)
    broken = true
    source.add(event(3))
    await world.world.advance(10_000)
    expect(world.report().status).toBe('retrying')
    // However often it was tried: what failed is not kept open.
    expect(readers).toBeLessThanOrEqual(1)
    world.kill()
    await world.begin()
    await world.world.advance(10_000)
    expect(world.report()).toMatchObject({ status: 'retrying', counters: { emitted: 2 } })
    broken = false
    expect(world.runners[0]!.resume('ingest/events/memory0/0')).toBe(true)
    await world.world.advance(100)
    expect(world.report()).toMatchObject({ status: 'running', counters: { emitted: 3 } })
    expect(world.runners[0]!.resume('ingest/events/memory0/0')).toBe(false)
    expect(world.runners[0]!.resume('ingest/events/memory0/1')).toBe(false)
    expect(await world.values()).toHaveLength(3)
  })

  test('whose position means nothing any more stays failed until it is resumed', async () => {
    let wrong = true
    let opens = 0
    const source = memory([event(1)])
    const lost: Source = {
      ...source,
      open: (context) => {
        opens++
        if (wrong) throw new MillraceError('MR1061', 'The position is 9 of 1.')
        return source.open!(context)
      },
    }
    const world = new PullWorld(1, lost)
    await world.begin()
    await world.world.advance(3_600_000)
    expect(world.report()).toMatchObject({ status: 'failed', error: { code: 'MR1061' } })
    expect(opens).toBe(1)
    expect(world.runners[0]!.resume('ingest/events/memory0/0')).toBe(true)
    await world.world.advance(100)
    expect([world.report().status, opens]).toEqual(['failed', 2])
    wrong = false
    world.runners[0]!.resume('ingest/events/memory0/0')
    await world.world.advance(100)
    expect(world.report()).toMatchObject({ status: 'running', counters: { emitted: 1 } })
  })

  test('says nothing of its tasks before it is opened', async () => {
    const world = new PullWorld(1, memory())
    await world.start((env, log) => {
      const source = memory()
      const id = 'ingest/events/memory'
      const common = { topic, rules, deadLetters: lettersTopic, planHash: 'abc', partitions: [0] }
      const runner = new PullIngestRunner({ ...common, env, log, id, source, start: source.start })
      expect(runner.report()).toEqual([])
      world.runners = [runner]
      return [runner]
    })
    expect(world.report()).toMatchObject({ status: 'running', counters: { read: 0 } })
  })

  test('is not read while it is paused', async () => {
    const source = memory<object>()
    const world = new PullWorld(1, source)
    await world.begin()
    world.runners[0]!.pause('ingest/events/memory0/0')
    source.add(event(1))
    await world.world.advance(500)
    expect(await world.values()).toEqual([])
    expect(world.report().status).toBe('paused')
    world.runners[0]!.resume('ingest/events/memory0/0')
    await world.world.advance(500)
    expect(await world.values()).toHaveLength(1)
  })

  test('has every event stored exactly once through kills and a full disk', async () => {
    const count = 400
    const step = fc.constantFrom('wait', 'kill', 'full', 'write')
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fc.tuple(step, fc.integer({ min: 1, max: 700 })), { maxLength: 12 }),
        async (seed, steps) => {
          const made = generator({
            count,
            eventsPerSecond: 200,
            event: (n) => ({ ...event(n), from: 'generator' }),
          })
          const world = new PullWorld(seed, made, file('/in/events', { follow: true }))
          world.env.disk.mkdir('/in')
          world.env.disk.fsyncDir('/')
          let written = 0
          const writeSome = (): void => {
            for (let i = 0; i < 10; i++)
              write(
                world,
                '/in/events',
                `${JSON.stringify({ ...event(written++), from: 'file' })}\n`,
              )
          }
          writeSome()
          await world.begin()
          for (const [what, ms] of steps) {
            const disk = world.world.disk()
            if (what === 'full') disk.capacityBytes = disk.usedBytes + 5_000
            await world.world.advance(ms)
            disk.capacityBytes = 2 ** 40
            if (what === 'write') writeSome()
            if (what === 'kill') {
              world.kill()
              await world.begin()
            }
          }
          await world.world.advance(12_000)
          const events = (await world.values()).map(
            (value) => JSON.parse(value) as { n: number; from: string },
          )
          const numbers = (from: string): number[] =>
            events
              .filter((e) => e.from === from)
              .map((e) => e.n)
              .toSorted((a, b) => a - b)
          expect(numbers('generator')).toEqual(Array.from({ length: count }, (_, n) => n))
          expect(numbers('file')).toEqual(Array.from({ length: written }, (_, n) => n))
          expect(world.report(0).counters.emitted).toBe(count)
          expect(world.report(1).counters.emitted).toBe(written)
        },
      ),
      { numRuns: 12 },
    )
  })
})

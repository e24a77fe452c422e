import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
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
    expect(world.report().counters).toMatchObject({
      read: 4,
      processed: 2,
      deadLettered: 2,
      emitted: 2,
    })
  })

  test('that cannot be opened fails alone and says why', async () => {
    const world = new PullWorld(1, file('/in/none'), memory([event(1)]))
    await world.begin()
    await world.world.advance(500)
    expect(world.report(0)).toMatchObject({ status: 'failed', error: { code: 'MR1060' } })
    expect(world.report(1)).toMatchObject({ status: 'running', counters: { emitted: 1 } })
    expect(world.failures).toEqual([])
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

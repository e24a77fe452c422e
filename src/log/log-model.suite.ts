import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Arena } from '../core/arena.ts'
import type { Reader, ReadFrom } from './log.ts'
import { blockOf, from, put, topic, valuesOf } from './log.suite.ts'
import type { LogHarness, RunLog } from './log.suite.ts'

type Step =
  | {
      readonly do: 'commit'
      readonly writer: number
      readonly to: readonly (readonly [partition: number, count: number])[]
    }
  | { readonly do: 'race'; readonly counts: readonly number[] }
  | { readonly do: 'read'; readonly reader: number; readonly blocks: number }
  | { readonly do: 'reopen' }

const PARTITIONS = 3

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      writer: fc.nat(2),
      to: fc.array(fc.tuple(fc.nat(PARTITIONS - 1), fc.integer({ min: 1, max: 5 })), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('race' as const),
      counts: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 3, maxLength: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      reader: fc.nat(2),
      blocks: fc.nat(6),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
)

/** Whatever is done to a Log, against the obvious one: an array per partition. */
export function describeLogModel(name: string, run: RunLog): void {
  test(`${name}: whatever is committed and read in whatever order, it is an array per partition`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 25 }), (steps) =>
        run((harness) => follow(harness, steps)),
      ),
      { numRuns: 25 },
    )
  })
}

interface Follower {
  reader: Reader
  readonly read: string[][]
  readonly next: number[]
}

async function follow(harness: LogHarness, steps: readonly Step[]): Promise<void> {
  let { log } = harness
  await log.topics.create(topic('m', PARTITIONS))
  const truth: string[][] = Array.from({ length: PARTITIONS }, () => [])
  let writers = await Promise.all(['a', 'b', 'c'].map((owner) => log.open(owner)))
  const places = (next: readonly number[]): ReadFrom[] =>
    next.map((offset, p) => from('m', p, offset))
  const followers: Follower[] = []
  for (let i = 0; i < 3; i++) {
    const next = Array.from({ length: PARTITIONS }, () => 0)
    followers.push({ reader: await log.reader(places(next)), read: truth.map(() => []), next })
  }
  let id = 0
  const arena = new Arena(1024)
  const take = (f: Follower, most: number): void => {
    for (let blocks = 0; blocks < most;) {
      const result = f.reader.next(arena)
      if (result.result === 'arena-full') arena.reset()
      else if (result.result !== 'block') return expect(result.result).toBe('caught-up')
      else {
        blocks++
        expect(result.baseOffset).toBeGreaterThanOrEqual(f.next[result.partition]!)
        f.next[result.partition] = result.nextOffset
        f.read[result.partition]!.push(...valuesOf([result]))
      }
    }
  }
  for (const step of steps) {
    if (step.do === 'commit') {
      const writer = writers[step.writer]!
      for (const [partition, count] of step.to) {
        const values = Array.from({ length: count }, () => `${id++}`)
        truth[partition]!.push(...values)
        writer.append('m', partition, blockOf(values), count)
      }
      expect((await writer.commit()).outcome).toBe('committed')
    } else if (step.do === 'race') {
      // Three at once, each to a partition of its own and all to the last: some order, the same for all readers.
      const results = await Promise.all(
        step.counts.map((count, w) =>
          put(writers[w]!, 'm', w, ...Array.from({ length: count }, () => `${w}`)),
        ),
      )
      for (const [w, count] of step.counts.entries())
        truth[w]!.push(...Array.from({ length: count }, () => `${w}`))
      expect(new Set(results.map((r) => r.lsn)).size).toBe(3)
    } else if (step.do === 'read') {
      take(followers[step.reader]!, step.blocks)
    } else if (harness.reopen !== undefined) {
      log = await harness.reopen()
      writers = await Promise.all(['a', 'b', 'c'].map((owner) => log.open(owner)))
      for (const f of followers) f.reader = await log.reader(places(f.next))
    }
    for (const f of followers) {
      for (const [p, read] of f.read.entries())
        expect(read).toEqual(truth[p]!.slice(0, read.length))
    }
  }
  for (const f of followers) {
    take(f, Infinity)
    expect(f.read).toEqual(truth)
  }
}

/** What every source must keep (see source.ts), checked on any implementation with random reads, cuts and restarts. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Env } from '../core/env/env.ts'
import type { Source, SourceReader } from './source.ts'

export interface SourceUnderTest {
  readonly env: Env
  readonly source: Source
  /** Everything the source has, in order, as it will be read by the end. */
  readonly expected: () => readonly string[]
  /** Called between polls: more data arrives, files rotate, time passes. Returns false when nothing more will happen. */
  readonly happen: () => boolean
  readonly close: () => void
}

/** `make` builds the same source and the same future for the same seed. */
export function sourceSuite(name: string, make: (seed: number) => SourceUnderTest): void {
  describe(`source ${name}`, () => {
    test('gives every event once, in order, whatever is read at a time and wherever it is cut off', () => {
      const step = fc.record({
        maxEvents: fc.integer({ min: 1, max: 40 }),
        maxBytes: fc.integer({ min: 1, max: 5_000 }),
        after: fc.constantFrom<After>('commit', 'commit', 'go on', 'crash', 'restart'),
        happen: fc.boolean(),
      })
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 1e6 }),
          fc.array(step, { maxLength: 60 }),
          (seed, steps) => {
            const under = make(seed)
            try {
              expect(readAll(under, steps)).toEqual(under.expected())
            } finally {
              under.close()
            }
          },
        ),
        { numRuns: 60 },
      )
    })

    test('polls within its bounds', () => {
      const under = make(7)
      const reader = open(under, undefined)
      for (let i = 0; i < 50; i++) {
        under.happen()
        const poll = reader.poll(3, 1_000)
        if (poll.result === 'idle') expect(poll.againInMs).toBeGreaterThan(0)
        if (poll.result === 'events') expect(poll.events.length).toBeLessThanOrEqual(3)
      }
      reader.close()
      under.close()
    })
  })
}

type After = 'commit' | 'go on' | 'crash' | 'restart'

interface Step {
  readonly maxEvents: number
  readonly maxBytes: number
  readonly after: After
  readonly happen: boolean
}

const firstStep: Step = { maxEvents: 1, maxBytes: 1, after: 'commit', happen: false }
const lastSteps: Step = { maxEvents: 1_000, maxBytes: 100_000, after: 'commit', happen: true }

/**
 * As an ingest task does it: events count when they are committed with their position; a crash forgets the others. The
 * first poll is committed: before that nothing says what was there.
 */
function readAll(under: SourceUnderTest, steps: readonly Step[]): string[] {
  const committed: string[] = []
  let position: string | undefined
  let pending: string[] = []
  let pendingPosition: string | undefined
  let reader = open(under, undefined)
  const commit = (): void => {
    committed.push(...pending)
    pending = []
    position = pendingPosition ?? position
  }
  let idle = 0
  const all = [firstStep, ...steps]
  for (let i = 0; idle < 5; i++) {
    const { maxEvents, maxBytes, after, happen } = all[i] ?? lastSteps
    const more = happen && under.happen()
    const poll = reader.poll(maxEvents, maxBytes)
    if (poll.result === 'events') {
      pending.push(...poll.events.map((event) => Buffer.from(event).toString()))
      pendingPosition = poll.position
    }
    idle = poll.result === 'events' || more || i < all.length ? 0 : idle + 1
    if (after === 'commit' || after === 'restart') commit()
    if (after === 'crash' || after === 'restart') {
      pending = []
      pendingPosition = undefined
      reader.close()
      reader = open(under, position)
    }
  }
  reader.close()
  return committed
}

function open(under: SourceUnderTest, position: string | undefined): SourceReader {
  const { env, source } = under
  const reader = source.open?.({ env, partition: 0, position, start: source.start })
  if (reader === undefined) throw new Error(`the source ${source.kind} cannot be opened`)
  return reader
}

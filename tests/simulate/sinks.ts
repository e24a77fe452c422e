/** Sinks outside the engine: they remember through every crash, answer late, and fail before or after they took a batch. */
import { memory } from '../../src/sinks/index.ts'
import type { MemorySink } from '../../src/sinks/index.ts'
import type { Sink, SinkBatch } from '../../src/sinks/sink.ts'
import type { SeededRandom, SimulatedEnv } from '../../src/testing/index.ts'

export interface Outlets {
  readonly pages: Sink
  readonly users: Sink
  /** What the transactional sink for pages holds. */
  readonly stored: MemorySink
  /** Every batch that the at-least-once sink for users ever took. */
  readonly taken: SinkBatch[]
}

export function outlets(random: SeededRandom, faults: number): Outlets {
  const stored = memory({ name: 'pages' })
  const taken: SinkBatch[] = []
  const users: Sink = {
    kind: 'list',
    target: 'users',
    guarantee: 'at-least-once',
    describe: 'a list',
    open: () =>
      Promise.resolve({
        deliver: (batch) => {
          taken.push(batch)
          return Promise.resolve([])
        },
        close: () => Promise.resolve(),
      }),
  }
  return {
    stored,
    taken,
    pages: faulty(stored, random, faults),
    users: faulty(users, random, faults),
  }
}

function faulty(sink: Sink, random: SeededRandom, chance: number): Sink {
  return {
    ...sink,
    open: async (context) => {
      const writer = await sink.open!(context)
      // A dead worker's sleep never ends: what it had under way reaches nothing.
      const { timers } = context.env as SimulatedEnv
      return {
        ...writer,
        deliver: async (batch) => {
          await timers.sleep(random.int(10))
          const luck = random.float()
          if (luck < chance / 2) throw new Error('The sink did not take it.')
          const rejected = await writer.deliver(batch)
          await timers.sleep(random.int(10))
          if (luck < chance) throw new Error('The sink took it and did not say so.')
          return rejected
        },
      }
    },
  }
}

/** Sinks outside the engine: they remember through every crash, answer late, and fail before or after they took a batch. */
import { memory } from '../../src/sinks/index.ts'
import type { MemorySink } from '../../src/sinks/index.ts'
import type { Sink, SinkBatch } from '../../src/sinks/sink.ts'
import type { SeededRandom, SimulatedEnv } from '../../src/testing/index.ts'
import type { Shape } from './shape.ts'

/** By the name of the part whose rows they take. */
export interface Outlets {
  readonly sinks: ReadonlyMap<string, Sink>
  /** What the transactional ones hold. */
  readonly stored: ReadonlyMap<string, MemorySink>
  /** Every batch that the at-least-once ones ever took. */
  readonly taken: ReadonlyMap<string, readonly SinkBatch[]>
}

export function outlets(random: SeededRandom, shape: Shape, faults: number): Outlets {
  const sinks = new Map<string, Sink>()
  const stored = new Map<string, MemorySink>()
  const taken = new Map<string, SinkBatch[]>()
  for (const { name, sink } of shape) {
    if (sink === 'transactional') stored.set(name, memory({ name }))
    if (sink === 'at-least-once') taken.set(name, [])
    const made = stored.get(name) ?? (sink && list(name, taken.get(name)!))
    if (made !== undefined) sinks.set(name, faulty(made, random, faults))
  }
  return { sinks, stored, taken }
}

function list(name: string, taken: SinkBatch[]): Sink {
  return {
    kind: 'list',
    target: name,
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

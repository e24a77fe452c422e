/** Sinks outside the engine: they remember through every crash, answer late, and fail before or after they took a batch. */
import { memory } from '../../src/sinks/index.ts'
import type { MemorySink } from '../../src/sinks/index.ts'
import type { Rejected, Sink, SinkBatch } from '../../src/sinks/sink.ts'
import type { SeededRandom, SimulatedEnv } from '../../src/testing/index.ts'
import type { Shape } from './shape.ts'
import type { Tally } from './tally.ts'

/** By the name of the part whose rows they take. */
export interface Outlets {
  readonly sinks: ReadonlyMap<string, Sink>
  /** What the transactional ones hold. */
  readonly stored: ReadonlyMap<string, MemorySink>
  /** Every batch that the at-least-once ones ever took. */
  readonly taken: ReadonlyMap<string, readonly SinkBatch[]>
}

export function outlets(shape: Shape, road: Road): Outlets {
  const sinks = new Map<string, Sink>()
  const stored = new Map<string, MemorySink>()
  const taken = new Map<string, SinkBatch[]>()
  for (const { name, sink } of shape) {
    if (sink === 'transactional') stored.set(name, memory({ name }))
    if (sink === 'at-least-once') taken.set(name, [])
    const made = stored.get(name) ?? (sink && list(name, taken.get(name)!))
    if (made !== undefined) sinks.set(name, faulty(made, road))
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

/** What happens to batches on their way, and to answers. */
export interface Road {
  readonly random: SeededRandom
  /** Chance, by now, that a delivery fails. */
  readonly faults: () => number
  /** Of the world outside: it passes whoever has died. */
  readonly sleep: (ms: number) => Promise<void>
  readonly tally: Tally
}

/** The same sink at the end of such a road. */
export function faulty(sink: Sink, road: Road): Sink {
  const { random, sleep, tally } = road
  return {
    ...sink,
    open: async (context) => {
      const writer = await sink.open!(context)
      const env = context.env as SimulatedEnv
      const arrive = async (batch: SinkBatch): Promise<readonly Rejected[]> => {
        await sleep(random.int(10))
        // Half of what a dead worker had under way arrives.
        if (!env.alive && random.chance(0.5)) throw new Error('It was lost on its way.')
        const luck = random.float()
        const faults = road.faults()
        if (luck < faults / 2) throw new Error('The sink did not take it.')
        if (luck > 1 - faults / 2) {
          // It was not lost but slow: it comes when somebody else has taken over, or the same one again.
          tally.lateDeliveries++
          void sleep(random.int(random.chance(0.5) ? 20 : 300)).then(async () =>
            writer.deliver(batch).catch(() => undefined),
          )
          throw new Error('The sink did not answer.')
        }
        if (!env.alive) tally.lateDeliveries++
        const rejected = await writer.deliver(batch)
        if (luck < faults) throw new Error('The sink took it and did not say so.')
        return rejected
      }
      // Answers reach only who is alive.
      const answer = (say: () => void): void => {
        if (env.alive) env.timers.after(random.int(10), say)
      }
      return {
        ...writer,
        deliver: (batch) =>
          new Promise((resolve, reject) => {
            void arrive(batch).then(
              (rejected) => answer(() => resolve(rejected)),
              (error: unknown) => answer(() => reject(error as Error)),
            )
          }),
      }
    },
  }
}

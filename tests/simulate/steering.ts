/** An operator: pauses and resumes tasks, and sends dead letters back, whatever else goes on. */
import { openLetters, replayLetters } from '../../src/runtime/admin/letters.ts'
import type { SeededRandom, SimulatedEngine, Simulation } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import type { Tally } from './tally.ts'

export class Steering {
  readonly #engine: SimulatedEngine
  readonly #config: Config
  readonly #random: SeededRandom
  readonly #sleep: (ms: number) => Promise<void>
  readonly #tally: Tally
  /** A replay of a process that dies under it never ends: only the next process is asked anew. */
  #asked: unknown

  constructor(
    simulation: Simulation,
    engine: SimulatedEngine,
    config: Config,
    sleep: (ms: number) => Promise<void>,
    tally: Tally,
  ) {
    this.#engine = engine
    this.#config = config
    this.#random = simulation.random('steering')
    this.#sleep = sleep
    this.#tally = tally
  }

  /** Until `more` says no; nothing is paused then. */
  async run(more: () => boolean): Promise<void> {
    const random = this.#random
    while (this.#config.steered && more()) {
      await this.#sleep(random.int(300))
      if (random.chance(0.5)) this.#replay()
      else await this.#pause()
    }
  }

  async #pause(): Promise<void> {
    const tasks = this.#engine.report().map(({ id }) => id)
    const task = tasks[this.#random.int(Math.max(1, tasks.length))]
    if (task === undefined) return
    this.#tally.paused++
    this.#engine.pause(task)
    await this.#sleep(this.#random.int(200))
    this.#engine.resume(task)
  }

  #replay(): void {
    const { log, env } = this.#engine
    if (log === undefined || env === undefined || log === this.#asked) return
    this.#asked = log
    const replay = async (): Promise<void> => {
      const plan = this.#engine.plans[0]!
      const query = { from: 0, limit: 1 + this.#random.int(8) }
      const { letters } = await openLetters({ log, timers: env.timers }, plan, query)
      const writer = await log.open('letters')
      try {
        this.#tally.replayed += await replayLetters(
          { log, writer, plan, now: env.clock.now() },
          letters,
        )
      } finally {
        await writer.close()
      }
    }
    const done = (): void => void (this.#asked = undefined)
    // A commit that was refused, or of which nobody knows: the letters are still open then, or they are not.
    void replay().then(done, done)
  }
}

/** A program that runs the engine in its own process and calls its `produce`: what was promised, the ledger knows (I1). */
import { LocalProducer } from '../../src/runtime/producer.ts'
import type { Produced } from '../../src/runtime/producer.ts'
import type { SeededRandom, SimulatedEngine, Simulation } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import type { SourceEvent } from './model.ts'
import type { Ledger, Sent } from './producers.ts'
import { violation } from './violation.ts'

const name = 'inside'

export class Inside {
  /** What it was told that cannot be true. */
  error: Error | undefined
  readonly #engine: SimulatedEngine
  readonly #config: Config
  readonly #ledger: Ledger
  readonly #random: SeededRandom
  readonly #sleep: (ms: number) => Promise<void>
  #nth = 0
  #time: number

  constructor(
    simulation: Simulation,
    engine: SimulatedEngine,
    config: Config,
    ledger: Ledger,
    sleep: (ms: number) => Promise<void>,
  ) {
    this.#engine = engine
    this.#config = config
    this.#ledger = ledger
    this.#random = simulation.random(name)
    this.#sleep = sleep
    this.#time = simulation.startMs
  }

  /** Until `more` says no; then nothing is under way. */
  async run(more: () => boolean): Promise<void> {
    while (this.#config.inside && more()) {
      await this.#sleep(this.#random.int(this.#config.bodyGapMs))
      if (this.#engine.supervisor !== undefined) await this.#life(more)
    }
  }

  /** What it sends in one process. */
  async #life(more: () => boolean): Promise<void> {
    const { supervisor } = this.#engine
    if (supervisor === undefined) return
    const { env } = supervisor.inputs
    const over = new AbortController()
    void supervisor.ended.then(() => over.abort())
    const producer = new LocalProducer(env, over.signal, (ingest, request) =>
      supervisor.ingest.submit(ingest, request),
    )
    const lives = (): boolean => this.#engine.supervisor === supervisor
    while (lives() && more()) {
      const sent = Array.from({ length: this.#random.int(4) }, () => this.#event())
      let answered = false
      void producer
        .produce(
          'events',
          sent.map(({ event }) => event),
        )
        .then(
          (produced) => this.#told(sent, produced),
          () => undefined,
        )
        .then(() => (answered = true))
      while (!answered && lives()) await this.#sleep(5)
      await this.#sleep(this.#random.int(this.#config.bodyGapMs))
    }
  }

  #told(sent: readonly Sent[], { accepted, refused }: Produced): void {
    const wrong = new Set(refused.map(({ index }) => index))
    for (const [i, one] of sent.entries()) {
      const valid = Number.isInteger(one.event.value)
      if (valid === wrong.has(i))
        this.error ??= violation('I1', `${name} got a wrong verdict on ${one.event.id}`)
      one.outcome = valid ? 'accepted' : 'refused'
    }
    if (accepted !== sent.length - wrong.size)
      this.error ??= violation('I1', `${name} was told of ${accepted} events that were accepted`)
  }

  #event(): Sent {
    const { paceMs, grainMs, users, pages } = this.#config
    const random = this.#random
    this.#time += random.int(2 * paceMs)
    const event: SourceEvent = {
      id: `${name}-${this.#nth}`,
      user: `user-${random.int(users)}`,
      page: `page-${random.int(pages)}`,
      kind: random.chance(0.85) ? 'view' : 'click',
      value: random.chance(0.05) ? 0.5 : random.int(94),
      at: Math.floor(this.#time / grainMs) * grainMs,
    }
    const sent: Sent = { event, producer: name, nth: this.#nth++, outcome: 'unknown' }
    this.#ledger.set(event.id, sent)
    return sent
  }
}

/** Producers outside the engine: they send bodies, lose answers, send again, and remember what was acknowledged. */
import type {
  SeededRandom,
  SimulatedEngine,
  SimulatedEnv,
  Simulation,
} from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import { poison } from './model.ts'
import type { SourceEvent } from './model.ts'
import type { Tally } from './tally.ts'
import { violation } from './violation.ts'

export interface Sent {
  readonly event: SourceEvent
  /** Which producer sent it, as how manieth: in a partition, a producer's events keep this order. */
  readonly producer: string
  readonly nth: number
  /** `unknown`: it may be there or not. */
  outcome: 'unknown' | 'accepted' | 'refused'
}

/** Everything that was ever sent, by event id. */
export type Ledger = Map<string, Sent>

interface Answer {
  readonly status: number
  readonly text: string
}

interface Outside {
  readonly simulation: Simulation
  readonly engine: SimulatedEngine
  readonly config: Config
  readonly ledger: Ledger
  readonly tally: Tally
}

const utf8 = new TextEncoder()
const answerTimeoutMs = 300

/** One producer. `idempotent` ones repeat a request until it is answered; others send each once. */
export class Producer {
  readonly id: string
  done = false
  readonly #outside: Outside
  readonly #idempotent: boolean
  readonly #env: SimulatedEnv
  /** What it sends. Nothing that happens to it may change that. */
  readonly #random: SeededRandom
  /** When, how, and what becomes of the answers. */
  readonly #luck: SeededRandom
  #sequence = 0
  #nth = 0
  #time: number

  constructor(outside: Outside, id: string, idempotent: boolean) {
    this.#outside = outside
    this.#idempotent = idempotent
    this.id = id
    const { simulation } = outside
    // Power cuts of the engine's machine do not reach this one.
    this.#env = simulation.env(id, simulation.disk('elsewhere'))
    this.#random = simulation.random(`producer ${id}`)
    this.#luck = simulation.random(`luck of ${id}`)
    this.#time = simulation.startMs + this.#random.int(2_000)
  }

  /** At least so many bodies, and more as long as `more` says so. */
  async run(bodies: number, more: () => boolean): Promise<void> {
    for (let i = 0; i < bodies || more(); i++) {
      await this.#env.timers.sleep(this.#luck.int(this.#outside.config.bodyGapMs))
      const sent = Array.from(
        { length: 1 + this.#random.int(this.#outside.config.bodyEvents) },
        () => this.#event(),
      )
      await this.send(
        'events',
        sent.map(({ event }) => event),
        sent,
      )
    }
    this.done = true
  }

  /** Sends one body; idempotent producers until it is answered for good. */
  async send(topic: string, values: readonly object[], sent: readonly Sent[] = []): Promise<void> {
    const ndjson = this.#luck.chance(0.5)
    const text = ndjson
      ? values.map((value) => JSON.stringify(value)).join('\n')
      : JSON.stringify(values)
    const sequence = this.#sequence++
    let dropped: Answer | undefined
    for (;;) {
      const lose = this.#luck.chance(this.#outside.config.lostAnswers)
      const format = ndjson ? 'ndjson' : 'json'
      const answer = await this.#attempt(topic, text, format, sequence)
      if (this.#idempotent && this.#luck.chance(this.#outside.config.lateCopies))
        this.#copy(topic, text, format, sequence)
      if (answer !== undefined && answer.text.includes('"verdicts"')) {
        if (dropped !== undefined && dropped.text !== answer.text) {
          throw violation(
            'I1',
            `${this.id} got two answers to request ${sequence}: ${dropped.text} and ${answer.text}`,
          )
        }
        if (!lose || !this.#idempotent) return this.#accepted(sent, answer)
        dropped = answer
      } else if (answer !== undefined && answer.status < 500 && answer.status !== 429) {
        throw violation(
          'I1',
          `${this.id} was refused request ${sequence}: ${answer.status} ${answer.text}`,
        )
      }
      if (!this.#idempotent) return
      await this.#env.timers.sleep(5 + this.#luck.int(60))
    }
  }

  /** A copy of the request was held up on its way: it comes later, perhaps after others. Nobody waits for the answer. */
  #copy(topic: string, text: string, format: 'json' | 'ndjson', sequence: number): void {
    this.#outside.tally.copies++
    this.#env.timers.after(this.#luck.int(500), () => {
      void this.#attempt(topic, text, format, sequence)
    })
  }

  #attempt(
    topic: string,
    text: string,
    format: 'json' | 'ndjson',
    sequence: number,
  ): Promise<Answer | undefined> {
    const { engine } = this.#outside
    const producer = this.#idempotent ? { producer: { id: this.id, epoch: 1, sequence } } : {}
    return new Promise((resolve) => {
      const cancel = this.#env.timers.after(answerTimeoutMs, () => resolve(undefined))
      engine.submit(topic, { body: utf8.encode(text), format, ...producer }, ({ status, body }) => {
        const answer = { status, text: new TextDecoder().decode(body) }
        cancel()
        this.#env.timers.after(1, () => resolve(answer))
      })
    })
  }

  #accepted(sent: readonly Sent[], { text }: Answer): void {
    const { verdicts } = JSON.parse(text) as { verdicts: readonly { index: number }[] }
    const refused = new Set(verdicts.map(({ index }) => index))
    for (const [i, one] of sent.entries()) {
      const valid = Number.isInteger(one.event.value)
      if (valid === refused.has(i))
        throw violation('I1', `${this.id} got a wrong verdict on ${one.event.id}: ${text}`)
      one.outcome = valid ? 'accepted' : 'refused'
    }
  }

  #event(): Sent {
    const { config, ledger } = this.#outside
    const random = this.#random
    this.#time += random.int(2 * config.paceMs)
    const drawn = random.float()
    const event: SourceEvent = {
      id: `${this.id}-${this.#nth}`,
      user: `user-${random.int(config.users)}`,
      page: `page-${random.int(config.pages)}`,
      kind: random.chance(0.85) ? 'view' : 'click',
      value: drawn < 0.03 ? 0.5 : drawn < 0.06 ? poison : random.int(100),
      at:
        Math.floor((this.#time - random.int(config.disorderMs + 1)) / config.grainMs) *
        config.grainMs,
    }
    const sent: Sent = { event, producer: this.id, nth: this.#nth++, outcome: 'unknown' }
    ledger.set(event.id, sent)
    return sent
  }
}

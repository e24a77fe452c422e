/** A sender that makes mistakes of all kinds, and knows what it must be told of each. */
import type {
  SeededRandom,
  SimulatedEngine,
  SimulatedEnv,
  Simulation,
} from '../../../src/testing/index.ts'
import { violation } from '../violation.ts'
import { bodyOf, drawStray, drawStrayBody } from './events.ts'
import type { Stray } from './events.ts'
import type { StraysConfig } from './pipeline.ts'
import { burstAt } from './pipeline.ts'

/** What became of all events, in the order of each sender. */
export interface StrayLedger {
  readonly accepted: { readonly sender: string; readonly stray: Stray }[]
  /** Refused by themselves, and those kept as dead letters. */
  readonly refused: Stray[]
  readonly lettered: Stray[]
}

interface Answer {
  readonly status: number
  readonly text: string
}

interface Verdicts {
  readonly accepted: number
  readonly refused: number
  readonly deadLettered: number
  readonly verdicts: readonly { readonly index: number; readonly code: string }[]
}

type Wrong = readonly [code: string, id: string, epoch: number, sequence: number]

const answerTimeoutMs = 300
/** So many answers are kept of a producer. */
const kept = 5

export class Sender {
  readonly #id: string
  readonly #simulation: Simulation
  readonly #engine: SimulatedEngine
  readonly #config: StraysConfig
  readonly #ledger: StrayLedger
  readonly #random: SeededRandom
  readonly #env: SimulatedEnv
  #epoch = 1
  #sequence = 0
  #nth = 0
  #burst: boolean

  constructor(
    id: string,
    simulation: Simulation,
    engine: SimulatedEngine,
    config: StraysConfig,
    ledger: StrayLedger,
  ) {
    this.#id = id
    this.#simulation = simulation
    this.#engine = engine
    this.#config = config
    this.#ledger = ledger
    this.#random = simulation.random(`sender ${id}`)
    this.#env = simulation.env(id, simulation.disk('elsewhere'))
    this.#burst = config.burst && id === 's1'
  }

  async run(bodies: number, more: () => boolean): Promise<void> {
    const random = this.#random
    for (let i = 0; i < bodies || more(); i++) {
      await this.#env.timers.sleep(random.int(80))
      const luck = random.float()
      if (luck < 0.15) await this.#wholeBody()
      else if (luck < 0.3) await this.#wrongSequence()
      else {
        if (luck < 0.35) [this.#epoch, this.#sequence] = [this.#epoch + 1, 0]
        await this.#send()
      }
    }
  }

  async #send(): Promise<void> {
    const random = this.#random
    const count = 1 + random.int(random.pick([1, 4, 25]))
    const strays = Array.from({ length: count }, () => this.#draw())
    const { format, bytes, single } = bodyOf(random, strays)
    const answer = await this.#answered('strays', bytes, format, this.#ref())
    this.#sequence++
    this.#judge(strays, single, answer)
  }

  #draw(): Stray {
    const id = `${this.#id}-${this.#nth++}`
    const { nowMs } = this.#simulation
    if (!this.#burst || this.#nth < 20) return drawStray(this.#random, id, nowMs)
    this.#burst = false
    const event = { id, who: 'a', at: nowMs, n: burstAt, m: 1 }
    return { id, code: undefined, bytes: Buffer.from(JSON.stringify(event)) }
  }

  #judge(strays: readonly Stray[], single: boolean, { status, text }: Answer): void {
    const { accepted, refused, lettered } = this.#ledger
    const keeps = this.#config.onInvalid === 'deadLetter'
    const want: string[] = []
    let good = 0
    let letters = 0
    for (const [index, stray] of strays.entries()) {
      if (stray.code === undefined) {
        accepted.push({ sender: this.#id, stray })
        good++
      } else if (keeps && stray.code !== 'MR1020') {
        lettered.push(stray)
        letters++
      } else {
        refused.push(stray)
        want.push(`${index} ${stray.code}`)
      }
    }
    const given = JSON.parse(text) as Verdicts
    const have = given.verdicts.map(({ index, code }) => `${index} ${code}`)
    const nothing = good + letters === 0
    const due = !nothing ? 200 : single && strays[0]!.code === 'MR1020' ? 413 : 400
    const same =
      have.join() === want.join() &&
      given.accepted === good &&
      given.deadLettered === letters &&
      given.refused === want.length &&
      status === due
    if (same) return
    throw violation(
      'I1',
      `${this.#id} got ${status} ${text}; expected ${due}, ${good} accepted, ${letters} kept, ${want.join()}`,
    )
  }

  /** Nothing of it is stored, and its number is still free. */
  async #wholeBody(): Promise<void> {
    const { code, format, bytes } = drawStrayBody(this.#random)
    await this.#expect(code, 'strays', bytes, format, this.#ref())
  }

  async #wrongSequence(): Promise<void> {
    const random = this.#random
    const [epoch, next] = [this.#epoch, this.#sequence]
    const id = `${this.#id}-${random.int(1_000_000)}`
    const wrong: [Wrong, ...Wrong[]] = [
      ['MR1046', id, 1, 3],
      // A clock reading from long ago.
      ['MR1046', id, 1_000_000_000_000 + random.int(1_000_000), 0],
    ]
    if (next > 0)
      wrong.push(
        ['MR1044', this.#id, epoch, next + 1 + random.int(3)],
        ['MR1044', this.#id, epoch + 1, 5],
      )
    if (next > 0 && epoch > 1) wrong.push(['MR1045', this.#id, epoch - 1, next])
    if (next > kept) wrong.push(['MR1047', this.#id, epoch, next - kept - 1])
    const [code, producer, of, sequence] = random.pick(wrong)
    const ref = { id: producer, epoch: of, sequence }
    const body = Buffer.from('{"id":"never","who":"a","at":0}')
    if (random.chance(0.1)) await this.#expect('MR1035', 'nowhere', body, 'json', this.#ref())
    else await this.#expect(code, 'strays', body, 'json', ref)
  }

  #ref(): { id: string; epoch: number; sequence: number } {
    return { id: this.#id, epoch: this.#epoch, sequence: this.#sequence }
  }

  async #expect(
    code: string,
    topic: string,
    bytes: Buffer,
    format: 'json' | 'ndjson',
    ref: { id: string; epoch: number; sequence: number },
  ): Promise<void> {
    const { status, text } = await this.#answered(topic, bytes, format, ref)
    const { error } = JSON.parse(text) as { error?: { code: string } }
    if (error?.code !== code)
      throw violation('I1', `${this.#id} got ${status} ${text}; expected ${code}`)
  }

  /** Repeats the request until it is answered for good; every answer for good says the same. */
  async #answered(
    topic: string,
    bytes: Buffer,
    format: 'json' | 'ndjson',
    producer: { id: string; epoch: number; sequence: number },
  ): Promise<Answer> {
    let lost: Answer | undefined
    for (;;) {
      const answer = await this.#attempt(topic, bytes, format, producer)
      if (answer !== undefined && answer.status < 500 && answer.status !== 429) {
        if (lost !== undefined && lost.text !== answer.text)
          throw violation('I1', `${this.#id} got two answers: ${lost.text} and ${answer.text}`)
        if (!this.#random.chance(0.1)) return answer
        lost = answer
      }
      await this.#env.timers.sleep(5 + this.#random.int(60))
    }
  }

  #attempt(
    topic: string,
    bytes: Buffer,
    format: 'json' | 'ndjson',
    producer: { id: string; epoch: number; sequence: number },
  ): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#env.timers.after(answerTimeoutMs, () => resolve(undefined))
      const body = new Uint8Array(bytes)
      this.#engine.submit(topic, { body, format, producer }, (given) => {
        const answer = { status: given.status, text: new TextDecoder().decode(given.body) }
        cancel()
        this.#env.timers.after(1, () => resolve(answer))
      })
    })
  }
}

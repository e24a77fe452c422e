import { MillraceError } from '../errors.ts'
import { checkRate, paceOf } from './pace.ts'
import type { Source, SourceContext, SourcePoll, SourceReader } from './source.ts'

/** What a generated event may depend on, besides its index: the same values again after a restart. */
export interface GeneratorInput {
  /** Uniform in [0, 1); every call of one event gives the next number. */
  readonly random: () => number
  /** When the event is due: the time of the first start plus index / eventsPerSecond, in milliseconds since 1970. */
  readonly at: number
}

export interface GeneratorOptions<T> {
  /** Makes event number `index` (from 0). It must depend on its arguments alone. */
  readonly event: (index: number, input: GeneratorInput) => T
  /** Another seed gives other random numbers. Default 1. */
  readonly seed?: number
  /** How many events there are; default: no end. */
  readonly count?: number
  /** Default: as fast as they are taken. */
  readonly eventsPerSecond?: number
}

interface GeneratorPosition {
  readonly next: number
  readonly startedAt: number
}

/** Made-up events: a function of their index, resumable, at a given rate. */
export function generator<T>(options: GeneratorOptions<T>): Source {
  const { seed = 1, count = Infinity, eventsPerSecond } = options
  checkRate('generator', eventsPerSecond)
  const whole = Number.isInteger(count) || count === Infinity
  if (!whole || count < 0 || !Number.isSafeInteger(seed)) {
    throw new MillraceError(
      'MR1063',
      `The generator source has seed ${seed} and count ${count}: whole numbers, count not negative.`,
    )
  }
  const rate = eventsPerSecond === undefined ? '' : `, ${eventsPerSecond}/s`
  return {
    kind: 'generator',
    replay: 'replayable',
    partitions: 1,
    describe: `generator seed ${seed}${rate}`,
    start: 'earliest',
    open: (context) => new GeneratorReader(options, context),
  }
}

class GeneratorReader<T> implements SourceReader {
  readonly #options: GeneratorOptions<T>
  readonly #pace
  readonly #startedAt: number
  #next: number

  constructor(options: GeneratorOptions<T>, context: SourceContext) {
    this.#options = options
    this.#pace = paceOf(context.env.clock, options.eventsPerSecond)
    const position = positionOf(context)
    this.#next = position.next
    this.#startedAt = position.startedAt
  }

  poll(maxEvents: number, maxBytes: number): SourcePoll {
    const { count = Infinity, eventsPerSecond } = this.#options
    if (this.#next >= count) return { result: 'ended' }
    const allowed = Math.min(maxEvents, count - this.#next, this.#pace?.allowed() ?? Infinity)
    if (allowed < 1) return { result: 'idle', againInMs: this.#pace?.waitMs() ?? 1 }
    const events: Uint8Array[] = []
    for (let bytes = 0; events.length < allowed && bytes < maxBytes;) {
      const index = this.#next++
      const at =
        this.#startedAt +
        (eventsPerSecond === undefined ? 0 : Math.floor((index * 1000) / eventsPerSecond))
      const made = this.#event(index, at)
      events.push(made)
      bytes += made.length
    }
    this.#pace?.took(events.length)
    const position: GeneratorPosition = { next: this.#next, startedAt: this.#startedAt }
    return { result: 'events', events, position: JSON.stringify(position) }
  }

  close(): void {
    this.#next = Infinity
  }

  #event(index: number, at: number): Uint8Array {
    const { event, seed = 1 } = this.#options
    try {
      return encoder.encode(JSON.stringify(event(index, { random: randomOf(seed, index), at })))
    } catch (error) {
      const text = `event of the generator source failed for event ${index}: ${String(error)}.`
      throw new MillraceError('MR1063', text, { cause: error })
    }
  }
}

const encoder = new TextEncoder()

function positionOf({ position, env }: SourceContext): GeneratorPosition {
  if (position === undefined) return { next: 0, startedAt: env.clock.now() }
  try {
    const { next, startedAt } = JSON.parse(position) as Partial<GeneratorPosition>
    if (Number.isSafeInteger(next) && Number.isFinite(startedAt))
      return { next: next!, startedAt: startedAt! }
  } catch {
    // What is no JSON is no position either.
  }
  throw new MillraceError('MR1061', `The generator source cannot read its position ${position}.`)
}

/** SplitMix32, seeded by seed and index, so that each event has random numbers of its own. */
function randomOf(seed: number, index: number): () => number {
  let state =
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b) ^ Math.floor(index / 2 ** 32)) |
    0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}

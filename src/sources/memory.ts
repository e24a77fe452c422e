import { MillraceError } from '../errors.ts'
import type { Source, SourceContext, SourcePoll, SourceReader } from './source.ts'

/** A source in the memory of the test that made it. Events stay, so that it can be read again from any position. */
export interface MemorySource<T> extends Source {
  add(...events: readonly T[]): void
  /** Raw bytes, for what is not JSON. */
  addBytes(bytes: Uint8Array): void
  /** Nothing more will follow. */
  end(): void
}

/** For tests: events that the test itself adds. Only for pipelines that run in the same thread. */
export function memory<T>(events: readonly T[] = []): MemorySource<T> {
  const stored: Uint8Array[] = events.map((event) => bytesOf(event))
  let ended = false
  return {
    kind: 'memory',
    replay: 'replayable',
    partitions: 1,
    describe: 'memory',
    start: 'earliest',
    open: (context) => new MemoryReader(stored, () => ended, context),
    add: (...more) => void stored.push(...more.map((event) => bytesOf(event))),
    addBytes: (bytes) => void stored.push(bytes),
    end: () => {
      ended = true
    },
  }
}

class MemoryReader implements SourceReader {
  readonly #stored: readonly Uint8Array[]
  readonly #ended: () => boolean
  #next: number

  constructor(stored: readonly Uint8Array[], ended: () => boolean, context: SourceContext) {
    this.#stored = stored
    this.#ended = ended
    const start = context.start === 'latest' ? stored.length : 0
    this.#next = context.position === undefined ? start : Number(context.position)
    if (!(this.#next <= stored.length)) {
      throw new MillraceError(
        'MR1061',
        `The memory source has ${stored.length} events and should go on at ${context.position}.`,
      )
    }
  }

  poll(maxEvents: number, maxBytes: number): SourcePoll {
    if (this.#next >= this.#stored.length) {
      return this.#ended() ? { result: 'ended' } : { result: 'idle', againInMs: 10 }
    }
    const events: Uint8Array[] = []
    for (let bytes = 0; events.length < maxEvents && bytes < maxBytes;) {
      const event = this.#stored[this.#next]
      if (event === undefined) break
      this.#next++
      events.push(event)
      bytes += event.length
    }
    return { result: 'events', events, position: String(this.#next) }
  }

  close(): void {
    this.#next = Infinity
  }
}

function bytesOf(event: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(event))
}

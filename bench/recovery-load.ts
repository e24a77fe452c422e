/** The producers of recovery.ts: as much as the engine takes, and a book of what it acknowledged. */
import { Lane } from '../examples/demo/lane.ts'

const LANES = 4

/** How many events of each key were acknowledged. */
export type Book = Uint32Array<ArrayBuffer>

export interface LoadOptions {
  readonly url: string
  /** Names the producers: another load is of other producers. */
  readonly name: string
  /** Event time of all events, so that no window ever closes. */
  readonly at: number
  readonly batch: number
  readonly fillerBytes: number
  readonly book: Book
}

export class Load {
  readonly #options: LoadOptions
  readonly #lanes: Promise<void>[]
  readonly #touched = new Set<number>()
  #next = 0
  #stopping = false
  #onAcknowledged: (() => void) | undefined
  acknowledgedBytes = 0

  constructor(options: LoadOptions) {
    this.#options = options
    // Not always the same keys first.
    this.#next = Math.floor(Math.random() * options.book.length)
    this.#lanes = Array.from({ length: LANES }, (_, lane) => this.#produce(lane))
    // Whoever stops it hears of a failure; until then it is no unhandled one.
    for (const lane of this.#lanes) lane.catch(() => undefined)
  }

  /** Keys of which an event was acknowledged. */
  get touched(): ReadonlySet<number> {
    return this.#touched
  }

  /** Resolves with the next acknowledgement; rejects where a producer has failed. */
  acknowledged(): Promise<void> {
    const next = new Promise<void>((resolve) => (this.#onAcknowledged = resolve))
    return Promise.race([next, ...this.#lanes])
  }

  /** Resolves when every request under way has its answer; somebody must be there to give it. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#lanes)
  }

  async #produce(index: number): Promise<void> {
    const { url, name, batch, fillerBytes, at, book } = this.#options
    const lane = new Lane(`${url}/events`, `${name}-${index}`)
    const rest = `","at":${at},"filler":"${'x'.repeat(fillerBytes)}"}`
    while (!this.#stopping) {
      const first = this.#next
      this.#next = (first + batch) % book.length
      const keys = Array.from({ length: batch }, (_, i) => (first + i) % book.length)
      const body = keys.map((key) => `{"key":"key_${key}${rest}`).join('\n')
      const answer = await lane.send(body)
      if (answer.status !== 200 || !answer.text.includes(`"accepted":${batch}`))
        throw new Error(`${answer.status} ${answer.text.slice(0, 300)}`)
      for (const key of keys) {
        book[key] = (book[key] ?? 0) + 1
        this.#touched.add(key)
      }
      this.acknowledgedBytes += body.length
      this.#onAcknowledged?.()
    }
    lane.close()
  }
}

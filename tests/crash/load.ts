/** Producers that never stop and keep their own books: each repeats a request, unchanged, until it is answered. */
import { Lane } from '../../examples/demo/lane.ts'
import { Ledger, type Sent } from './ledger.ts'

const PAGES = 10
const USERS_PER_LANE = 20

export interface LoadOptions {
  readonly lanes: number
  readonly batch: number
  /** Bytes added to each event, so that segments fill. */
  readonly filler?: number
}

export class Load {
  readonly ledger = new Ledger()
  readonly problems: string[] = []
  /** Requests that were acknowledged. */
  acknowledged = 0
  #stopping = false
  readonly #lanes: Promise<void>[]

  constructor(url: string, { lanes, batch, filler = 0 }: LoadOptions) {
    const more = filler === 0 ? {} : { filler: 'x'.repeat(filler) }
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#produce(url, lane, batch, more))
  }

  /** Resolves when every request under way has its answer; somebody must be there to give it. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#lanes)
  }

  async #produce(url: string, index: number, batch: number, more: object): Promise<void> {
    const lane = new Lane(url, `kill-${index}`)
    let n = 0
    while (!this.#stopping) {
      const events = Array.from({ length: batch }, (): Sent => {
        n++
        const user = `u${index}-${n % USERS_PER_LANE}`
        return { id: `${index}-${n}`, user, page: `/p${n % PAGES}`, n, at: Date.now() }
      })
      const lines = events.map((event) => JSON.stringify({ ...event, ...more }))
      const answer = await lane.send(lines.join('\n'))
      const verdict =
        answer.status === 200 ? (JSON.parse(answer.text) as { accepted: number }) : undefined
      if (verdict?.accepted !== events.length) {
        this.problems.push(`lane ${index}: ${answer.status} ${answer.text.slice(0, 300)}`)
        break
      }
      this.ledger.acknowledge(events)
      this.acknowledged++
    }
    lane.close()
  }
}

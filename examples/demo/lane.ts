/**
 * One idempotent producer over plain HTTP, with one request in flight: a request is repeated, unchanged, until it has an
 * answer, so that a killed engine loses and doubles nothing.
 */
import { Agent, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly text: string
}

export class Lane {
  readonly #url: string
  readonly #producer: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #sequence = -1
  /** Requests that had no answer, or one that says "again later". */
  retries = 0

  constructor(url: string, producer: string) {
    this.#url = url
    this.#producer = producer
  }

  /** Sends NDJSON under the next sequence number; resolves with the answer that is for good. */
  send(body: string): Promise<Answer> {
    this.#sequence++
    return this.#untilAnswered(body)
  }

  /** The last request once more, as a client does that lost the answer. */
  again(body: string): Promise<Answer> {
    return this.#untilAnswered(body)
  }

  close(): void {
    this.#agent.destroy()
  }

  async #untilAnswered(body: string): Promise<Answer> {
    for (;;) {
      const answer = await this.#post(body)
      if (answer !== undefined && answer.status !== 429 && answer.status < 500) return answer
      this.retries++
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  #post(body: string): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const headers = {
        'content-type': 'application/x-ndjson',
        'content-length': Buffer.byteLength(body),
        'millrace-producer': this.#producer,
        'millrace-epoch': '0',
        'millrace-sequence': String(this.#sequence),
      }
      const options = { method: 'POST', agent: this.#agent, timeout: 10_000, headers }
      const outgoing = request(this.#url, options, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', () => resolve(undefined))
        answer.on('end', () => {
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') })
        })
      })
      outgoing.on('timeout', () => outgoing.destroy())
      outgoing.on('error', () => resolve(undefined))
      outgoing.end(body)
    })
  }
}

import type { Env } from '../core/env/env.ts'
import { MillraceError, reviveError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { IngestAnswer, IngestRequest, Verdict } from '../process/ingest-request.ts'

/** What became of the events of one `produce`. Refused ones are listed by their index with the reason. */
export interface Produced {
  readonly accepted: number
  readonly refused: readonly Verdict[]
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const firstWaitMs = 20
const longestWaitMs = 1_000

/**
 * `engine.produce`: events of the same process take the way that HTTP takes, as an idempotent producer. A request that met
 * a dying worker or a full queue is sent again under its number, so that it counts once.
 */
export class LocalProducer {
  readonly #env: Env
  readonly #submit: (ingest: string, request: IngestRequest) => Promise<IngestAnswer>
  readonly #ended: AbortSignal
  readonly #id: string
  readonly #topics = new Map<string, { sequence: number; last: Promise<unknown> }>()

  constructor(
    env: Env,
    ended: AbortSignal,
    submit: (ingest: string, request: IngestRequest) => Promise<IngestAnswer>,
  ) {
    this.#env = env
    this.#ended = ended
    this.#submit = submit
    this.#id = `local-${Buffer.from(env.random.bytes(12)).toString('hex')}`
  }

  /** One request at a time per topic, in the order of the calls. */
  produce(topic: string, events: readonly unknown[]): Promise<Produced> {
    const lane = this.#topics.get(topic) ?? { sequence: 0, last: Promise.resolve() }
    this.#topics.set(topic, lane)
    const mine = lane.last.then(async () => {
      if (events.length === 0) return { accepted: 0, refused: [] }
      const answer = await this.#send(topic, bodyOf(events), lane.sequence)
      // Only events that were judged one by one used up the number; a refusal as a whole did not.
      if (answer.error === undefined) lane.sequence++
      return producedOf(answer)
    })
    lane.last = mine.catch(() => undefined)
    return mine
  }

  async #send(topic: string, bytes: Uint8Array, sequence: number): Promise<Answer> {
    if (this.#ended.aborted) throw new MillraceError('MR2009', 'The engine has ended.')
    const producer = { id: `${this.#id}-${topic}`, epoch: 0, sequence }
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      const answer = answerOf(
        await this.#submit(`ingest/${topic}`, { body: bytes.slice(), format: 'ndjson', producer }),
      )
      if (!answer.again) return answer
      if (this.#ended.aborted)
        throw reviveError(answer.error ?? new MillraceError('MR6004', 'The engine has ended.'))
      await this.#env.timers.sleep(waitMs, this.#ended)
    }
  }
}

interface Answer {
  /** The same request may succeed later. */
  readonly again: boolean
  readonly accepted: number
  readonly verdicts: readonly Verdict[]
  readonly error: { readonly code: string; readonly message: string } | undefined
}

function answerOf({ body, retryAfterSeconds }: IngestAnswer): Answer {
  // Written by this process.
  const json = JSON.parse(decoder.decode(body)) as Partial<Answer>
  const { accepted = 0, verdicts = [], error } = json
  return { again: retryAfterSeconds !== undefined, accepted, verdicts, error }
}

function producedOf({ accepted, verdicts, error }: Answer): Produced {
  if (error !== undefined) throw reviveError(error)
  return { accepted, refused: verdicts }
}

function bodyOf(events: readonly unknown[]): Uint8Array {
  const lines = events.map((event, index) => {
    const line: string | undefined = JSON.stringify(event)
    if (line === undefined)
      throw new MillraceError(
        'MR1001',
        `Event ${index} is ${typeof event}, which JSON cannot hold.`,
      )
    return line
  })
  const bytes = encoder.encode(lines.join('\n'))
  if (bytes.length > limits.bodyInflatedBytes) {
    throw new MillraceError(
      'MR6002',
      `${events.length} events are ${bytes.length} bytes; ${limits.bodyInflatedBytes} fit into one call.`,
    )
  }
  return bytes
}

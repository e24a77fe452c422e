import { createReadStream, existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { realRandom } from '../../core/env/real/random.ts'
import { realTimers } from '../../core/env/real/time.ts'
import { MillraceError, reviveError } from '../../errors.ts'
import { engineClient } from '../engine-client.ts'
import type { EngineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

/** One request holds about this much: large enough to be fast, small enough to be answered soon. */
const batchBytes = 1024 * 1024
const attempts = 20
const { sleep } = realTimers()

export function addProduce(root: Command, { output, stdin, exitWith }: Surroundings): void {
  root
    .command('produce')
    .description(
      'send events to a topic: one JSON value per line, from a file or from standard input',
    )
    .argument('<topic>')
    .argument('[file]', '`-` or nothing for standard input')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print the counts as JSON')
    .addHelpText(
      'after',
      `\nExamples:\n  $ millrace produce orders orders.ndjson\n  $ echo '{"id":1}' | millrace produce orders\n\nEvery batch is sent again until it is answered, and counted once. Exit code 3 when events were refused.`,
    )
    .action(async (topic, file, options) => {
      const input = file === undefined || file === '-' ? stdin : fileInput(file)
      const sender = new Sender(engineClient(resolve(options.dataDir)), topic, (line) =>
        output.note(line),
      )
      await output.progress('Sending', sender.sendAll(input))
      const { accepted, refused, deadLettered } = sender
      const letters = deadLettered > 0 ? `, ${deadLettered} kept as dead letters` : ''
      if (options.json === true) output.json({ accepted, refused, deadLettered })
      else output.line(`${accepted} accepted, ${refused} refused${letters}.`)
      if (refused > 0) exitWith(3)
    })
}

function fileInput(file: string): AsyncIterable<Uint8Array> {
  if (!existsSync(file)) throw new MillraceError('MR6002', `There is no file ${resolve(file)}.`)
  return createReadStream(resolve(file))
}

class Sender {
  readonly #client: EngineClient
  readonly #path: string
  readonly #note: (line: string) => void
  readonly #producer = Buffer.from(realRandom().bytes(16)).toString('hex')
  #sequence = 0
  #lines = 0
  accepted = 0
  refused = 0
  deadLettered = 0

  constructor(client: EngineClient, topic: string, note: (line: string) => void) {
    this.#client = client
    this.#path = `/topics/${encodeURIComponent(topic)}`
    this.#note = note
  }

  /** Whole lines go out as soon as nothing more is waiting to be read, or a batch is full. */
  async sendAll(input: AsyncIterable<Uint8Array>): Promise<void> {
    let rest: Uint8Array = new Uint8Array(0)
    for await (const chunk of input) {
      rest = Buffer.concat([rest, chunk])
      const waiting =
        'readableLength' in input && typeof input.readableLength === 'number'
          ? input.readableLength
          : 0
      const end = rest.lastIndexOf(0x0a) + 1
      if (end === 0 || (waiting > 0 && rest.length < batchBytes)) continue
      await this.#send(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    if (rest.length > 0) await this.#send(rest)
  }

  async #send(body: Uint8Array): Promise<void> {
    const headers = {
      'content-type': 'application/x-ndjson',
      'millrace-producer': this.#producer,
      'millrace-epoch': '1',
      'millrace-sequence': String(this.#sequence++),
    }
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#client.send(this.#path, headers, body)
        if (this.#take(answer.status, answer.body)) break
        if (attempt === attempts) throw refusal(answer.body)
        await sleep(Math.max(answer.retryAfter * 1_000, 100))
      } catch (error) {
        // A retry of the same sequence is answered as the first was, whether that one arrived or not.
        const lost = !(error instanceof MillraceError) || error.code === 'MR6003'
        if (!lost || attempt === attempts || this.#sequence === 1) throw error
        await sleep(Math.min(100 * attempt, 1_000))
      }
    }
    this.#lines += lineCount(body)
  }

  /** Counts an answer; false when the same is to be sent again. */
  #take(status: number, body: unknown): boolean {
    if (status === 429 || status === 503 || status === 507) return false
    const answer = body as Partial<Answer> | undefined
    if (typeof answer?.accepted !== 'number') throw refusal(body)
    this.accepted += answer.accepted
    this.refused += answer.refused ?? 0
    this.deadLettered += answer.deadLettered ?? 0
    for (const verdict of (answer.verdicts ?? []).slice(0, 10)) {
      this.#note(
        `event ${this.#lines + verdict.index + 1}: ${verdict.message ?? verdict.code ?? 'refused'}`,
      )
    }
    return true
  }
}

interface Answer {
  readonly accepted: number
  readonly refused: number
  readonly deadLettered: number
  readonly verdicts: readonly {
    readonly index: number
    readonly code?: string
    readonly message?: string
  }[]
}

function refusal(body: unknown): Error {
  const inner = typeof body === 'object' && body !== null && 'error' in body ? body.error : body
  const { code, message } = (inner ?? {}) as { code?: string; message?: string }
  return code === undefined
    ? new Error(message ?? 'the engine refused the events')
    : reviveError({ code, message: message ?? code })
}

function lineCount(body: Uint8Array): number {
  let lines = 0
  for (let at = body.indexOf(0x0a); at !== -1; at = body.indexOf(0x0a, at + 1)) lines++
  return lines
}

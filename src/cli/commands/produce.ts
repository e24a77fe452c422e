import { createReadStream, existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { realRandom } from '../../core/env/real/random.ts'
import { realTimers } from '../../core/env/real/time.ts'
import { MillraceError, reviveError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import { EventSpans, splitBody } from '../../process/ingest-split.ts'
import { engineClient } from '../engine-client.ts'
import type { EngineClient, SendAnswer } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

/** One request holds about this much: large enough to be fast, small enough to be answered soon. */
const batchBytes = 1024 * 1024
const batchLines = 10_000
const attempts = 20
/** Refused lines that are listed. */
const mostTold = 100
/** Refusals of a body that may pass in pieces: too many events, too large, too many of them refused. */
const splitting: readonly string[] = ['MR1029', 'MR1030', 'MR1050']
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
      try {
        await output.progress('Sending', sender.sendAll(input))
      } catch (error) {
        if (sender.accepted > 0) output.note(`${sender.accepted} were accepted before.`)
        throw error
      }
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
  /** Counts the requests whose events were judged; one that was refused as a whole does not use up its number. */
  #sequence = 0
  #answered = false
  accepted = 0
  refused = 0
  deadLettered = 0
  #told = 0

  constructor(client: EngineClient, topic: string, note: (line: string) => void) {
    this.#client = client
    this.#path = `/topics/${encodeURIComponent(topic)}`
    this.#note = note
  }

  /** Whole lines go out as soon as nothing more is waiting to be read, or a batch is full. */
  async sendAll(input: AsyncIterable<Uint8Array>): Promise<void> {
    let rest: Uint8Array = new Uint8Array(0)
    let line = 1
    const sendFirst = async (end: number): Promise<void> => {
      const bytes = rest.subarray(0, end)
      rest = rest.subarray(end)
      await this.#send({ bytes, line })
      line += lineCount(bytes)
    }
    for await (const chunk of input) {
      rest = Buffer.concat([rest, chunk])
      const waiting =
        'readableLength' in input && typeof input.readableLength === 'number'
          ? input.readableLength
          : 0
      if (waiting > 0 && rest.length < batchBytes) continue
      for (let end = batchEnd(rest); end > 0; end = batchEnd(rest)) await sendFirst(end)
      if (rest.length > limits.bodyBytes) throw tooLong(line)
    }
    if (rest.length > 0) await sendFirst(rest.length)
    if (!this.#answered) await this.#askForTopic()
  }

  async #send(batch: Batch): Promise<void> {
    const spans = new EventSpans()
    // Blank lines alone are nothing to send.
    if ('code' in splitBody(batch.bytes, 'ndjson', Infinity, spans)) return
    const answer = await this.#exchange(batch.bytes)
    const error = errorIn(answer.body)
    if (error === undefined) return this.#take(answer.body, batch, spans)
    if (!splitting.includes(error.code)) throw error
    // Too much at once, and nothing of it was stored.
    const middle = spans.starts[Math.floor(spans.count / 2)] ?? 0
    if (spans.count === 1) {
      this.refused++
      this.#tell(lineOf(batch, spans.starts[0] ?? 0), error.message)
      return
    }
    const [first, second] = [batch.bytes.subarray(0, middle), batch.bytes.subarray(middle)]
    await this.#send({ bytes: first, line: batch.line })
    await this.#send({ bytes: second, line: batch.line + lineCount(first) })
  }

  /** Sends the same until there is an answer that is final. */
  async #exchange(body: Uint8Array): Promise<SendAnswer> {
    const headers = {
      'content-type': 'application/x-ndjson',
      'millrace-producer': this.#producer,
      'millrace-epoch': '1',
      'millrace-sequence': String(this.#sequence),
    }
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#client.send(this.#path, headers, body)
        this.#answered = true
        if (![429, 503, 507].includes(answer.status) || attempt === attempts) return answer
        await sleep(Math.max(answer.retryAfter * 1_000, 100))
      } catch (error) {
        // A retry of the same sequence is answered as the first was, whether that one arrived or not.
        const lost = !(error instanceof MillraceError) || error.code === 'MR6003'
        if (!lost || attempt === attempts || !this.#answered) throw error
        await sleep(Math.min(100 * attempt, 1_000))
      }
    }
  }

  #take(body: unknown, batch: Batch, spans: EventSpans): void {
    const { accepted, refused, deadLettered, verdicts } = body as Answer
    this.#sequence++
    this.accepted += accepted
    this.refused += refused
    this.deadLettered += deadLettered
    for (const { index, message } of verdicts) {
      this.#tell(lineOf(batch, spans.starts[index] ?? 0), message)
    }
  }

  #tell(line: number, message: string): void {
    if (this.#told++ < mostTold) this.#note(`line ${line}: ${message}`)
    else if (this.#told === mostTold + 2) this.#note('More lines are refused than are listed.')
  }

  /** An input without events is sent nowhere, and still the name of its topic may be wrong. */
  async #askForTopic(): Promise<void> {
    const headers = { 'content-type': 'application/x-ndjson' }
    const { status, body } = await this.#client.send(this.#path, headers, new Uint8Array(0))
    const error = errorIn(body)
    if (status === 404 && error !== undefined) throw error
  }
}

/** Whole lines, the last one with or without its end. */
interface Batch {
  readonly bytes: Uint8Array
  /** Number of the first line in the input, from 1. */
  readonly line: number
}

interface Answer {
  readonly accepted: number
  readonly refused: number
  readonly deadLettered: number
  readonly verdicts: readonly { readonly index: number; readonly message: string }[]
}

/** Where the first batch ends, behind a line; 0 where none has ended yet. */
function batchEnd(bytes: Uint8Array): number {
  let end = 0
  for (let lines = 0; lines < batchLines; lines++) {
    const next = bytes.indexOf(0x0a, end) + 1
    if (next === 0 || (end > 0 && next > batchBytes)) break
    end = next
  }
  return end
}

/** What an answer refuses a body with; undefined where the events were judged one by one. */
function errorIn(body: unknown): MillraceError | undefined {
  if (typeof body === 'object' && body !== null && 'accepted' in body) return undefined
  const inner = typeof body === 'object' && body !== null && 'error' in body ? body.error : body
  const { code, message } = (inner ?? {}) as { code?: string; message?: string }
  return reviveError({ code: code ?? 'MR6053', message: message ?? 'The engine gave no reason.' })
}

function tooLong(line: number): MillraceError {
  const what = `Line ${line} of the input has more than ${limits.bodyBytes} bytes.`
  return new MillraceError('MR1020', what)
}

function lineOf({ bytes, line }: Batch, at: number): number {
  return line + lineCount(bytes.subarray(0, at))
}

function lineCount(body: Uint8Array): number {
  let lines = 0
  for (let at = body.indexOf(0x0a); at !== -1; at = body.indexOf(0x0a, at + 1)) lines++
  return lines
}

/** Reads the body of one request: every event is judged first; only then, and all at once, its events are staged. */
import { errorTable } from '../errors.ts'
import { limits } from '../limits.ts'
import { EventReader } from './ingest-event.ts'
import type { EventRules } from './ingest-event.ts'
import type { IngestRequest, Outcome, Refusal, Verdict } from './ingest-request.ts'
import { EventSpans, splitBody } from './ingest-split.ts'
import type { IngestStage } from './ingest-stage.ts'

/** The body is refused as a whole: nothing of it was staged. */
export interface RefusedBody {
  readonly refusal: Refusal
  readonly verdicts?: readonly Verdict[]
}

/** Marks an event that is not staged as a record. */
const refused = -1

export class BodyReader {
  readonly #events: EventReader
  readonly #hasKeys: boolean
  readonly #spans = new EventSpans()
  // Per event of the body: partition (or `refused`), event time, length of the key.
  #partitions = new Int32Array(64)
  #timestamps = new Float64Array(64)
  #keyLengths = new Uint32Array(64)
  #keys = new Uint8Array(1024)
  #keyBytes = 0
  #letters: Uint8Array[] = []
  #letterBytes = 0
  #verdicts: Verdict[] = []

  constructor(rules: EventRules) {
    this.#events = new EventReader(rules)
    this.#hasKeys = rules.key !== undefined
  }

  /** Stages the events of a body for `task`, or refuses all of it. Bounded by the limits of a body. */
  read(
    request: IngestRequest,
    stage: IngestStage,
    task: number,
    onInvalid: 'refuse' | 'deadLetter',
    now: number,
  ): Outcome | RefusedBody {
    const { format } = request
    const body = Buffer.from(request.body.buffer, request.body.byteOffset, request.body.length)
    if (body.length > limits.bodyInflatedBytes) {
      const what = `The body has ${body.length} bytes; at most ${limits.bodyInflatedBytes} are taken.`
      return { refusal: { code: 'MR1030', what } }
    }
    const split = splitBody(body, format, limits.bodyEvents, this.#spans)
    if ('code' in split) return { refusal: split }
    this.#begin(this.#spans.count)
    const tooMuch = this.#judge(body, stage, task, onInvalid, now)
    if (tooMuch !== undefined) return { refusal: tooMuch, verdicts: this.#verdicts }
    this.#stageAll(body, stage, now)
    const deadLettered = this.#letters.length
    const verdicts = this.#verdicts
    const accepted = this.#spans.count - deadLettered - verdicts.length
    stage.count(task, accepted, deadLettered, verdicts.length)
    return { accepted, deadLettered, verdicts, single: split.single }
  }

  #begin(count: number): void {
    if (count > this.#partitions.length) {
      this.#partitions = new Int32Array(count)
      this.#timestamps = new Float64Array(count)
      this.#keyLengths = new Uint32Array(count)
    }
    this.#keyBytes = 0
    this.#letters = []
    this.#letterBytes = 0
    this.#verdicts = []
  }

  #judge(
    body: Uint8Array,
    stage: IngestStage,
    task: number,
    onInvalid: 'refuse' | 'deadLetter',
    now: number,
  ): Refusal | undefined {
    const events = this.#events
    const { starts, ends, count } = this.#spans
    const first = stage.counters(task).read
    for (let i = 0; i < count; i++) {
      const refusal = events.read(body, starts[i]!, ends[i]!, now)
      if (refusal === undefined) {
        this.#partitions[i] = events.partition
        this.#timestamps[i] = events.timestamp
        this.#keyLengths[i] = this.#keepKey(events.key)
        continue
      }
      this.#partitions[i] = refused
      this.#keyLengths[i] = 0
      // An event too large for a record is too large for a letter as well.
      if (onInvalid === 'deadLetter' && refusal.code !== 'MR1020') {
        const letter = stage.encodeLetter(
          task,
          first + i,
          refusal,
          body.subarray(starts[i], ends[i]),
          now,
        )
        this.#letters.push(letter)
        this.#letterBytes += letter.length + 24
      } else {
        const message = `${refusal.what} ${errorTable[refusal.code].advice}`
        this.#verdicts.push({ index: i, code: refusal.code, message })
      }
      const tooMuch = this.#tooMuch()
      if (tooMuch !== undefined) return tooMuch
    }
    return undefined
  }

  #stageAll(body: Uint8Array, stage: IngestStage, now: number): void {
    const { starts, ends, count } = this.#spans
    let keyAt = 0
    for (let i = 0; i < count; i++) {
      const partition = this.#partitions[i]!
      if (partition === refused) continue
      const keyEnd = keyAt + this.#keyLengths[i]!
      const key = this.#hasKeys ? this.#keys.subarray(keyAt, keyEnd) : undefined
      stage.record(partition, this.#timestamps[i]!, key, body.subarray(starts[i], ends[i]), now)
      keyAt = keyEnd
    }
    for (const letter of this.#letters) stage.letter(letter, now)
  }

  #keepKey(key: Uint8Array | undefined): number {
    if (key === undefined) return 0
    const end = this.#keyBytes + key.length
    if (end > this.#keys.length) {
      const grown = new Uint8Array(Math.max(end, this.#keys.length * 2))
      grown.set(this.#keys.subarray(0, this.#keyBytes))
      this.#keys = grown
    }
    this.#keys.set(key, this.#keyBytes)
    this.#keyBytes = end
    return key.length
  }

  #tooMuch(): Refusal | undefined {
    if (this.#verdicts.length > limits.bodyRefusals) {
      return {
        code: 'MR1050',
        what: `More than ${limits.bodyRefusals} events of the body are refused.`,
      }
    }
    if (this.#letterBytes > limits.bodyLetterBytes) {
      return {
        code: 'MR1050',
        what: `The invalid events of the body need more than ${limits.bodyLetterBytes} bytes as dead letters.`,
      }
    }
    return undefined
  }
}

/** Dead letters of one stage on their way into the commit. */
import type { MillraceError } from '../errors.ts'
import { encodeLetter, letterId } from './dead-letters.ts'
import { StagedTopic } from './staging.ts'

/** A record or row that leaves the stream. Watermarks and offsets that there are none of are undefined or not finite. */
export interface Failure {
  readonly task: number
  readonly operator: string
  readonly node: number | undefined
  readonly error: MillraceError
  readonly attempts: number
  readonly topic: string
  /** -1 for rows that windows made. */
  readonly offset: number
  readonly timestamp: number
  readonly watermark: number
  readonly upstream: number
  readonly key: string | undefined
  readonly raw: Uint8Array
  /** Tells rows apart that one record became. */
  readonly index: number
}

export class Letters {
  readonly staged: StagedTopic
  readonly #stage: string
  readonly #planHash: string

  constructor(topic: string, stage: string, planHash: string) {
    this.staged = new StagedTopic(topic, 1)
    this.#stage = stage
    this.#planHash = planHash
  }

  add(failure: Failure, now: number): void {
    const {
      task,
      operator,
      node,
      error,
      attempts,
      topic,
      offset,
      timestamp,
      watermark,
      upstream,
      key,
    } = failure
    const read = offset >= 0
    const id = read
      ? letterId(this.#stage, operator, topic, task, offset, failure.index)
      : `${this.#stage}:${operator}@${task}/${key ?? ''}/${timestamp}`
    const letter = encodeLetter({
      id,
      stage: this.#stage,
      operator,
      node,
      code: error.code,
      message: error.message,
      attempts,
      planHash: this.#planHash,
      topic,
      partition: task,
      offset: read ? offset : undefined,
      timestamp: finite(timestamp),
      watermark: finite(watermark),
      upstream,
      key,
      raw: failure.raw,
      at: now,
    })
    this.staged.add(task, 0, finite(timestamp) ?? now, undefined, letter)
  }
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined
}

/** Dead letters of one stage on their way into the commit. */
import type { MillraceError } from '../errors.ts'
import { encodeLetter, letterId } from './dead-letters.ts'
import type { GroupKey } from './keys.ts'
import { textOf } from './keys.ts'
import { StagedTopic } from './staging.ts'

/** A record or row that leaves the stream. Times that there are none of are not finite. */
export interface Failure {
  readonly task: number
  readonly operator: string
  readonly node: number | undefined
  readonly error: MillraceError
  readonly attempts: number
  /** Where the record was read first. */
  readonly topic: string
  readonly partition: number | undefined
  /** Undefined for rows that windows made. */
  readonly offset: number | undefined
  readonly timestamp: number
  readonly watermark: number
  readonly upstream: number
  readonly key: GroupKey | undefined
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
    const { task, index, error, timestamp, watermark, key: typed, ...rest } = failure
    const { operator, topic, partition, offset } = rest
    const key = typed === undefined ? undefined : textOf(typed)
    const id =
      offset === undefined
        ? `${this.#stage}:${operator}@${task}/${key ?? ''}/${timestamp}`
        : letterId(this.#stage, operator, topic, partition, offset, index)
    const letter = encodeLetter({
      ...rest,
      id,
      stage: this.#stage,
      code: error.code,
      message: error.message,
      planHash: this.#planHash,
      timestamp: finite(timestamp),
      watermark: finite(watermark),
      key,
      typedKey: typeof typed === 'string' ? undefined : typed,
      at: now,
    })
    this.staged.add(task, 0, finite(timestamp) ?? now, undefined, letter)
  }
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined
}

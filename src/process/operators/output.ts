import { partitionOf } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { Selection } from '../batch.ts'
import { keyJson, textOf } from '../keys.ts'
import type { RowBatch } from '../rows.ts'
import type { StagedTopic } from '../staging.ts'
import type { Operator } from './operator.ts'
import { describe } from './operator.ts'

export interface OutputFates {
  emitted(task: number): void
  /** A row that no topic can hold. */
  unwritable(batch: RowBatch, row: number, error: MillraceError): void
}

/** Writes rows to a topic, each to the partition of its key. */
export class TopicOutput implements Operator {
  readonly #topic: StagedTopic
  /** Repartition topics carry typed keys, and what each row is judged late by. */
  readonly #internal: boolean
  readonly #fates: OutputFates
  #scratch = Buffer.allocUnsafe(16 * 1024)

  constructor(topic: StagedTopic, internal: boolean, fates: OutputFates) {
    this.#topic = topic
    this.#internal = internal
    this.#fates = fates
  }

  process(batch: RowBatch, selection: Selection): void {
    const { partitions } = this.#topic
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const task = batch.partition[row]!
      const value = this.#value(batch, row)
      if (value === undefined) continue
      const key = batch.groupKey(row)
      let keyBytes: Uint8Array | undefined
      let partition = task % partitions
      if (key !== undefined) {
        keyBytes = Buffer.from(textOf(key))
        if (keyBytes.length > limits.keyBytes) {
          const what = `The key has ${keyBytes.length} bytes; at most ${limits.keyBytes} are taken.`
          this.#fates.unwritable(batch, row, new MillraceError('MR4013', what))
          continue
        }
        partition = partitionOf(keyBytes, partitions)
        if (this.#internal) keyBytes = Buffer.from(keyJson(key))
      }
      const watermark = this.#internal ? batch.watermark[row]! : undefined
      this.#topic.add(task, partition, batch.timestamp[row]!, keyBytes, value, watermark)
      this.#fates.emitted(task)
    }
  }

  /** The row's JSON: as it was read where nothing changed it. Valid until the next call. */
  #value(batch: RowBatch, row: number): Uint8Array | undefined {
    let bytes: Uint8Array
    if (batch.unchanged) bytes = batch.raw(row)
    else {
      let json: string
      try {
        json = JSON.stringify(batch.values[row])
      } catch (error) {
        const what = `The row cannot be written as JSON: ${describe(error)}.`
        this.#fates.unwritable(batch, row, new MillraceError('MR4003', what))
        return undefined
      }
      if (json.length * 3 > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(json.length * 4)
      bytes = this.#scratch.subarray(0, this.#scratch.write(json, 0, 'utf8'))
    }
    if (bytes.length <= limits.eventBytes) return bytes
    const what = `The row has ${bytes.length} bytes as JSON; a topic takes at most ${limits.eventBytes}.`
    this.#fates.unwritable(batch, row, new MillraceError('MR4013', what))
    return undefined
  }
}

import { must } from '../../core/assert.ts'
import { partitionOf } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { Selection } from '../batch.ts'
import type { GroupKey } from '../keys.ts'
import { keyJson, textOf } from '../keys.ts'
import type { RowBatch } from '../rows.ts'
import type { StagedTopic } from '../staging.ts'
import type { Operator } from './operator.ts'
import { describe } from './operator.ts'

const encoder = new TextEncoder()

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
  readonly #pick: ((value: unknown) => unknown) | undefined
  readonly #keys = new KeyCache()
  #scratch = Buffer.allocUnsafe(16 * 1024)

  /** `pick` makes what is written of a row; default: the whole row. */
  constructor(
    topic: StagedTopic,
    internal: boolean,
    fates: OutputFates,
    pick?: (value: unknown) => unknown,
  ) {
    this.#pick = pick
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
        const placed = this.#keys.get(key, partitions, this.#internal)
        if (placed === undefined) {
          const what = `The key has more than ${limits.keyBytes} bytes.`
          this.#fates.unwritable(batch, row, new MillraceError('MR4013', what))
          continue
        }
        keyBytes = placed.bytes
        partition = placed.partition
      }
      const watermark = this.#internal ? batch.watermark[row]! : undefined
      this.#topic.add(task, partition, batch.timestamp[row]!, keyBytes, value, watermark)
      this.#fates.emitted(task)
    }
  }

  /** The row's JSON: as it was read where nothing changed it. Valid until the next call. */
  #value(batch: RowBatch, row: number): Uint8Array | undefined {
    let bytes: Uint8Array
    const written = this.#pick === undefined ? batch.written(row) : undefined
    if (written !== undefined) bytes = written
    else {
      const value = batch.plain(row)
      const json = jsonOf(this.#pick === undefined ? value : this.#pick(value))
      if (json instanceof MillraceError) {
        this.#fates.unwritable(batch, row, json)
        return undefined
      }
      if (json.length * 3 > this.#scratch.length)
        this.#scratch = Buffer.allocUnsafe(json.length * 4)
      bytes = this.#scratch.subarray(0, this.#scratch.write(json, 0, 'utf8'))
    }
    if (bytes.length <= limits.eventBytes) return bytes
    const what = `The row has ${bytes.length} bytes as JSON; a topic takes at most ${limits.eventBytes}.`
    this.#fates.unwritable(batch, row, new MillraceError('MR4013', what))
    return undefined
  }
}

/** What JSON cannot hold may throw (a BigInt, a circle), or be nothing at all (a `toJSON` that says so). */
function jsonOf(value: unknown): string | MillraceError {
  try {
    const json = JSON.stringify(value) as string | undefined
    if (json !== undefined) return json
    return new MillraceError('MR4003', 'The row has no JSON: its toJSON gives nothing.')
  } catch (error) {
    const what = `The row cannot be written as JSON: ${describe(error)}.`
    return new MillraceError('MR4003', what)
  }
}

export interface PlacedKey {
  readonly bytes: Uint8Array
  readonly partition: number
}

const mostCached = 8_192

/** Keys come again and again: their bytes and partitions are worth remembering. */
class KeyCache {
  readonly #strings = new Map<string, PlacedKey>()

  /** Undefined when the key is too long for a topic. */
  get(key: GroupKey, partitions: number, internal: boolean): PlacedKey | undefined {
    if (typeof key !== 'string') return place(key, partitions, internal)
    const known = this.#strings.get(key)
    if (known !== undefined) return known
    const placed = place(key, partitions, internal)
    if (placed === undefined) return undefined
    if (this.#strings.size === mostCached) this.#strings.clear()
    this.#strings.set(key, placed)
    return placed
  }
}

/** A key of an internal topic that is not too long. */
export function placedKey(key: GroupKey, partitions: number): PlacedKey {
  return must(place(key, partitions, true), 'the key was measured')
}

function place(key: GroupKey, partitions: number, internal: boolean): PlacedKey | undefined {
  const text = encoder.encode(textOf(key))
  if (text.length > limits.keyBytes) return undefined
  return {
    bytes: internal ? encoder.encode(keyJson(key)) : text,
    partition: partitionOf(text, partitions),
  }
}

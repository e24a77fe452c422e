/** From the bytes of a record to what a sink gets. */
import { decodeUtf8 } from '../core/utf8.ts'
import { parseJson } from '../schema/json-parse.ts'
import { decodeReplay } from './dead-letters.ts'

/** What a record of the topic is for the sink. */
export interface DecodedRow {
  readonly timestamp: number
  readonly key: string | undefined
  /** The row's own bytes; undefined for a tombstone. */
  readonly raw: Uint8Array | undefined
  /** The row, undefined for a tombstone, or what is wrong with it. */
  readonly row: Readonly<Record<string, unknown>> | string | undefined
  /** How often it will have been tried after this time. */
  readonly attempts: number
  /** Where it was read first, if that was not here. */
  readonly origin?: Origin
}

/** Place of a record. */
export interface Origin {
  readonly topic: string
  readonly partition: number | undefined
  readonly offset: number | undefined
}

export type Decode = (
  timestamp: number,
  key: string | undefined,
  value: Uint8Array | undefined,
) => DecodedRow

/** A record of an output topic or of a stream: its value is the row. */
export const decodeRecord: Decode = (timestamp, key, raw) => {
  return { timestamp, key, raw, row: raw === undefined ? undefined : rowIn(raw), attempts: 1 }
}

/** A record of a replay topic: its value holds the dead letter's row, and a letter without bytes was a tombstone. */
export const decodeReplayed: Decode = (timestamp, key, value) => {
  const replay = value === undefined ? undefined : decodeReplay(value)
  if (replay === undefined) {
    return { timestamp, key, raw: value, row: 'It is no dead letter.', attempts: 1 }
  }
  const { topic, partition, offset } = replay
  const raw = replay.raw.length === 0 ? undefined : replay.raw
  return {
    timestamp: replay.timestamp ?? timestamp,
    key: replay.key,
    raw,
    row: raw === undefined ? undefined : rowIn(raw),
    attempts: replay.attempts + 1,
    origin: { topic, partition, offset },
  }
}

/** The row, or what is wrong with it. */
function rowIn(bytes: Uint8Array): Readonly<Record<string, unknown>> | string {
  const text = decodeUtf8(bytes)
  if (text === undefined) return 'The value is not UTF-8.'
  try {
    const value: unknown = parseJson(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>
    }
    return `The value is ${kindOf(value)}, not an object.`
  } catch (error) {
    return `The value is not JSON: ${error instanceof Error ? error.message : String(error)}.`
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

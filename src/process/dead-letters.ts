/**
 * The one format of dead letters. They are JSON records in the topic `<pipeline>.dead-letters`, written in the same
 * commit as the position behind the failed record. What happened to a letter later is a record in the same topic that
 * names the letter's offset: nothing in a log is changed in place.
 */
import { limits } from '../limits.ts'
import type { GroupKey } from './keys.ts'

export interface DeadLetter {
  /** Same failure, same id: see `letterId`. */
  readonly id: string
  /** Stage id, e.g. `clickstream/main`; for a sink its deliver id, for ingest `ingest/<topic>`. */
  readonly stage: string
  /** The operator (or sink) that failed; replay enters again at its input. */
  readonly operator: string
  /** The operator's node id in the plan with `planHash`; undefined where no operator failed (ingest). */
  readonly node: number | undefined
  readonly code: string
  readonly message: string
  /** How often it was tried, the last time and those before replays included. */
  readonly attempts: number
  readonly planHash: string
  /** Where the record was read first, or, for ingest, the topic it was meant for (no partition and offset then). */
  readonly topic: string
  readonly partition: number | undefined
  /** Undefined for rows that windows made, too. */
  readonly offset: number | undefined
  /** Event time in milliseconds; undefined where it was not known yet. */
  readonly timestamp: number | undefined
  /** What the record was judged late by; undefined before the first watermark. */
  readonly watermark: number | undefined
  readonly upstream: number | undefined
  readonly key: string | undefined
  /** The key itself where it is not a string: 5 and "5" are two groups. */
  readonly typedKey?: GroupKey | undefined
  /** The bytes at the failed operator's input: what was read, or the row's JSON where operators before changed it. */
  readonly raw: Uint8Array
  /** Wall time of the failure, milliseconds. */
  readonly at: number
}

export interface Resolution {
  /** Offset of the letter in the dead-letter topic. */
  readonly resolves: number
  readonly how: 'replayed' | 'dropped'
  readonly at: number
}

export type LetterRecord =
  | { readonly kind: 'letter'; readonly letter: DeadLetter }
  | { readonly kind: 'resolution'; readonly resolution: Resolution }

/** Value of a record in `<pipeline>.<stage>.replay`: a letter on its way back to the operator that failed. */
export interface ReplayRecord {
  /** The operator's name, by which it is found when the pipeline has changed; undefined in records of old versions. */
  readonly operator?: string | undefined
  /** Its node id when it failed; -1 where the pipeline had it no more when it came back. */
  readonly node: number
  /** The letter's raw bytes. */
  readonly raw: Uint8Array
  /** The letter's own: failing again, it is a letter of the same record. */
  readonly topic: string
  readonly partition: number | undefined
  readonly offset: number | undefined
  readonly timestamp: number | undefined
  readonly watermark: number | undefined
  readonly upstream: number | undefined
  readonly key: string | undefined
  readonly typedKey?: GroupKey | undefined
  /** Offset of the letter in the dead-letter topic. */
  readonly letter: number
  /** Attempts so far. */
  readonly attempts: number
}

/** Names a failure by its origin; `index` tells rows apart that one record became (flatMap). */
export function letterId(
  stage: string,
  operator: string,
  topic: string,
  partition: number | undefined,
  offset: number | undefined,
  index = 0,
): string {
  return `${stage}:${operator}@${topic}/${partition}/${offset}${index === 0 ? '' : `.${index}`}`
}

/** The key with the type it had. */
export function keyOf({
  key,
  typedKey,
}: Pick<ReplayRecord, 'key' | 'typedKey'>): GroupKey | undefined {
  return typedKey ?? key
}

const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const longestMessage = 2_048

export function encodeLetter(letter: DeadLetter): Uint8Array {
  const { raw, ...rest } = letter
  const message = letter.message.slice(0, longestMessage)
  return encoder.encode(JSON.stringify({ ...rest, message, ...encodeRaw(raw) }))
}

export function encodeResolution(resolution: Resolution): Uint8Array {
  return encoder.encode(JSON.stringify(resolution))
}

/** Reads a record of a dead-letter topic; undefined when the bytes are none. */
export function decodeLetterRecord(bytes: Uint8Array): LetterRecord | undefined {
  const json = parse(bytes)
  if (json === undefined) return undefined
  const how = json['how']
  if (how === 'replayed' || how === 'dropped') {
    const resolves = number(json, 'resolves')
    if (resolves === undefined) return undefined
    return { kind: 'resolution', resolution: { resolves, how, at: number(json, 'at') ?? 0 } }
  }
  const raw = decodeRaw(json)
  if (raw === undefined || text(json, 'id') === undefined) return undefined
  return { kind: 'letter', letter: { ...plain(json), raw } }
}

export function encodeReplay(record: ReplayRecord): Uint8Array {
  const { raw, ...rest } = record
  return encoder.encode(JSON.stringify({ ...rest, ...encodeRaw(raw) }))
}

export function decodeReplay(bytes: Uint8Array): ReplayRecord | undefined {
  const json = parse(bytes)
  const raw = json === undefined ? undefined : decodeRaw(json)
  const node = json === undefined ? undefined : number(json, 'node')
  const letter = json === undefined ? undefined : number(json, 'letter')
  if (json === undefined || raw === undefined || node === undefined || letter === undefined)
    return undefined
  return {
    operator: text(json, 'operator'),
    node,
    raw,
    letter,
    topic: text(json, 'topic') ?? '',
    partition: number(json, 'partition'),
    offset: number(json, 'offset'),
    timestamp: number(json, 'timestamp'),
    watermark: number(json, 'watermark'),
    upstream: number(json, 'upstream'),
    key: text(json, 'key'),
    typedKey: typedKey(json),
    attempts: number(json, 'attempts') ?? 1,
  }
}

/** Letters that nobody resolved yet, by their offsets, after reading the topic's records in order. */
export class OpenLetters {
  readonly #open = new Map<number, DeadLetter>()

  get letters(): ReadonlyMap<number, DeadLetter> {
    return this.#open
  }

  add(offset: number, record: LetterRecord): void {
    if (record.kind === 'letter') this.#open.set(offset, record.letter)
    else this.#open.delete(record.resolution.resolves)
  }
}

/** Text where it is UTF-8 and not longer for it, else base64: a letter stays within 4/3 of its raw bytes. */
function encodeRaw(raw: Uint8Array): { raw: string } | { rawBase64: string } {
  const kept = raw.length > limits.eventBytes ? raw.subarray(0, limits.eventBytes) : raw
  const base64Length = Math.ceil(kept.length / 3) * 4
  try {
    const string = strict.decode(kept)
    if (string.length < 256 || JSON.stringify(string).length <= base64Length + 256)
      return { raw: string }
  } catch {
    // Not UTF-8: the bytes themselves must survive.
  }
  return { rawBase64: Buffer.from(kept.buffer, kept.byteOffset, kept.length).toString('base64') }
}

function decodeRaw(json: Record<string, unknown>): Uint8Array | undefined {
  const string = text(json, 'raw')
  if (string !== undefined) return encoder.encode(string)
  const base64 = text(json, 'rawBase64')
  return base64 === undefined ? undefined : new Uint8Array(Buffer.from(base64, 'base64'))
}

function plain(json: Record<string, unknown>): Omit<DeadLetter, 'raw'> {
  return {
    id: text(json, 'id') ?? '',
    stage: text(json, 'stage') ?? '',
    operator: text(json, 'operator') ?? '',
    node: number(json, 'node'),
    code: text(json, 'code') ?? '',
    message: text(json, 'message') ?? '',
    attempts: number(json, 'attempts') ?? 1,
    planHash: text(json, 'planHash') ?? '',
    topic: text(json, 'topic') ?? '',
    partition: number(json, 'partition'),
    offset: number(json, 'offset'),
    timestamp: number(json, 'timestamp'),
    watermark: number(json, 'watermark'),
    upstream: number(json, 'upstream'),
    key: text(json, 'key'),
    typedKey: typedKey(json),
    at: number(json, 'at') ?? 0,
  }
}

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(strict.decode(bytes))
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** Infinities become null in JSON, and read as undefined: "none yet". So does 1e999, which JSON.parse makes one. */
function number(json: Record<string, unknown>, name: string): number | undefined {
  const value = json[name]
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function typedKey(json: Record<string, unknown>): GroupKey | undefined {
  const value = json['typedKey']
  const isKey = Number.isFinite(value) || typeof value === 'boolean' || Array.isArray(value)
  return isKey ? (value as GroupKey) : undefined
}

function text(json: Record<string, unknown>, name: string): string | undefined {
  const value = json[name]
  return typeof value === 'string' ? value : undefined
}

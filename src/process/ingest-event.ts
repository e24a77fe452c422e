/** Judges one event: JSON, schema, key, time. What it finds stays on the reader until the next `read`. */
import { partitionOf } from '../core/hash.ts'
import { limits } from '../limits.ts'
import { parseEvent } from '../schema/json-gate.ts'
import type { Schema } from '../schema/schema.ts'
import type { Refusal } from './ingest-request.ts'
import { readTime } from './ingest-time.ts'

/** What a stream or table node says about its events. */
export interface EventRules {
  readonly schema: Schema
  readonly key: { readonly path: string } | undefined
  /** Path of the event time; undefined = time of arrival. */
  readonly time: string | undefined
  /** Event times later than the wall clock plus this are refused. */
  readonly futureMs: number
  readonly partitions: number
}

type Get = (event: unknown) => unknown

export class EventReader {
  /** The event's key; valid until the next `read`. Undefined where the stream has none. */
  key: Uint8Array | undefined
  timestamp = 0
  partition = 0

  readonly #rules: EventRules
  readonly #getKey: Get | undefined
  readonly #keyName: string
  readonly #getTime: Get | undefined
  readonly #keyScratch = new Uint8Array(limits.keyBytes)
  /** Events without a key go round the partitions. */
  #keyless = 0

  constructor(rules: EventRules) {
    this.#rules = rules
    this.#getKey = rules.key === undefined ? undefined : pathGetter(rules.key.path)
    this.#keyName = `The key field ${rules.key?.path}`
    this.#getTime = rules.time === undefined ? undefined : pathGetter(rules.time)
  }

  /**
   * Undefined when the event is good; else why not. `now` is the wall clock in milliseconds. Pass a Buffer: any other
   * Uint8Array costs a view of it for each event.
   */
  read(bytes: Uint8Array, start: number, end: number, now: number): Refusal | undefined {
    const parsed = parseEvent(bytes, start, end)
    if (!parsed.ok) return parsed
    const event = parsed.value
    return this.#check(event) ?? this.#readKey(event) ?? this.#readTime(event, now)
  }

  #check(event: unknown): Refusal | undefined {
    const problem = this.#rules.schema.check(event)
    return problem === undefined
      ? undefined
      : { code: 'MR1021', what: `The schema says otherwise: ${sentence(problem)}` }
  }

  #readKey(event: unknown): Refusal | undefined {
    if (this.#getKey === undefined) {
      this.key = undefined
      this.partition = this.#keyless++ % this.#rules.partitions
      return undefined
    }
    const value = this.#getKey(event)
    const name = this.#keyName
    if (value === undefined || value === null)
      return { code: 'MR1022', what: `${name} is missing.` }
    const text = keyText(value)
    if (text === undefined)
      return {
        code: 'MR1023',
        what: `${name} is ${shown(value)}, which cannot be a key.`,
      }
    const length = this.#encode(text)
    if (length < 0) {
      return { code: 'MR1024', what: `${name} has more than ${limits.keyBytes} bytes.` }
    }
    this.key = this.#keyScratch.subarray(0, length)
    this.partition = partitionOf(this.key, this.#rules.partitions)
    return undefined
  }

  #readTime(event: unknown, now: number): Refusal | undefined {
    if (this.#getTime === undefined) {
      this.timestamp = now
      return undefined
    }
    const name = `The time field ${this.#rules.time}`
    const value = this.#getTime(event)
    if (value === undefined || value === null)
      return { code: 'MR1025', what: `${name} is missing.` }
    const timestamp = readTime(value)
    if (Number.isNaN(timestamp))
      return { code: 'MR1026', what: `${name} is ${shown(value)}, which is no time.` }
    if (timestamp > now + this.#rules.futureMs) {
      const ahead = Math.round((timestamp - now) / 1000)
      return {
        code: 'MR1027',
        what: `${name} is ${shown(value)}, ${ahead} s ahead of the clock here; at most ${this.#rules.futureMs / 1000} s are taken.`,
      }
    }
    this.timestamp = timestamp
    return undefined
  }

  /** UTF-8 of `text` into the scratch; -1 when it does not fit. */
  #encode(text: string): number {
    const scratch = this.#keyScratch
    const length = text.length
    if (length > scratch.length) return -1
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        const { read, written } = encoder.encodeInto(text, scratch)
        return read === length ? written : -1
      }
      scratch[i] = code
    }
    return length
  }
}

const encoder = new TextEncoder()
/** With the `u` flag this matches lone surrogates only. */
const surrogate = /\p{Surrogate}/u

/** A string as it is, a number or boolean as JavaScript writes it, an array as JSON; undefined where the value cannot be a key. */
export function keyText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return surrogate.test(value) ? undefined : value
    case 'boolean':
      return String(value)
    case 'number':
      // Beyond 2^53 different integers in the JSON are one number here, and two keys would become one.
      return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
        ? String(value)
        : undefined
    case 'object':
      return Array.isArray(value) && value.every((part) => keyPart(part))
        ? JSON.stringify(value)
        : undefined
    default:
      return undefined
  }
}

function keyPart(value: unknown): boolean {
  return value === null || (!Array.isArray(value) && keyText(value) !== undefined)
}

/** Reads own properties along a dotted path; undefined where it leads nowhere. */
export function pathGetter(path: string): Get {
  const names = path.split('.')
  const only = names[0]
  if (names.length === 1 && only !== undefined) return (event) => own(event, only)
  return (event) => {
    let at = event
    for (const name of names) at = own(at, name)
    return at
  }
}

function own(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

/** A value in an error message: short, and on one line. */
function shown(value: unknown): string {
  const line = JSON.stringify(value).replace(/\p{Cc}|\p{Surrogate}/gu, ' ')
  return line.length > 80 ? `${line.slice(0, 80)}…` : line
}

/** What a validator says can quote the event at any length; answers are kept for retries, so it is cut. */
function sentence(text: string): string {
  if (text.length > 300) return `${text.slice(0, 300)}….`
  return text.endsWith('.') ? text : `${text}.`
}

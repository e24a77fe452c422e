import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { hasEscapedKey, rebuild } from './json-parse.ts'
import type { Rebuilt } from './json-parse.ts'

export type Parsed =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false
      readonly code: ErrorCode
      /** A full sentence that names the value and the limit. */
      readonly what: string
    }

/**
 * The value of the JSON in `bytes[start, end)`, or why it is refused: larger than `limits.eventBytes` (MR1020), not
 * UTF-8 (MR1002), not JSON (MR1001), nested deeper than `limits.jsonDepth` (MR1003), a key `__proto__` (MR1004), or
 * a key twice in one object (MR1005). Otherwise it is what JSON.parse gives.
 *
 * Pass a Buffer where there is one: any other Uint8Array costs a view of it for each event.
 */
export function parseEvent(bytes: Uint8Array, start: number, end: number): Parsed {
  if (end - start > limits.eventBytes) {
    const what = `The event has ${end - start} bytes; at most ${limits.eventBytes} are taken.`
    return { ok: false, code: 'MR1020', what }
  }
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const text = buffer.toString('utf8', start, end)
  // Decoding puts U+FFFD where the bytes are invalid. Text without any needs no second look.
  if (text.includes('\uFFFD') && !isUtf8(buffer.subarray(start, end))) {
    return { ok: false, code: 'MR1002', what: 'The event contains bytes that are not UTF-8.' }
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { ok: false, code: 'MR1001', what: `The event is not valid JSON: ${reason(error)}.` }
  }
  const escapes = text.includes('\\')
  if (escapes && hasEscapedKey(text)) return judgeKeys(rebuild(text))
  const strings = typeof value === 'string' ? 1 : stringsIn(value, 1)
  if (flaw !== undefined) return refuseFlaw(flaw)
  const quotes = escapes ? quotesAmongEscapes(buffer, start, end) : quotesIn(buffer, start, end)
  // JSON.parse drops all but the last of equal keys without a word; then fewer strings arrive than were written.
  return quotes === 2 * strings ? { ok: true, value } : judgeKeys(rebuild(text))
}

/** The verdict on a value that was put together key by key, so that no count is needed. */
function judgeKeys({ value, twice }: Rebuilt): Parsed {
  stringsIn(value, 1)
  if (flaw !== undefined) return refuseFlaw(flaw)
  if (twice === undefined) return { ok: true, value }
  const what = `The event has the key ${JSON.stringify(twice.slice(0, 80))} twice in one object.`
  return { ok: false, code: 'MR1005', what }
}

type Flaw = 'deep' | 'proto'

function refuseFlaw(found: Flaw): Parsed {
  flaw = undefined
  if (found === 'proto') {
    return { ok: false, code: 'MR1004', what: 'The event has a key __proto__.' }
  }
  const what = `The event is nested deeper than ${limits.jsonDepth} levels.`
  return { ok: false, code: 'MR1003', what }
}

/** What `stringsIn` met, kept here so that the walk returns a plain number. */
let flaw: Flaw | undefined

/** The keys and string values in `value`; on a flaw it stops early and the number means nothing. */
function stringsIn(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > limits.jsonDepth) {
    flaw = 'deep'
    return 0
  }
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) {
      if (typeof item === 'string') count += 1
      else if (typeof item === 'object') count += stringsIn(item, depth + 1)
    }
    return count
  }
  const object = value as Record<string, unknown>
  // Faster than Object.keys here by a third; the value is JSON.parse's own, so every key is an own one.
  for (const key in object) {
    if (key === '__proto__') {
      flaw ??= 'proto'
      return 0
    }
    count += 1
    const item = object[key]
    if (typeof item === 'string') count += 1
    else if (typeof item === 'object') count += stringsIn(item, depth + 1)
  }
  return count
}

/** Quotes in text without escapes. A branch in the loop would make it three times as slow, floats half as slow again. */
function quotesIn(bytes: Uint8Array, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) {
    count = (count + ((((bytes[i] as number) ^ 0x22) - 1) >>> 31)) | 0
  }
  return count
}

/** Quotes that begin or end a string: a backslash is only ever inside one, and hides the byte behind it. */
function quotesAmongEscapes(bytes: Uint8Array, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i]
    if (byte === 0x22) count += 1
    else if (byte === 0x5c) i += 1
  }
  return count
}

/** JSON.parse's own words, which quote the event: on one line, without what a terminal would obey. */
function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\p{Cc}/gu, ' ').slice(0, 160)
}

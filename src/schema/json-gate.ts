import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'

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
  return judge(value, text, buffer, start, end)
}

/**
 * JSON.parse keeps the last of equal keys and drops the others without a word. So the strings in the text, keys and
 * values, are counted by their quotes, and compared with those that arrived in the value.
 */
function judge(value: unknown, text: string, bytes: Buffer, start: number, end: number): Parsed {
  flaw = undefined
  const arrived = typeof value === 'string' ? 1 : stringsIn(value, 1)
  if (flaw === 'deep') {
    const what = `The event is nested deeper than ${limits.jsonDepth} levels.`
    return { ok: false, code: 'MR1003', what }
  }
  if (flaw === 'proto') {
    return { ok: false, code: 'MR1004', what: 'The event has a key __proto__.' }
  }
  const quotes = text.includes('\\')
    ? quotesAmongEscapes(bytes, start, end)
    : quotesIn(bytes, start, end)
  if (quotes !== 2 * arrived) {
    const key = duplicateKey(text)
    if (key !== undefined) {
      const what = `The event has the key ${JSON.stringify(key.slice(0, 80))} twice in one object.`
      return { ok: false, code: 'MR1005', what }
    }
  }
  return { ok: true, value }
}

/** What `stringsIn` met, kept here so that the walk returns a plain number. */
let flaw: 'deep' | 'proto' | undefined

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

/** Quotes in text without escapes. Without a branch: one in the loop costs three times as much. */
function quotesIn(bytes: Uint8Array, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) count += (((bytes[i] as number) ^ 0x22) - 1) >>> 31
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

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g

/** The first key that its object has already, in valid JSON. Slow, and only asked when there should be one. */
function duplicateKey(text: string): string | undefined {
  const objects: Set<string>[] = []
  let last = ''
  for (const [piece] of text.matchAll(token)) {
    if (piece === '{' || piece === '[') objects.push(new Set())
    else if (piece === '}' || piece === ']') objects.pop()
    else if (piece === ':') {
      const key = JSON.parse(last) as string
      const keys = objects.at(-1)
      if (keys?.has(key) === true) return key
      keys?.add(key)
    }
    last = piece
  }
  return undefined
}

/** JSON.parse's own words, which quote the event: on one line, without what a terminal would obey. */
function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text
    .toWellFormed()
    .replace(/\p{Cc}/gu, ' ')
    .slice(0, 160)
}

/** Finds the events in a body: where each begins and ends. What is between the ends is judged later, event by event. */
import type { BodyFormat, Refusal } from './ingest-request.ts'

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
const newline = 0x0a

/** Begin and end of events in a body. Reused from body to body. */
export class EventSpans {
  count = 0
  starts = new Int32Array(64)
  ends = new Int32Array(64)

  push(start: number, end: number): void {
    if (this.count === this.starts.length) {
      this.starts = doubled(this.starts)
      this.ends = doubled(this.ends)
    }
    this.starts[this.count] = start
    this.ends[this.count++] = end
  }
}

/** Fills `into`. `single`: the body is one event by itself, not a list with one event. */
export function splitBody(
  body: Uint8Array,
  format: BodyFormat,
  maxEvents: number,
  into: EventSpans,
): { readonly single: boolean } | Refusal {
  into.count = 0
  const from = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0
  if (format === 'ndjson') return splitLines(body, from, maxEvents, into)
  const start = skipSpace(body, from, body.length)
  const end = trimEnd(body, start, body.length)
  if (start === end) return { code: 'MR1028', what: 'The body is empty.' }
  if (body[start] === openBracket) return splitArray(body, start + 1, end, maxEvents, into)
  into.push(start, end)
  return { single: true }
}

function splitLines(
  body: Uint8Array,
  from: number,
  maxEvents: number,
  into: EventSpans,
): { single: boolean } | Refusal {
  let at = from
  while (at < body.length) {
    const found = body.indexOf(newline, at)
    const lineEnd = found < 0 ? body.length : found
    const start = skipSpace(body, at, lineEnd)
    if (start < lineEnd) {
      if (into.count === maxEvents) return tooMany(maxEvents)
      into.push(start, trimEnd(body, start, lineEnd))
    }
    at = lineEnd + 1
  }
  if (into.count === 0) return { code: 'MR1028', what: 'The body is empty.' }
  return { single: false }
}

function splitArray(
  body: Uint8Array,
  from: number,
  end: number,
  maxEvents: number,
  into: EventSpans,
): { single: boolean } | Refusal {
  let at = skipSpace(body, from, end)
  if (body[at] === closeBracket) return behindArray(at, end)
  for (;;) {
    const start = skipSpace(body, at, end)
    const stop = skipValue(body, start, end)
    if (stop === end)
      return { code: 'MR1028', what: `The array does not end (${end} bytes were read).` }
    const valueEnd = trimEnd(body, start, stop)
    if (valueEnd === start) {
      return {
        code: 'MR1028',
        what: `Element ${into.count} of the array is empty, at byte ${start}.`,
      }
    }
    if (into.count === maxEvents) return tooMany(maxEvents)
    into.push(start, valueEnd)
    if (body[stop] === closeBracket) return behindArray(stop, end)
    at = stop + 1
  }
}

function behindArray(at: number, end: number): { single: boolean } | Refusal {
  if (at + 1 === end) return { single: false }
  return { code: 'MR1028', what: `The array ends at byte ${at} and something follows it.` }
}

/** The comma or bracket behind a value; `end` where there is none. Only strings and nesting matter here. */
function skipValue(body: Uint8Array, from: number, end: number): number {
  let depth = 0
  for (let at = from; at < end; at++) {
    switch (body[at]) {
      case quote:
        at = stringEnd(body, at + 1, end)
        break
      case openBrace:
      case openBracket:
        depth++
        break
      case closeBrace:
        depth--
        break
      case closeBracket:
        if (depth <= 0) return at
        depth--
        break
      case comma:
        if (depth <= 0) return at
        break
      default:
    }
  }
  return end
}

/** The closing quote of a string; `end` where there is none. */
function stringEnd(body: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    const byte = body[at]
    if (byte === quote) return at
    at += byte === backslash ? 2 : 1
  }
  return end
}

function skipSpace(body: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && isSpace(body[at]!)) at++
  return at
}

function trimEnd(body: Uint8Array, from: number, end: number): number {
  let at = end
  while (at > from && isSpace(body[at - 1]!)) at--
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0d || byte === newline || byte === 0x09
}

function tooMany(maxEvents: number): Refusal {
  return { code: 'MR1029', what: `The body has more than ${maxEvents} events.` }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const out = new Int32Array(array.length * 2)
  out.set(array)
  return out
}

/** Walking over the bytes of valid JSON. Whatever the bytes are, nothing behind `end` is looked at, and every walk ends. */
import { kinds } from './scanner.ts'

export const quote = 0x22
export const backslash = 0x5c
export const openBrace = 0x7b
export const closeBrace = 0x7d
export const openBracket = 0x5b
export const closeBracket = 0x5d
export const comma = 0x2c
export const colon = 0x3a

export function skipSpace(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && bytes[at]! <= 0x20) at++
  return at
}

/** The closing quote of the string that begins behind `from - 1`; -1 where there is none. */
export function stringEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    const byte = bytes[at]
    if (byte === quote) return at
    if (byte === backslash) at++
  }
  return -1
}

/** What the bytes of a string are. */
export function stringKind(bytes: Uint8Array, from: number, end: number): number {
  let kind: number = kinds.ascii
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!
    if (byte === backslash) return kinds.escaped
    if (byte >= 0x80) kind = kinds.text
  }
  return kind
}

/** What a value that is no string is, by its first byte; absent where it is none. */
export function kindOf(first: number | undefined): number {
  if (first === undefined) return kinds.absent
  if ((first >= 0x30 && first <= 0x39) || first === 0x2d) return kinds.number
  switch (first) {
    case 0x74:
      return kinds.true
    case 0x66:
      return kinds.false
    case 0x6e:
      return kinds.null
    case openBrace:
      return kinds.object
    case openBracket:
      return kinds.array
    default:
      return kinds.absent
  }
}

export function scalarEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && !isEnd(bytes[at]!)) at++
  return at
}

/** Behind a value of any kind; -1 where it does not end before `end`. */
export function valueEnd(bytes: Uint8Array, from: number, end: number): number {
  let depth = 0
  for (let at = from; at < end;) {
    const byte = bytes[at]!
    if (byte === quote) {
      const stop = stringEnd(bytes, at + 1, end)
      if (stop < 0) return -1
      at = stop + 1
    } else if (byte === openBrace || byte === openBracket) {
      depth++
      at++
    } else if (byte === closeBrace || byte === closeBracket) {
      if (depth === 0) return -1
      depth--
      at++
    } else if (depth === 0) {
      const stop = scalarEnd(bytes, at, end)
      return stop > at ? stop : -1
    } else {
      at++
      continue
    }
    if (depth === 0) return at
  }
  return -1
}

function isEnd(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || byte <= 0x20
}

import { isUtf8 } from 'node:buffer'

const encoder = new TextEncoder()

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text of `bytes[start, end)`, or undefined where it is not valid UTF-8. Nothing is replaced or left out. */
export function decodeUtf8(bytes: Uint8Array, start = 0, end = bytes.length): string | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
  return isUtf8(view) ? view.toString('utf8') : undefined
}

/** As `decodeUtf8`, for bytes already known to be valid: invalid ones would be silently replaced. */
export function decodeValidUtf8(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}

/**
 * JSON that tells when its bytes are not those that were written: the value in one line, and in the next the XXH64 of its
 * bytes. Text without that line is of a version that wrote no checksum, and taken as it is.
 */
import { xxh64 } from './hash.ts'

export function encodeCheckedJson(value: unknown): Uint8Array {
  const line = new TextEncoder().encode(JSON.stringify(value))
  return Buffer.concat([line, Buffer.from(`\n{"xxh64":"${hashOf(line)}"}\n`)])
}

const trailer = /\n\{"xxh64":"([0-9a-f]{16})"\}\n$/

/** Throws an Error, with the end of a sentence that begins with the name of the file. */
export function decodeCheckedJson(bytes: Uint8Array): unknown {
  const found = trailer.exec(Buffer.from(bytes).toString('latin1'))
  const line = found === null ? bytes : bytes.subarray(0, found.index)
  if (found !== null && hashOf(line) !== found[1])
    throw new Error('has other bytes than were written')
  try {
    // A trailer that is damaged itself is still there, and no JSON goes on behind its end.
    return JSON.parse(new TextDecoder().decode(line))
  } catch (error) {
    throw new Error('is not JSON', { cause: error })
  }
}

function hashOf(line: Uint8Array): string {
  return xxh64(line).toString(16).padStart(16, '0')
}

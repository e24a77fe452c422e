/**
 * The layout of changelog entries, in commit frames and in snapshots alike. Little-endian, one after another:
 *
 *   u16 bucket   u32 key length   u32 value length (0xffffffff = tombstone)   key, UTF-8   value
 *
 * The bucket is murmur2 of the partition key mod 1024: a change of the partition count moves whole buckets.
 */
import { murmur2 } from '../core/hash.ts'
import { MillraceError } from '../errors.ts'

export const buckets = 1_024
const HEADER = 10
const TOMBSTONE = 0xffffffff
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function bucketOf(partitionKey: string): number {
  return (murmur2(encoder.encode(partitionKey)) & 0x7fffffff) % buckets
}

/** Collects entries; reusable after `take()`. */
export class ChangelogWriter {
  #bytes = Buffer.alloc(4_096)
  #length = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  get length(): number {
    return this.#length
  }

  /** `value` undefined is a tombstone. */
  add(bucket: number, key: string, value: Uint8Array | undefined): void {
    this.#reserve(HEADER + key.length * 3 + (value?.length ?? 0))
    const at = this.#length
    const bytes = this.#bytes
    const keyLength = bytes.write(key, at + HEADER, 'utf8')
    bytes.writeUInt16LE(bucket, at)
    bytes.writeUInt32LE(keyLength, at + 2)
    bytes.writeUInt32LE(value === undefined ? TOMBSTONE : value.length, at + 6)
    const valueAt = at + HEADER + keyLength
    if (value !== undefined) bytes.set(value, valueAt)
    this.#length = valueAt + (value?.length ?? 0)
    this.#count++
  }

  /** Adds an entry as it was read. */
  addRaw(entry: ChangelogEntry): void {
    const length = HEADER + entry.key.length + (entry.value?.length ?? 0)
    this.#reserve(length)
    const at = this.#length
    this.#bytes.writeUInt16LE(entry.bucket, at)
    this.#bytes.writeUInt32LE(entry.key.length, at + 2)
    this.#bytes.writeUInt32LE(entry.value === undefined ? TOMBSTONE : entry.value.length, at + 6)
    this.#bytes.set(entry.key, at + HEADER)
    if (entry.value !== undefined) this.#bytes.set(entry.value, at + HEADER + entry.key.length)
    this.#length = at + length
    this.#count++
  }

  /** The entries so far, freshly allocated; the writer is empty afterwards. */
  take(): { readonly bytes: Uint8Array; readonly count: number } {
    const taken = {
      bytes: new Uint8Array(this.#bytes.subarray(0, this.#length)),
      count: this.#count,
    }
    this.#length = 0
    this.#count = 0
    return taken
  }

  #reserve(length: number): void {
    const needed = this.#length + length
    if (needed <= this.#bytes.length) return
    let size = this.#bytes.length * 2
    while (size < needed) size *= 2
    const grown = Buffer.alloc(size)
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** An entry whose key and value are views of the bytes it was read from. */
export interface ChangelogEntry {
  readonly bucket: number
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

/** Reads entries one after another; every length is checked against the bytes before it is used. */
export class ChangelogReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** The next entry; undefined behind the last one. Throws MR4011 for bytes that are no entries. */
  next(): ChangelogEntry | undefined {
    const at = this.#at
    if (at === this.#bytes.length) return undefined
    if (at + HEADER > this.#bytes.length) throw malformed(at)
    const bucket = this.#view.getUint16(at, true)
    const keyLength = this.#view.getUint32(at + 2, true)
    const valueLength = this.#view.getUint32(at + 6, true)
    const valueAt = at + HEADER + keyLength
    const end = valueAt + (valueLength === TOMBSTONE ? 0 : valueLength)
    if (end > this.#bytes.length || bucket >= buckets) throw malformed(at)
    this.#at = end
    return {
      bucket,
      key: this.#bytes.subarray(at + HEADER, valueAt),
      value: valueLength === TOMBSTONE ? undefined : this.#bytes.subarray(valueAt, end),
    }
  }
}

export function keyOf(entry: ChangelogEntry): string {
  try {
    return decoder.decode(entry.key)
  } catch (cause) {
    throw new MillraceError('MR4011', 'A key in the changelog is not UTF-8.', { cause })
  }
}

function malformed(at: number): MillraceError {
  return new MillraceError('MR4011', `The changelog entry at byte ${at} is malformed.`)
}

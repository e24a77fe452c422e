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
  readonly #text: Buffer
  #keyAt = 0
  #valueAt = 0
  #next = 0
  #tombstone = false
  /** Of the entry that `advance` went to. */
  bucket = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /**
   * Goes to the next entry, of which then only what is asked for is made: restoring reads millions. False behind the last
   * one. Throws MR4011 for bytes that are no entries.
   */
  advance(): boolean {
    const at = this.#next
    const bytes = this.#bytes
    if (at === bytes.length) return false
    if (at + HEADER > bytes.length) throw malformed(at)
    this.bucket = this.#view.getUint16(at, true)
    const valueLength = this.#view.getUint32(at + 6, true)
    this.#tombstone = valueLength === TOMBSTONE
    this.#keyAt = at + HEADER
    this.#valueAt = this.#keyAt + this.#view.getUint32(at + 2, true)
    this.#next = this.#valueAt + (this.#tombstone ? 0 : valueLength)
    if (this.#next > bytes.length || this.bucket >= buckets) throw malformed(at)
    return true
  }

  /** Throws MR4011 where it is not UTF-8. */
  keyText(): string {
    const at = this.#keyAt
    const end = this.#valueAt
    // A replacement character is in the text where it was in the bytes, or where these are not valid.
    const text = this.#text.toString('utf8', at, end)
    return text.includes('\ufffd') ? strict(this.#bytes.subarray(at, end)) : text
  }

  /** A view of the bytes; undefined for a tombstone. */
  value(): Uint8Array | undefined {
    return this.#tombstone ? undefined : this.#bytes.subarray(this.#valueAt, this.#next)
  }

  /** The next entry as an object; undefined behind the last one. */
  next(): ChangelogEntry | undefined {
    if (!this.advance()) return undefined
    const key = this.#bytes.subarray(this.#keyAt, this.#valueAt)
    return { bucket: this.bucket, key, value: this.value() }
  }
}

export function keyOf(entry: ChangelogEntry): string {
  return strict(entry.key)
}

function strict(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new MillraceError('MR4011', 'A key in the changelog is not UTF-8.', { cause })
  }
}

function malformed(at: number): MillraceError {
  return new MillraceError('MR4011', `The changelog entry at byte ${at} is malformed.`)
}

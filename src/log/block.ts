/**
 * A block: the records of one partition in one commit, laid out so that a scanner walks values (or keys, or
 * timestamps) without touching anything else. Little-endian, every array 8-byte aligned relative to the block:
 *
 *   0  u16 version = 1      2  u16 flags            4  u32 count        8  f64 append time (ms, wall clock of ingest)
 *  16  f64 max timestamp   24  u32 schema version (0 = nobody validated these values)
 *  28  u32 runs            32  u32 key bytes       36  u32 value bytes  40 u64 reserved
 *  48  f64[count] timestamps · u32[count] key lengths · u32[count] value lengths (0xffffffff = none: no key; a tombstone)
 *      · runs {u32 count, u32 upstream, f64 watermark} · key bytes · value bytes
 *
 * Flag 1: the values are partial aggregates, and the schema version is that of their layout (process/windows/partials.ts).
 *
 * A run says under which source watermark its records were judged: the watermark of their own source partition at
 * their own offset (DESIGN section 5). Blocks of user topics have no runs; their readers derive watermarks.
 */
import { assert } from '../core/assert.ts'

const HEADER = 48
const RUN = 16
const NONE = 0xffffffff
const PARTIAL = 1
const align = (n: number): number => (n + 7) & ~7

/** Collects records of one partition and lays them out. Reusable after `finish()`. */
export class BlockBuilder {
  #count = 0
  #timestamps = new Float64Array(64)
  #keyLengths = new Uint32Array(64)
  #valueLengths = new Uint32Array(64)
  #keys = new ByteSink()
  #values = new ByteSink()
  #runs: { count: number; upstream: number; watermark: number }[] = []

  get count(): number {
    return this.#count
  }

  /** Bytes the finished block will have, nearly. */
  get bytes(): number {
    return (
      HEADER + this.#count * 16 + this.#keys.length + this.#values.length + this.#runs.length * RUN
    )
  }

  /**
   * Adds a record. `key` undefined = no key; `value` undefined = tombstone. With `watermark` the record joins a run of
   * its upstream task: the source watermark it was judged by. Either all records of a block have one or none has.
   */
  add(
    timestamp: number,
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    upstream = 0,
    watermark?: number,
  ): void {
    const i = this.#count++
    if (i === this.#timestamps.length) this.#grow()
    this.#timestamps[i] = timestamp
    this.#keyLengths[i] = key === undefined ? NONE : this.#keys.push(key)
    this.#valueLengths[i] = value === undefined ? NONE : this.#values.push(value)
    if (watermark === undefined) return
    const run = this.#runs.at(-1)
    if (run !== undefined && run.watermark === watermark && run.upstream === upstream) run.count++
    else this.#runs.push({ count: 1, upstream, watermark })
  }

  /** The block's bytes, freshly allocated; the builder is empty afterwards. */
  finish(appendTime: number, schemaVersion = 0, partial = false): Uint8Array {
    const count = this.#count
    const lengthsAt = HEADER + count * 8
    const runsAt = align(lengthsAt + count * 8)
    const keysAt = runsAt + this.#runs.length * RUN
    const valuesAt = align(keysAt + this.#keys.length)
    const out = new Uint8Array(align(valuesAt + this.#values.length))
    const view = new DataView(out.buffer)
    let maxTimestamp = -Infinity
    for (let i = 0; i < count; i++) maxTimestamp = Math.max(maxTimestamp, this.#timestamps[i]!)
    view.setUint16(0, 1, true)
    view.setUint16(2, partial ? PARTIAL : 0, true)
    view.setUint32(4, count, true)
    view.setFloat64(8, appendTime, true)
    view.setFloat64(16, maxTimestamp, true)
    view.setUint32(24, schemaVersion, true)
    view.setUint32(28, this.#runs.length, true)
    view.setUint32(32, this.#keys.length, true)
    view.setUint32(36, this.#values.length, true)
    out.set(new Uint8Array(this.#timestamps.buffer, 0, count * 8), HEADER)
    out.set(new Uint8Array(this.#keyLengths.buffer, 0, count * 4), lengthsAt)
    out.set(new Uint8Array(this.#valueLengths.buffer, 0, count * 4), lengthsAt + count * 4)
    let at = runsAt
    for (const run of this.#runs) {
      view.setUint32(at, run.count, true)
      view.setUint32(at + 4, run.upstream, true)
      view.setFloat64(at + 8, run.watermark, true)
      at += RUN
    }
    out.set(this.#keys.taken(), keysAt)
    out.set(this.#values.taken(), valuesAt)
    this.clear()
    return out
  }

  clear(): void {
    this.#count = 0
    this.#keys.clear()
    this.#values.clear()
    this.#runs = []
  }

  #grow(): void {
    const size = this.#timestamps.length * 2
    const timestamps = new Float64Array(size)
    timestamps.set(this.#timestamps)
    this.#timestamps = timestamps
    this.#keyLengths = grown(this.#keyLengths, size)
    this.#valueLengths = grown(this.#valueLengths, size)
  }
}

/** Reads a block in place. `read()` checks every length against the bytes, so that hostile bytes cannot lead outside. */
export class BlockView {
  bytes: Uint8Array = new Uint8Array(0)
  count = 0
  appendTime = 0
  maxTimestamp = 0
  schemaVersion = 0
  /** The values are partial aggregates. */
  partial = false
  /** This and the lengths lie in `bytes` where these are aligned: valid as long as they are. */
  timestamps: Float64Array = new Float64Array(0)
  /** Start of the value of record i in `bytes`; -1 where there is none. Its end is start + length. */
  keyLengths: Uint32Array = new Uint32Array(0)
  valueStarts: Int32Array = new Int32Array(0)
  valueLengths: Uint32Array = new Uint32Array(0)
  /** Per record, where the block has runs; else undefined. */
  watermarks: Float64Array | undefined
  upstreams: Uint32Array | undefined

  /** Points this view at a block. False when the bytes are not a well-formed block. */
  read(bytes: Uint8Array): boolean {
    if (bytes.length < HEADER) return false
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    if (view.getUint16(0, true) !== 1) return false
    const count = view.getUint32(4, true)
    const runs = view.getUint32(28, true)
    const keyBytes = view.getUint32(32, true)
    const valueBytes = view.getUint32(36, true)
    // Before any arithmetic below: numbers that are too large for these bytes could wrap around in it.
    if (HEADER + count * 16 + runs * RUN + keyBytes + valueBytes > bytes.length) return false
    const lengthsAt = HEADER + count * 8
    const runsAt = align(lengthsAt + count * 8)
    const keysAt = runsAt + runs * RUN
    const valuesAt = align(keysAt + keyBytes)
    if (align(valuesAt + valueBytes) !== bytes.length) return false
    this.bytes = bytes
    this.count = count
    this.appendTime = view.getFloat64(8, true)
    this.maxTimestamp = view.getFloat64(16, true)
    this.schemaVersion = view.getUint32(24, true)
    this.partial = view.getUint16(2, true) === PARTIAL
    const { buffer, byteOffset } = aligned(bytes, valuesAt)
    this.timestamps = new Float64Array(buffer, byteOffset + HEADER, count)
    this.keyLengths = new Uint32Array(buffer, byteOffset + lengthsAt, count)
    this.valueLengths = new Uint32Array(buffer, byteOffset + lengthsAt + count * 4, count)
    this.#keyStarts = undefined
    this.#keysAt = keysAt
    this.valueStarts = new Int32Array(count)
    return (
      sumOf(this.keyLengths) === keyBytes &&
      startsOf(this.valueLengths, this.valueStarts, valuesAt, valueBytes) &&
      this.#readRuns(view, runsAt, runs)
    )
  }

  #keyStarts: Int32Array | undefined
  #keysAt = 0

  /** Start of the key of record i in `bytes`; -1 where there is none. Many who read a block want no keys. */
  get keyStarts(): Int32Array {
    if (this.#keyStarts !== undefined) return this.#keyStarts
    this.#keyStarts = new Int32Array(this.count)
    startsOf(this.keyLengths, this.#keyStarts, this.#keysAt, Infinity)
    return this.#keyStarts
  }

  /** Key of record i; undefined where it has none. Valid as long as the block's bytes. */
  key(i: number): Uint8Array | undefined {
    const start = this.keyStarts[i]!
    return start < 0 ? undefined : this.bytes.subarray(start, start + this.keyLengths[i]!)
  }

  /** Value of record i; undefined for a tombstone. */
  value(i: number): Uint8Array | undefined {
    const start = this.valueStarts[i]!
    return start < 0 ? undefined : this.bytes.subarray(start, start + this.valueLengths[i]!)
  }

  #readRuns(view: DataView, at: number, runs: number): boolean {
    this.watermarks = undefined
    this.upstreams = undefined
    if (runs === 0) return true
    const watermarks = new Float64Array(this.count)
    const upstreams = new Uint32Array(this.count)
    let row = 0
    for (let r = 0; r < runs; r++, at += RUN) {
      const end = row + view.getUint32(at, true)
      if (end > this.count) return false
      upstreams.fill(view.getUint32(at + 4, true), row, end)
      watermarks.fill(view.getFloat64(at + 8, true), row, end)
      row = end
    }
    this.watermarks = watermarks
    this.upstreams = upstreams
    return row === this.count
  }
}

/** A control block: the watermark that `upstream` (a task index of the stage before) has reached. */
export function controlBytes(upstream: number, watermark: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, upstream, true)
  view.setFloat64(8, watermark, true)
  return bytes
}

/** Undefined when the bytes are not a control block. */
export function readControl(
  bytes: Uint8Array,
): { readonly upstream: number; readonly watermark: number } | undefined {
  if (bytes.length !== 16) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return { upstream: view.getUint32(0, true), watermark: view.getFloat64(8, true) }
}

/** The bytes where typed arrays can lie over them: a copy where they begin at an odd place. Not `slice`: of a Buffer that is a view. */
function aligned(bytes: Uint8Array, end: number): Uint8Array {
  if (bytes.byteOffset % 8 === 0) return bytes
  const copy = new Uint8Array(end)
  copy.set(bytes.subarray(0, end))
  return copy
}

function startsOf(lengths: Uint32Array, starts: Int32Array, from: number, bytes: number): boolean {
  let at = from
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i]!
    if (length === NONE) {
      starts[i] = -1
      continue
    }
    starts[i] = at
    at += length
    if (at > from + bytes) return false
  }
  return at === from + bytes
}

function sumOf(lengths: Uint32Array): number {
  let sum = 0
  for (let i = 0; i < lengths.length; i++) if (lengths[i] !== NONE) sum += lengths[i]!
  return sum
}

class ByteSink {
  #bytes = new Uint8Array(4096)
  length = 0

  push(bytes: Uint8Array): number {
    const end = this.length + bytes.length
    if (end > this.#bytes.length) this.#bytes = grown8(this.#bytes, end)
    this.#bytes.set(bytes, this.length)
    this.length = end
    return bytes.length
  }

  taken(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }
}

function grown(array: Uint32Array<ArrayBuffer>, size: number): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(size)
  out.set(array)
  return out
}

function grown8(array: Uint8Array<ArrayBuffer>, atLeast: number): Uint8Array<ArrayBuffer> {
  let size = array.length
  while (size < atLeast) size *= 2
  const out = new Uint8Array(size)
  out.set(array)
  assert(out.length >= atLeast, 'grown to what was asked')
  return out
}

/** A store in the heap: a map, pre-images of what was touched since the last commit, and a sorted index built when asked. */
import { MillraceError } from '../errors.ts'
import { bucketOf, ChangelogReader, ChangelogWriter } from './changelog.ts'
import type { StagedChanges, Store, StoreSpec } from './store.ts'

interface Entry<V> {
  value: V
  /** Bytes of the encoded value; as of the last time it was encoded. */
  size: number
  readonly bucket: number
  /** The commit in which a pre-image was kept. */
  epoch: number
  /** What the value encodes to, as long as nobody may have changed it since. */
  encoded: Uint8Array | undefined
}

/** What a key held at the last commit. */
interface PreImage<V> {
  readonly existed: boolean
  readonly value: V | undefined
  readonly size: number
  readonly bucket: number
}

/** What an entry costs besides its key and value, roughly: map slot, objects, headers. */
const OVERHEAD = 96
/** What an entry of the changelog costs besides key and value. */
const ENTRY = 10

export class MemoryStore<V> implements Store<V> {
  readonly spec: StoreSpec<V>
  readonly #map = new Map<string, Entry<V>>()
  readonly #touched = new Map<string, PreImage<V>>()
  readonly #writer = new ChangelogWriter()
  #epoch = 1
  #bytes = 0
  #stagedBytes = 0
  readonly #index = new SortedIndex()
  /** Goes up whenever a key may have got another value, or none: what was found by key is to be looked up again. */
  version = 0

  constructor(spec: StoreSpec<V>) {
    this.spec = spec
  }

  get size(): number {
    return this.#map.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get stagedBytes(): number {
    return this.#stagedBytes
  }

  get(key: string): V | undefined {
    return this.#map.get(key)?.value
  }

  put(key: string, value: V): void {
    this.version++
    const encoded = this.spec.codec.encode(value)
    const entry = this.#map.get(key)
    const bytes =
      this.#bytes + cost(key, encoded.length) - (entry === undefined ? 0 : cost(key, entry.size))
    if (bytes > this.spec.maxBytes && bytes > this.#bytes) throw this.#tooLarge(bytes)
    this.#bytes = bytes
    if (entry === undefined) {
      const bucket = bucketOf(this.spec.partitionKey(key))
      this.#keep(key, { existed: false, value: undefined, size: 0, bucket })
      this.#stagedBytes += encoded.length
      this.#map.set(key, { value, size: encoded.length, bucket, epoch: this.#epoch, encoded })
      this.#index.add(key, this.#map.size)
      return
    }
    // The value put before is not mutated by anyone any more: it needs no clone to be a pre-image.
    if (entry.epoch !== this.#epoch) {
      this.#keep(key, { existed: true, value: entry.value, size: entry.size, bucket: entry.bucket })
      entry.epoch = this.#epoch
    }
    this.#stagedBytes += encoded.length - entry.size
    entry.value = value
    entry.size = encoded.length
    entry.encoded = encoded
  }

  touch(key: string): V | undefined {
    const entry = this.#map.get(key)
    if (entry === undefined) return undefined
    if (entry.epoch !== this.#epoch) {
      const value = this.spec.codec.clone(entry.value)
      this.#keep(key, { existed: true, value, size: entry.size, bucket: entry.bucket })
      entry.epoch = this.#epoch
    }
    entry.encoded = undefined
    return entry.value
  }

  delete(key: string): void {
    this.version++
    const entry = this.#map.get(key)
    if (entry === undefined) return
    if (entry.epoch !== this.#epoch) {
      this.#keep(key, { existed: true, value: entry.value, size: entry.size, bucket: entry.bucket })
    }
    this.#map.delete(key)
    this.#bytes -= cost(key, entry.size)
    this.#stagedBytes -= entry.size
  }

  *range(from: string, to: string): IterableIterator<readonly [string, V]> {
    const keys = this.#index.sorted(this.#map)
    for (let i = lowerBound(keys, from); i < keys.length; i++) {
      const key = keys[i]!
      if (key >= to) return
      const entry = this.#map.get(key)
      if (entry !== undefined) yield [key, entry.value]
    }
  }

  *entries(): IterableIterator<readonly [string, V]> {
    for (const [key, entry] of this.#map) yield [key, entry.value]
  }

  changes(): StagedChanges | undefined {
    for (const [key, pre] of this.#touched) {
      const entry = this.#map.get(key)
      if (entry === undefined) {
        if (pre.existed) this.#writer.add(pre.bucket, key, undefined)
        continue
      }
      const encoded = entry.encoded ?? this.spec.codec.encode(entry.value)
      this.#bytes += encoded.length - entry.size
      this.#stagedBytes += encoded.length - entry.size
      entry.size = encoded.length
      this.#writer.add(entry.bucket, key, encoded)
    }
    return this.#writer.count === 0 ? undefined : this.#writer.take()
  }

  committed(): void {
    for (const key of this.#touched.keys()) {
      const entry = this.#map.get(key)
      if (entry !== undefined) entry.encoded = undefined
    }
    this.#forget()
  }

  rollback(): void {
    this.version++
    for (const [key, pre] of this.#touched) {
      const entry = this.#map.get(key)
      if (entry !== undefined) {
        this.#map.delete(key)
        this.#bytes -= cost(key, entry.size)
      }
      if (!pre.existed) continue
      const { value, size, bucket } = pre
      this.#map.set(key, { value: value as V, size, bucket, epoch: 0, encoded: undefined })
      this.#bytes += cost(key, size)
      this.#index.add(key, this.#map.size)
    }
    this.#forget()
  }

  restore(changes: Uint8Array): void {
    this.version++
    const reader = new ChangelogReader(changes)
    while (reader.advance()) {
      const key = reader.keyText()
      const old = this.#map.get(key)
      const bytes = reader.value()
      if (old !== undefined) this.#bytes -= cost(key, old.size)
      if (bytes === undefined) {
        this.#map.delete(key)
        continue
      }
      const size = bytes.length
      this.#bytes += cost(key, size)
      const value = this.spec.codec.decode(bytes)
      if (old !== undefined) {
        old.value = value
        old.size = size
        continue
      }
      const { bucket } = reader
      this.#map.set(key, { value, size, bucket, epoch: 0, encoded: undefined })
      this.#index.add(key, this.#map.size)
    }
  }

  clear(): void {
    this.version++
    this.#map.clear()
    this.#bytes = 0
    this.#forget()
  }

  #keep(key: string, pre: PreImage<V>): void {
    // A key deleted and put again keeps the pre-image of the first change.
    if (this.#touched.has(key)) return
    this.#touched.set(key, pre)
    this.#stagedBytes += ENTRY + key.length + pre.size
  }

  #forget(): void {
    this.#touched.clear()
    this.#stagedBytes = 0
    this.#epoch++
  }

  #tooLarge(bytes: number): MillraceError {
    const what = `The store ${this.spec.name} would take ${bytes} bytes for ${this.#map.size} keys; its limit is ${this.spec.maxBytes} bytes.`
    return new MillraceError('MR4010', what, { details: { keys: this.#map.size, bytes } })
  }
}

function cost(key: string, valueBytes: number): number {
  return OVERHEAD + key.length + valueBytes
}

/** First index whose key is not less than `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Keys in order, built when first asked for: a store nobody ranges over never sorts. New keys collect unsorted and are
 * merged in at the next question. Removed keys stay until they are half of all: readers look every key up in the map.
 */
class SortedIndex {
  #sorted: readonly string[] | undefined
  #added: string[] = []

  add(key: string, live: number): void {
    if (this.#sorted === undefined) return
    this.#added.push(key)
    if (this.#sorted.length + this.#added.length > 2 * live + 1_024) this.#drop()
  }

  sorted(live: ReadonlyMap<string, unknown>): readonly string[] {
    if (this.#sorted === undefined || this.#sorted.length > 2 * live.size + 1_024) {
      this.#sorted = [...live.keys()].toSorted(byCodeUnits)
      this.#added = []
    } else if (this.#added.length > 0) {
      this.#sorted = merge(this.#sorted, this.#added.toSorted(byCodeUnits))
      this.#added = []
    }
    return this.#sorted
  }

  #drop(): void {
    this.#sorted = undefined
    this.#added = []
  }
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function merge(a: readonly string[], b: readonly string[]): string[] {
  const out: string[] = []
  let i = 0
  let j = 0
  let last: string | undefined
  while (i < a.length || j < b.length) {
    const next = j >= b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!
    if (next !== last) out.push(next)
    last = next
  }
  return out
}

/**
 * A message as the other side of a Port gets it, where both sides are in one thread: they share nothing but shared
 * memory. Does what structuredClone does with what threads say to each other (plain objects, arrays, sets, binary data), in a
 * third of the time, and refuses anything else. The buffers in `transfer` move, and are detached here; so do `ends` of
 * channels, which stay the objects that they are.
 */
export function cloneMessage(
  message: unknown,
  transfer: readonly ArrayBuffer[] = [],
  ends: readonly object[] = [],
): unknown {
  return new Cloner(message, transfer, ends).clone(message)
}

interface Extent {
  readonly offset: number
  readonly length: number
}

class Cloner {
  /** New buffers by old ones: views of one buffer stay views of one buffer. */
  readonly #buffers = new Map<ArrayBufferLike, ArrayBuffer>()
  /** Views of buffers that move: they say nothing of themselves any more once those are gone. */
  readonly #moving = new Map<Uint8Array, Extent>()

  readonly #ends: readonly object[]

  constructor(message: unknown, transfer: readonly ArrayBuffer[], ends: readonly object[]) {
    this.#ends = ends
    if (transfer.length === 0) return
    const buffers = new Set<ArrayBufferLike>(transfer)
    this.#findViews(message, buffers)
    for (const buffer of transfer) this.#buffers.set(buffer, buffer.transfer())
  }

  clone(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return passed(value)
    if (Array.isArray(value)) return value.map((item) => this.clone(item))
    if (value instanceof Uint8Array) {
      const { offset, length } = this.#moving.get(value) ?? extentOf(value)
      return new Uint8Array(this.#buffer(value.buffer), offset, length)
    }
    if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer)
      return this.#buffer(value)
    if (value instanceof Set) return new Set([...value].map((item) => this.clone(item)))
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null)
      return this.#ends.includes(value) ? value : passed(value.constructor)
    const copy: Record<string, unknown> = {}
    const fields = value as Readonly<Record<string, unknown>>
    for (const name of Object.keys(fields)) {
      const item = this.clone(fields[name])
      if (name !== '__proto__') copy[name] = item
      else Object.defineProperty(copy, name, { value: item, ...ordinary })
    }
    return copy
  }

  #buffer(buffer: ArrayBufferLike): ArrayBufferLike {
    if (buffer instanceof SharedArrayBuffer) return buffer
    const known = this.#buffers.get(buffer)
    if (known !== undefined) return known
    const copy = buffer.slice(0)
    this.#buffers.set(buffer, copy)
    return copy
  }

  #findViews(value: unknown, buffers: ReadonlySet<ArrayBufferLike>): void {
    if (typeof value !== 'object' || value === null) return
    if (value instanceof Uint8Array) {
      if (buffers.has(value.buffer)) this.#moving.set(value, extentOf(value))
    } else
      for (const item of value instanceof Set ? value : Object.values(value))
        this.#findViews(item, buffers)
  }
}

const ordinary = { enumerable: true, configurable: true, writable: true }

const extentOf = ({ byteOffset, length }: Uint8Array): Extent => ({ offset: byteOffset, length })

function passed(value: unknown): unknown {
  if (typeof value !== 'function' && typeof value !== 'symbol') return value
  throw new TypeError(`Nothing of the kind ${String(value).slice(0, 80)} goes to another thread.`)
}

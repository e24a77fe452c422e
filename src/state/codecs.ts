import { assert } from '../core/assert.ts'
import { MillraceError } from '../errors.ts'
import { parseJson } from '../schema/json-parse.ts'
import type { ValueCodec } from './store.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Values that JSON can hold. */
export function jsonCodec<V>(): ValueCodec<V> {
  return {
    encode: (value) => encoder.encode(JSON.stringify(value)),
    decode: (bytes) => {
      try {
        return parseJson(decoder.decode(bytes)) as V
      } catch (cause) {
        throw new MillraceError('MR4011', 'A stored value is not JSON.', { cause })
      }
    },
    clone: (value) => structuredClone(value),
  }
}

/** Rows that functions of the pipeline get to see: frozen, so that none changes what the store holds. */
export function frozenCodec(): ValueCodec<object> {
  const json = jsonCodec<object>()
  return { ...json, decode: (bytes) => freeze(json.decode(bytes)), clone: (value) => value }
}

/** Freezes a value and everything in it. */
export function freeze<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}

/**
 * A fixed number of doubles: the accumulators of one window. Bytes go through one shared place, because an array that is made
 * by its length lies in the heap, while one over a buffer costs several times as much to make and to collect.
 */
export function float64Codec(length: number): ValueCodec<Float64Array> {
  const doubles = new Float64Array(length)
  const shared = new Uint8Array(doubles.buffer)
  return {
    encode: (value) => {
      assert(value.length === length, 'a window has a double for each accumulator')
      doubles.set(value)
      return shared.slice()
    },
    decode: (bytes) => {
      if (bytes.length !== length * 8) {
        const what = `A stored window has ${bytes.length} bytes where its aggregates take ${length * 8}.`
        throw new MillraceError('MR4011', what)
      }
      shared.set(bytes)
      return doubles.slice()
    },
    clone: (value) => value.slice(),
  }
}

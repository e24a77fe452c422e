/**
 * Partial aggregates as records: the key is that of the group, the timestamp the start of the window, and the value the
 * accumulator's doubles, little-endian. The block names the layout, so that nothing is read as something it is not.
 */
import { versionOf } from '../../schema/version.ts'
import type { AggregateNode } from './aggregate.ts'

/** What an aggregate is called, and what its windows and fields are made of; a function stands for any other. */
export function layoutOf({ window, fields }: Pick<AggregateNode, 'window' | 'fields'>): object {
  const made = Object.entries(fields).map(([name, { kind, of }]) => {
    const path = of === undefined ? '' : 'path' in of ? of.path : '()'
    return `${name}=${kind}(${path})`
  })
  return { sizeMs: window.sizeMs, fields: made }
}

/** The version of the partial aggregates of a node; 32 bits, never 0. */
export function partialVersion(node: AggregateNode): number {
  return versionOf([node.name, layoutOf(node)])
}

export function encodePartial(accumulator: Float64Array): Uint8Array {
  return new Uint8Array(accumulator.buffer, accumulator.byteOffset, accumulator.byteLength)
}

/** Undefined where these bytes are no accumulator of this length. */
export function decodePartial(bytes: Uint8Array, length: number): Float64Array | undefined {
  if (bytes.length !== length * 8) return undefined
  const aligned = new Uint8Array(bytes.length)
  aligned.set(bytes)
  return new Float64Array(aligned.buffer)
}

import { expect, test } from 'vitest'
import { float64Codec, freeze, frozenCodec } from './codecs.ts'

test('rows that functions see cannot be changed, at any depth, and come back as they were', () => {
  const codec = frozenCodec()
  const row = { name: 'a', tags: ['x', { deep: [1] }], none: null }
  const read = codec.decode(codec.encode(row)) as typeof row
  expect(read).toEqual(row)
  expect(() => (read.name = 'b')).toThrow(TypeError)
  expect(() => read.tags.push('y')).toThrow(TypeError)
  expect(() => (read.tags[1] as { deep: number[] }).deep.push(2)).toThrow(TypeError)
  // What cannot change need not be copied.
  expect(codec.clone(read)).toBe(read)
})

test('what is no object is itself', () => {
  for (const value of ['text', 1, true, null, undefined]) expect(freeze(value)).toBe(value)
})

test('doubles come back as they were, and in no other number', () => {
  const codec = float64Codec(3)
  const values = new Float64Array([0.1, -0, Number.NaN])
  const bytes = codec.encode(values)
  expect(codec.decode(bytes)).toEqual(values)
  const copy = codec.clone(values)
  copy[0] = 9
  expect(values[0]).toBe(0.1)
  for (const wrong of [bytes.subarray(8), new Uint8Array(32), new Uint8Array(0)])
    expect(() => codec.decode(wrong)).toThrow(expect.objectContaining({ code: 'MR4011' }) as Error)
})

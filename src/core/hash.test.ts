import { describe, expect, test } from 'vitest'
import xxhash from 'xxhash-wasm'
import { murmur2, partitionOf, xxh64 } from './hash.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('murmur2', () => {
  // The vectors Apache Kafka's own tests use.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('gives %s the hash that Kafka gives it', (text, hash) => {
    expect(murmur2(utf8(text))).toBe(hash)
  })

  test('places a negative hash in a partition as Kafka does', () => {
    expect(partitionOf(utf8('foobar'), 1000)).toBe((-790332482 & 0x7fffffff) % 1000)
  })
})

describe('xxh64', () => {
  test.each([
    ['', 0xef46db3751d8e999n],
    ['a', 0xd24ec4f1a98c6e5bn],
    ['abc', 0x44bc2cf5ad770999n],
  ])('agrees with the published value for %j', (text, hash) => {
    expect(xxh64(utf8(text))).toBe(hash)
  })

  test('agrees with another implementation on every length, and across pieces', async () => {
    const { h64Raw } = await xxhash()
    const lengths = [...Array(300).keys(), 65_535, 65_536, 65_537, 65_568, 131_072, 1_000_003]
    let state = 1
    const bytes = Uint8Array.from({ length: 1_000_003 }, () => {
      state = Math.imul(state, 1_103_515_245) + 12_345
      return state >>> 16
    })
    for (const length of lengths)
      expect([length, xxh64(bytes.subarray(3, 3 + length))]).toEqual([
        length,
        h64Raw(bytes.subarray(3, 3 + length)),
      ])
  })
})

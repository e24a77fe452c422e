import { describe, expect, it } from 'vitest'
import { ChangelogReader, ChangelogWriter } from './changelog.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

function textOf(key: Uint8Array): string {
  const writer = new ChangelogWriter()
  writer.addRaw({ bucket: 7, key, value: undefined })
  const reader = new ChangelogReader(writer.take().bytes)
  expect(reader.advance()).toBe(true)
  return reader.keyText()
}

describe('keys of a changelog', () => {
  it('are the text that was written, with a replacement character or a byte order mark too', () => {
    for (const key of ['', 'käse', '\ufffd', 'a\ufffdb', '\ufeffx', '🐟'])
      expect(textOf(new TextEncoder().encode(key))).toBe(key)
  })

  it('that are not UTF-8 are refused, not repaired', () => {
    for (const key of [bytes(0xff), bytes(0x61, 0xc3), bytes(0xed, 0xa0, 0x80), bytes(0xc0, 0x80)])
      expect(() => textOf(key)).toThrow(expect.objectContaining({ code: 'MR4011' }))
  })
})

it('the value of a changelog entry is a view of the bytes, and undefined for a tombstone', () => {
  const writer = new ChangelogWriter()
  writer.add(1, 'a', bytes(1, 2))
  writer.add(2, 'b', undefined)
  const taken = writer.take().bytes
  const reader = new ChangelogReader(taken)
  reader.advance()
  expect([reader.bucket, reader.value()?.buffer === taken.buffer]).toEqual([1, true])
  expect(reader.value()).toEqual(bytes(1, 2))
  reader.advance()
  expect([reader.bucket, reader.value()]).toEqual([2, undefined])
  expect(reader.advance()).toBe(false)
})

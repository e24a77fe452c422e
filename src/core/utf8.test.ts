import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeUtf8, decodeValidUtf8, encodeUtf8 } from './utf8.ts'

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

test('what is not valid UTF-8 is refused, and the rest decodes as the standard says', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    fc.string({ unit: 'binary' }).map(encodeUtf8),
    fc.constantFrom([0xef, 0xbb, 0xbf], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf4, 0x90, 0x80, 0x80]),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), fc.nat(3), (pieces, padding) => {
      const text = pieces.flatMap((one) => [...one])
      const bytes = new Uint8Array([...new Array<number>(padding).fill(0xff), ...text, 0xff])
      let expected: string | undefined
      try {
        expected = strict.decode(new Uint8Array(text))
      } catch {
        expected = undefined
      }
      expect(decodeUtf8(bytes, padding, padding + text.length)).toBe(expected)
      if (expected !== undefined) {
        expect(decodeValidUtf8(bytes, padding, padding + text.length)).toBe(expected)
      }
    }),
    { numRuns: 500 },
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeLetterRecord,
  decodeReplay,
  encodeLetter,
  encodeReplay,
  encodeResolution,
  letterId,
  OpenLetters,
} from './dead-letters.ts'
import type { DeadLetter } from './dead-letters.ts'

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined })
const integer = fc.integer({ min: 0, max: 2 ** 40 })

const letters: fc.Arbitrary<DeadLetter> = fc.record({
  id: fc.string({ minLength: 1 }),
  stage: fc.string(),
  operator: fc.string(),
  node: optional(integer),
  code: fc.constant('MR4001'),
  message: fc.string(),
  attempts: fc.integer({ min: 1, max: 9 }),
  planHash: fc.string(),
  topic: fc.string(),
  partition: optional(integer),
  offset: optional(integer),
  timestamp: optional(integer),
  watermark: optional(integer),
  upstream: optional(integer),
  key: optional(fc.string({ unit: 'grapheme' })),
  typedKey: optional(fc.oneof(integer, fc.boolean(), fc.array(fc.oneof(integer, fc.string())))),
  raw: fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }),
    fc.string({ unit: 'grapheme', maxLength: 500 }).map((s) => new TextEncoder().encode(s)),
    fc.integer({ min: 0, max: 3_000 }).map((n) => new Uint8Array(n)),
  ),
  at: integer,
})

test('a letter reads back as it was written, whatever its bytes', () => {
  fc.assert(
    fc.property(letters, (letter) => {
      expect(decodeLetterRecord(encodeLetter(letter))).toEqual({ kind: 'letter', letter })
    }),
  )
})

test('a letter is never much larger than what it holds', () => {
  fc.assert(
    fc.property(letters, (letter) => {
      const rest = encodeLetter({ ...letter, raw: new Uint8Array(0) }).length
      expect(encodeLetter(letter).length - rest).toBeLessThan((letter.raw.length * 4) / 3 + 2_048)
    }),
  )
})

test('bytes that are no letter are told, not thrown', () => {
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"id":"x"}',
    '{"how":"dropped"}',
    '{"resolves":1,"how":"lost"}',
  ]) {
    expect(decodeLetterRecord(new TextEncoder().encode(text))).toBeUndefined()
  }
  expect(decodeLetterRecord(new Uint8Array([0xff, 0xfe]))).toBeUndefined()
  for (const text of ['{"node":1,"raw":"x"}', '{"node":1,"raw":"x","letter":1e999}'])
    expect(decodeReplay(new TextEncoder().encode(text))).toBeUndefined()
})

test('a watermark that is not there yet stays "none yet"', () => {
  const record = {
    node: 3,
    raw: new Uint8Array([123, 125]),
    timestamp: 5,
    watermark: -Infinity,
    upstream: 0,
    topic: 't',
    partition: 1,
    offset: 7,
    key: '5',
    typedKey: 5,
    letter: 9,
    attempts: 2,
  }
  expect(decodeReplay(encodeReplay(record))).toEqual({ ...record, watermark: undefined })
})

test('a letter is open until a resolution names its offset', () => {
  const open = new OpenLetters()
  const add = (offset: number, bytes: Uint8Array): void => {
    const record = decodeLetterRecord(bytes)
    if (record !== undefined) open.add(offset, record)
  }
  const letter = fc.sample(letters, 1)[0]!
  add(4, encodeLetter(letter))
  add(7, encodeLetter(letter))
  add(9, encodeResolution({ resolves: 4, how: 'replayed', at: 1 }))
  expect([...open.letters.keys()]).toEqual([7])
})

test('ids tell failures apart and name the same failure the same', () => {
  expect(letterId('p/main', 'map', 't', 0, 7)).toBe(letterId('p/main', 'map', 't', 0, 7))
  expect(letterId('p/main', 'map', 't', 0, 7, 1)).not.toBe(letterId('p/main', 'map', 't', 0, 7))
})

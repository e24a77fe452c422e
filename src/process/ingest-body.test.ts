import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventReader, keyText } from './ingest-event.ts'
import { EventSpans, splitBody } from './ingest-split.ts'
import { parseIsoTime, readTime } from './ingest-time.ts'
import { rules } from './ingest.fixture.ts'

function split(body: string, format: 'json' | 'ndjson', maxEvents = 1_000): string[] | string {
  const spans = new EventSpans()
  const bytes = Buffer.from(body)
  const result = splitBody(bytes, format, maxEvents, spans)
  if ('code' in result) return result.code
  return Array.from({ length: spans.count }, (_, i) =>
    bytes.toString('utf8', spans.starts[i], spans.ends[i]),
  )
}

const space = fc
  .array(fc.constantFrom(' ', '\t', '\r', '\n'), { maxLength: 3 })
  .map((parts) => parts.join(''))
const inlineSpace = fc
  .array(fc.constantFrom(' ', '\t', '\r'), { maxLength: 3 })
  .map((parts) => parts.join(''))

describe('splitting a body', () => {
  test('finds the elements of any JSON array as JSON.parse does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.array(space),
        fc.nat(4),
        (values, spaces, indent) => {
          const at = (i: number): string => spaces[i % Math.max(1, spaces.length)] ?? ''
          const body = `${at(0)}[${values.map((value, i) => `${at(i)}${JSON.stringify(value, null, indent)}${at(i + 1)}`).join(',')}]${at(2)}`
          const found = split(body, 'json')
          expect(found).toBeInstanceOf(Array)
          expect((found as string[]).map((text): unknown => JSON.parse(text))).toEqual(
            JSON.parse(body),
          )
        },
      ),
    )
  })

  test('finds the lines of NDJSON, whatever ends them', () => {
    const line = fc.record({
      value: fc.jsonValue(),
      before: inlineSpace,
      after: inlineSpace,
      blank: space,
    })
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        fc.boolean(),
        (lines, bom, last) => {
          const texts = lines.map(({ value }) => JSON.stringify(value))
          const body = lines
            .map(({ before, after, blank }, i) => `${blank}${before}${texts[i]}${after}`)
            .join('\n')
          expect(split(`${bom ? '\uFEFF' : ''}${body}${last ? '\n' : ''}`, 'ndjson')).toEqual(texts)
        },
      ),
    )
  })

  test('never takes an array for whole that JSON.parse rejects for its brackets, commas or end', () => {
    const piece = fc.constantFrom('[', ']', ',', '1', '"a"', '"[,"', '{"a":[1,2]}', ' ')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const body = `[${pieces.join('')}`
        const found = split(body, 'json')
        let parsed: unknown
        try {
          parsed = JSON.parse(body)
        } catch {
          // What is inside an element is judged later: there it must fail then.
          const broken = typeof found === 'string' || found.some((text) => !isJson(text))
          expect(broken).toBe(true)
          return
        }
        expect((found as string[]).map((text): unknown => JSON.parse(text))).toEqual(parsed)
      }),
      { numRuns: 500 },
    )
  })

  test('takes as many events as allowed and not one more', () => {
    expect(split('[1,2,3]', 'json', 3)).toEqual(['1', '2', '3'])
    expect(split('[1,2,3,4]', 'json', 3)).toBe('MR1029')
    expect(split('1\n2\n\n3\n', 'ndjson', 3)).toEqual(['1', '2', '3'])
    expect(split('1\n2\n3\n4', 'ndjson', 3)).toBe('MR1029')
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('event times', () => {
  test('are what Date says, for every ISO form with a zone', () => {
    const date = fc.date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T00:00:00Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(
        date,
        fc.integer({ min: -14 * 60, max: 14 * 60 }),
        fc.constantFrom(0, 1, 2, 3, 6),
        (day, offset, digits) => {
          const iso = day.toISOString()
          expect(parseIsoTime(iso)).toBe(day.getTime())
          expect(parseIsoTime(iso.slice(0, 10))).toBe(Date.parse(iso.slice(0, 10)))
          const sign = offset < 0 ? '-' : '+'
          const two = (n: number): string => String(Math.trunc(Math.abs(n))).padStart(2, '0')
          const zone = `${sign}${two(offset / 60)}:${two(Math.abs(offset) % 60)}`
          const fraction =
            digits === 0 ? '' : `.${iso.slice(20, 23).padEnd(6, '9').slice(0, digits)}`
          const text = `${iso.slice(0, 19)}${fraction}${zone}`
          expect(parseIsoTime(text)).toBe(Date.parse(text))
          expect(parseIsoTime(text.replace(/:(\d\d)$/, '$1'))).toBe(Date.parse(text))
          expect(parseIsoTime(`${iso.slice(0, 16)}z`)).toBe(Date.parse(`${iso.slice(0, 16)}Z`))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('are taken up to the ends of what there is', () => {
    const texts = [
      '0001-01-01',
      '9999-12-31T23:59:59.999Z',
      '2024-01-31T00:00:00-23:59',
      '2024-12-01T23:59:00+23:59',
      '2024-02-29T00:00:00+00:00',
    ]
    expect(texts.map(parseIsoTime)).toEqual(texts.map((text) => Date.parse(text)))
  })

  test('of any other text are none', () => {
    const valid = '2024-02-29T12:34:56.789+01:30'
    fc.assert(
      fc.property(
        fc.nat(valid.length - 1),
        fc.constantFrom('x', '', '-', '9', ' ', '::'),
        (at, put) => {
          const text = valid.slice(0, at) + put + valid.slice(at + 1)
          const time = parseIsoTime(text)
          // Where a changed text is still a time, it is the one that Date reads.
          if (!Number.isNaN(time))
            expect(time).toBe(
              Date.parse(
                text
                  .replace(' ', 'T')
                  .replace(/([+-]\d\d)(\d\d)$/, '$1:$2')
                  .replace(/([+-]\d\d)$/, '$1:00'),
              ),
            )
        },
      ),
      { numRuns: 300 },
    )
    for (const text of [
      '',
      '2024',
      '2024-13-01',
      '2023-02-29',
      '2024-01-01T24:00:00Z',
      '2024-01-01T00:00',
      '2024-01-01T00:00:60Z',
      '2024-01-01T00:00:00+1',
      '20240101',
      ' 2024-01-01',
      '2024-01-01T00:00:00ZZ',
      '2024-01-01T00:00:00.Z',
      '0000-01-01',
    ]) {
      expect([text, parseIsoTime(text)]).toEqual([text, Number.NaN])
    }
  })

  test('are numbers of milliseconds, and nothing that is no moment', () => {
    expect(readTime(1_700_000_000_000.7)).toBe(1_700_000_000_000)
    expect(readTime(-1)).toBe(-1)
    for (const value of [Number.NaN, Infinity, 1e17, -1e17, true, {}, [], null])
      expect(readTime(value)).toBeNaN()
  })
})

test('an event may be as far ahead of the clock as the stream allows, and no further', () => {
  const reader = new EventReader(rules)
  const codeAt = (time: number): string | undefined => {
    const bytes = Buffer.from(JSON.stringify({ id: 'a', at: time }))
    return reader.read(bytes, 0, bytes.length, 1_000_000)?.code
  }
  expect(codeAt(1_000_000 + rules.futureMs)).toBeUndefined()
  expect(codeAt(1_000_001 + rules.futureMs)).toBe('MR1027')
})

test('two keys have one text only where they are one key', () => {
  const value = fc.oneof(
    fc.string({ unit: fc.constantFrom('1', 'b', 'é', '\u{1f600}', '\ud800', '['), maxLength: 4 }),
    fc.double(),
    fc.integer(),
    fc.array(fc.oneof(fc.string({ maxLength: 3 }), fc.integer(), fc.boolean()), { maxLength: 3 }),
  )
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [textA, textB] = [keyText(a), keyText(b)]
      if (textA === undefined || typeof a !== typeof b || Array.isArray(a) !== Array.isArray(b))
        return
      expect(textA === textB).toBe(
        Object.is(a, b) || a === b || JSON.stringify(a) === JSON.stringify(b),
      )
    }),
  )
  expect([
    keyText('\ud800'),
    keyText(2 ** 53),
    keyText(Number.NaN),
    keyText({}),
    keyText([{}]),
  ]).toEqual(Array.from({ length: 5 }, () => undefined))
  expect([keyText(-0), keyText(1e21), keyText(true), keyText(['a', 1])]).toEqual([
    '0',
    undefined,
    'true',
    '["a",1]',
  ])
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { parseEvent } from './json-gate.ts'
import { parseJson } from './json-parse.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The verdict on a whole array of bytes: the value, or the code. */
function verdict(bytes: Uint8Array): unknown {
  const parsed = parseEvent(bytes, 0, bytes.length)
  return parsed.ok ? { value: parsed.value } : parsed.code
}

describe('an event is refused with a code of its own when it', () => {
  const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
  test.each([
    ['is empty', '', 'MR1001'],
    ['is cut off', '{"a":1', 'MR1001'],
    ['has something behind it', '{"a":1} {}', 'MR1001'],
    ['has a comment', '{"a":1/**/}', 'MR1001'],
    ['has single quotes', "{'a':1}", 'MR1001'],
    ['has NaN', '{"a":NaN}', 'MR1001'],
    ['has a control character in a string', '{"a":"\n"}', 'MR1001'],
    ['begins with a byte order mark', '\uFEFF{"a":1}', 'MR1001'],
    ['is nested too deep', nested(limits.jsonDepth + 1), 'MR1003'],
    ['has objects nested too deep', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, 'MR1003'],
    ['has __proto__', '{"a":{"__proto__":{"admin":true}}}', 'MR1004'],
    ['has __proto__ in disguise', '{"\\u005f_proto__":1}', 'MR1004'],
    ['has __proto__ in an array', '[{"__proto__":1}]', 'MR1004'],
    ['has a key twice', '{"a":1,"b":2,"a":3}', 'MR1005'],
    ['has a key twice, once escaped', '{"a":1,"\\u0061":3}', 'MR1005'],
    ['has a key twice with space around', '{"a" : "x" , "a"\n:"y"}', 'MR1005'],
    ['has a key twice further down', '{"a":[{"b":{"c":1,"c":1}}]}', 'MR1005'],
    ['has an empty key twice', '{"":1,"":1}', 'MR1005'],
    ['has a number as key twice', '{"1":1,"1":1}', 'MR1005'],
  ])('%s', (_name, text, code) => {
    expect(verdict(encode(text))).toBe(code)
  })

  test.each([
    ['a lone continuation', [0x22, 0x80, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a cut-off sequence', [0x22, 0xe2, 0x82, 0x22]],
    ['a real replacement character beside it', [0x22, 0xef, 0xbf, 0xbd, 0xff, 0x22]],
  ])('is not UTF-8: %s', (_name, bytes) => {
    expect(verdict(new Uint8Array(bytes))).toBe('MR1002')
  })

  test('is larger than the limit, and says so with both numbers', () => {
    const bytes = encode(`"${'x'.repeat(limits.eventBytes - 1)}"`)
    const parsed = parseEvent(bytes, 0, bytes.length)
    expect(parsed).toEqual({
      ok: false,
      code: 'MR1020',
      what: `The event has ${limits.eventBytes + 1} bytes; at most ${limits.eventBytes} are taken.`,
    })
  })

  test('is half a million arrays deep, without running out of stack', () => {
    expect(verdict(encode(nested(limits.eventBytes / 2)))).toBe('MR1003')
  })
})

test('a sentence about a broken event carries nothing that a terminal would obey', () => {
  const parsed = parseEvent(encode('{\u001b[31m\r\n'), 0, 7)
  expect(parsed.ok ? '' : parsed.what).toMatch(/^The event is not valid JSON: [\P{Cc}]+\.$/u)
})

test('what looks alike and is allowed is taken', () => {
  for (const text of [
    '"\uFFFD"',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"a":"\\"a\\":1,\\"a\\":2"}',
    '{"proto":1,"__proto":2,"constructor":3}',
    '{"a":"__proto__"}',
    '"__proto__"',
    '{"\\\\":"\\\\\\"","/":1}',
    'null',
    '{}',
    ' [ ] ',
    '['.repeat(limits.jsonDepth) + ']'.repeat(limits.jsonDepth),
  ]) {
    expect(verdict(encode(text))).toEqual({ value: JSON.parse(text) as unknown })
  }
})

test('only the bytes between start and end count', () => {
  const bytes = encode('{"a":1}{"a":2,"a":2}\uFFFD')
  expect(parseEvent(bytes, 0, 7)).toEqual({ ok: true, value: { a: 1 } })
  expect(parseEvent(bytes.subarray(7), 0, 13)).toMatchObject({ code: 'MR1005' })
})

test('a key with an escape is itself, whatever keys were parsed before', () => {
  // These make JSON.parse of Node 24 remember keys that look like the raw text of those below.
  for (const text of ['{"\\\\":1}', '{"a":1,"\\\\u":1}', '{"a":[],"\\\\":1}']) JSON.parse(text)
  for (const [text, value] of [
    ['{"\\n":1}', { '\n': 1 }],
    ['{"\\u003a" : 1}', { ':': 1 }],
    ['{"a":1,"\\u0041\\u0042":2}', { a: 1, AB: 2 }],
    ['{"a":["\\\\"],"\\"":2}', { a: ['\\'], '"': 2 }],
    ['[{"a":"\\n"},{"\\t":[1.5,true,null,{}]}]', [{ a: '\n' }, { '\t': [1.5, true, null, {}] }]],
  ] as const) {
    expect(verdict(encode(text))).toEqual({ value })
    expect(parseJson(text)).toEqual(value)
  }
})

test('reading takes what the gate would refuse just as JSON.parse does: the later value, an own __proto__', () => {
  const read = parseJson('{"\\n":1,"a":1,"a":2,"\\u005f_proto__":{"x":1}}') as Record<
    string,
    unknown
  >
  expect(Object.entries(read)).toEqual([
    ['\n', 1],
    ['a', 2],
    ['__proto__', { x: 1 }],
  ])
  expect(read['x']).toBeUndefined()
})

/** A JSON value as its text is written: an object is a list of members, so that it can say a key twice. */
type Written =
  | string
  | { readonly array: readonly Written[] }
  | { readonly object: readonly [string, Written][] }

const name = fc.oneof(
  fc.constantFrom('a', 'b', '', '1', '"', '\\', '__proto__', 'é', '😀', '\u0000', '\\"', ':'),
  fc.string({ maxLength: 3 }),
)
const scalar = fc.oneof(
  fc.constantFrom('null', 'true', '0', '-1.5e3', '1e400', '""', '"\\\\"', '"\\"a\\":"', '"\uFFFD"'),
  fc.string().map((text) => JSON.stringify(text)),
)
const written = fc.letrec<{ value: Written }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map((array) => ({ array })),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map((object) => ({ object })),
  ),
})).value

/** Writes a value with the given space around each token, and each key plain or with its first unit escaped. */
function write(value: Written, space: string, escape: boolean): string {
  if (typeof value === 'string') return `${space}${value}${space}`
  if ('array' in value) {
    return `${space}[${value.array.map((item) => write(item, space, escape)).join(',')}${space}]`
  }
  const members = value.object.map(([key, item], index) => {
    const plain = JSON.stringify(key)
    const hex = key.charCodeAt(0).toString(16).padStart(4, '0')
    const quoted =
      escape && index % 2 === 1 && key !== ''
        ? `"\\u${hex}${JSON.stringify(key.slice(1)).slice(1)}`
        : plain
    return `${space}${quoted}${space}:${write(item, space, escape)}`
  })
  return `{${members.join(',')}${space}}`
}

/** The value as it was meant, with none of the parser in it. */
function meant(value: Written): unknown {
  if (typeof value === 'string') return JSON.parse(value)
  if ('array' in value) return value.array.map(meant)
  return Object.fromEntries(value.object.map(([key, item]) => [key, meant(item)]))
}

function some(value: Written, holds: (keys: readonly string[]) => boolean): boolean {
  if (typeof value === 'string') return false
  if ('array' in value) return value.array.some((item) => some(item, holds))
  return (
    holds(value.object.map(([key]) => key)) || value.object.some(([, item]) => some(item, holds))
  )
}

const space = fc.constantFrom('', ' ', '\n\t')

test('of valid JSON exactly that with __proto__ or a key twice is refused, and the rest is what JSON.parse gives', () => {
  fc.assert(
    fc.property(written, space, fc.boolean(), (value, around, escape) => {
      const text = write(value, around, escape)
      const bytes = encode(text)
      if (some(value, (keys) => keys.includes('__proto__'))) {
        expect(['MR1004', 'MR1005']).toContain(verdict(bytes))
      } else if (some(value, (keys) => new Set(keys).size < keys.length)) {
        expect(verdict(bytes)).toBe('MR1005')
      } else {
        expect(verdict(bytes)).toEqual({ value: meant(value) })
        expect(parseJson(text)).toEqual(meant(value))
      }
    }),
    { numRuns: 10000 },
  )
})

test('bytes changed at random are refused exactly when they are not UTF-8 or not JSON', () => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(written, fc.array(change, { maxLength: 3 }), (value, changes) => {
      const bytes = encode(write(value, '', false))
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      const found = verdict(bytes)
      let text: string
      try {
        text = strict.decode(bytes)
      } catch {
        expect(found).toBe('MR1002')
        return
      }
      try {
        JSON.parse(text)
      } catch {
        expect(found).toBe('MR1001')
        return
      }
      expect(['MR1001', 'MR1002']).not.toContain(found)
    }),
    { numRuns: 10000 },
  )
})

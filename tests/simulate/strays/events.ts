/** Events and bodies as careless senders write them, each with the code that it must be answered with. */
import type { SeededRandom } from '../../../src/testing/index.ts'

export interface Stray {
  readonly id: string
  readonly bytes: Buffer
  /** Why it is refused; undefined: it is good. */
  readonly code: string | undefined
}

/** A body that is refused as a whole. */
export interface StrayBody {
  readonly code: string
  readonly format: 'json' | 'ndjson'
  readonly bytes: Buffer
}

const hour = 3_600_000
const day = 24 * hour
const deep = `${'['.repeat(70)}${']'.repeat(70)}`

type Flaw = readonly [code: string, text: (id: string, now: number) => string]

/** What is wrong with an event, given its id and the time now. */
const flaws: readonly [Flaw, ...Flaw[]] = [
  ['MR1001', (id) => `{"id":"${id}" oops}`],
  ['MR1002', (id) => `{"id":"${id} \u0080"}`],
  ['MR1003', (id) => `{"id":"${id}","who":"a","at":0,"n":${deep}}`],
  ['MR1004', (id) => `{"id":"${id}","__proto__":{}}`],
  ['MR1004', (id) => `{"id":"${id}","deep":{"__proto__":1}}`],
  ['MR1005', (id) => `{"id":"${id}","who":"a","at":0,"who":"b"}`],
  ['MR1005', (id) => `{"id":"${id}","who":"a","at":0,"wh\\u006f":"b"}`],
  ['MR1021', (id) => `{"id":7,"tag":"${id}"}`],
  ['MR1021', (id) => `"${id}"`],
  ['MR1021', (id) => `{"id":"${id}","who":"a","at":0,"deep":{"a":"no number"}}`],
  ['MR1022', (id) => `{"id":"${id}","at":0}`],
  ['MR1022', (id) => `{"id":"${id}","who":null,"at":0}`],
  ['MR1023', (id) => `{"id":"${id}","who":{"a":1},"at":0}`],
  ['MR1023', (id) => `{"id":"${id}","who":["a",["b"]],"at":0}`],
  ['MR1023', (id) => `{"id":"${id}","who":"\\ud800","at":0}`],
  ['MR1023', (id) => `{"id":"${id}","who":9007199254740993,"at":0}`],
  ['MR1024', (id) => `{"id":"${id}","who":"${'x'.repeat(8_193)}","at":0}`],
  ['MR1024', (id) => `{"id":"${id}","who":"${'\\u00e9'.repeat(4_097)}","at":0}`],
  ['MR1025', (id) => `{"id":"${id}","who":"a"}`],
  ['MR1025', (id) => `{"id":"${id}","who":"a","at":null}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":"soon, says ${'\\t'.repeat(90)}"}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":"2023-02-29"}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":"2023-02-20T10:20"}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":"2023-02-20T10:20:30.Z"}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":"2023-02-20T10:20+1:00"}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":1e300}`],
  ['MR1026', (id) => `{"id":"${id}","who":"a","at":true}`],
  ['MR1027', (id, now) => `{"id":"${id}","who":"a","at":${now + 300 * day}}`],
]

const whos = ['a', 'b', 'é', 5, -0.5, true, ['a', 1, null]] as const
const ms = ['m', 'mm', false, {}, 'z'] as const

export function drawStray(random: SeededRandom, id: string, now: number): Stray {
  const luck = random.float()
  if (luck < 0.3) {
    const [code, text] = random.pick(flaws)
    // One of the flaws is a byte that no UTF-8 has there.
    const encoding = code === 'MR1002' ? 'latin1' : 'utf8'
    return { id, code, bytes: Buffer.from(text(id, now), encoding) }
  }
  if (luck < 0.301) {
    const bytes = Buffer.from(`{"id":"${id}","who":"${'x'.repeat(1024 * 1024)}"}`)
    return { id, code: 'MR1020', bytes }
  }
  const fields: [string, unknown][] = [
    ['id', id],
    ['who', random.pick<unknown>(whos)],
    ['at', drawTime(random, now)],
  ]
  if (random.chance(0.9)) fields.push(['n', drawNumber(random)])
  if (random.chance(0.8))
    fields.push([
      'm',
      random.chance(0.2) ? random.pick<unknown>(ms) : random.pick([null, random.int(50), -1.5]),
    ])
  if (random.chance(0.5))
    fields.push(['deep', random.pick<object>([{ a: 1 }, { a: 2, b: 3 }, { b: 4 }, { c: 5, a: 6 }])])
  if (random.chance(0.2)) fields.push(['unknown', 'to the schema'])
  if (random.chance(0.3)) fields.reverse()
  return { id, code: undefined, bytes: Buffer.from(JSON.stringify(Object.fromEntries(fields))) }
}

/** What `odd` (pipeline.ts) fails at, keys of all kinds, and values that cannot be one. */
function drawNumber(random: SeededRandom): unknown {
  if (random.chance(0.6)) return random.int(16)
  if (random.chance(0.005)) return 99
  return random.pick(['5', 'x', true, -0, 1e21, null, {}, [1, 'b'], 'y'.repeat(9_000), 'ü\\"'])
}

/** The same kinds of times as `timeOf` reads. */
function drawTime(random: SeededRandom, now: number): unknown {
  const at = now - random.int(3 * day)
  const text = new Date(at).toISOString()
  switch (random.int(6)) {
    case 0:
      return at + 0.75
    case 1:
      return text
    case 2:
      return text.slice(0, 10)
    case 3:
      return `${text.slice(0, 16)}${random.pick(['+02:00', '-0730', '+05'])}`
    case 4:
      return `${text.slice(0, 10)} ${text.slice(11, 19)}.123456z`
    default:
      return at
  }
}

/** Milliseconds of a time that an event may have. */
export function timeOf(at: unknown): number {
  if (typeof at === 'number') return Math.floor(at)
  const text = String(at).replace(' ', 'T').replace('.123456z', '.123Z')
  return Date.parse(text.replace(/([+-]\d\d)(\d\d)?$/, zoned))
}

/** `Date.parse` wants the minutes of a zone, and a colon. */
function zoned(whole: string, hours: string, minutes: string | undefined, at: number): string {
  return at < 11 ? whole : `${hours}:${minutes ?? '00'}`
}

/** Puts events into one body. */
export function bodyOf(
  random: SeededRandom,
  strays: readonly Stray[],
): { readonly format: 'json' | 'ndjson'; readonly bytes: Buffer; readonly single: boolean } {
  const bom = random.chance(0.1) ? '\ufeff' : ''
  const only = strays.length === 1 ? strays[0] : undefined
  if (only !== undefined && random.chance(0.5))
    return { format: 'json', bytes: joined([`${bom} `, only.bytes, '\r\n']), single: true }
  if (random.chance(0.5)) {
    const end = random.pick(['\n', '\r\n', '\n \n\n'])
    const lines = strays.flatMap(({ bytes }) => [bytes, end])
    return { format: 'ndjson', bytes: joined([bom, ...lines]), single: false }
  }
  const space = random.pick(['', ' ', '\n\t'])
  const items = strays.flatMap(({ bytes }, i) => [i === 0 ? '' : `${space},`, space, bytes])
  return { format: 'json', bytes: joined([bom, '[', ...items, space, ']', space]), single: false }
}

export function drawStrayBody(random: SeededRandom): StrayBody {
  const good = '{"id":"never","who":"a","at":0}'
  const text = (code: string, format: 'json' | 'ndjson', body: string): StrayBody => ({
    code,
    format,
    bytes: Buffer.from(body),
  })
  // Large ones are rare.
  switch (random.chance(0.1) ? 10 + random.int(4) : random.int(7)) {
    case 0:
      return text('MR1028', 'json', ' \n')
    case 1:
      return text('MR1028', 'ndjson', '\r\n\n')
    case 2:
      return text('MR1028', 'json', `[${good},`)
    case 3:
      return text('MR1028', 'json', `[${good},,${good}]`)
    case 4:
      return text('MR1028', 'json', `[${good}] and more`)
    case 5:
      return text('MR1028', 'json', `[${good},"never`)
    case 6:
      return text('MR1028', 'json', `[${good}`)
    case 10:
      return text('MR1029', 'json', `[${'1,'.repeat(100_000)}1]`)
    case 11:
      return text('MR1029', 'ndjson', '1\n'.repeat(100_001))
    case 12:
      return { code: 'MR1030', format: 'json', bytes: Buffer.alloc(5 * 1024 * 1024 + 1, ' ') }
    default:
      return text(
        'MR1050',
        'json',
        `[${good}${',[1]'.repeat(1_001)}${`,"${'x'.repeat(1_000_000)}"`.repeat(2)}]`,
      )
  }
}

function joined(parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

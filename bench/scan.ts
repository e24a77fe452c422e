/**
 * `npm run bench -- scan [rows]`: rows per second of the scanners, beside a loop of JSON.parse over the same bytes, one after
 * another in every round. Each run adds up what it found, and fails when the sums differ.
 */
import { schemaOf } from '../src/schema/of.ts'
import { kinds } from '../src/schema/scan/scanner.ts'
import type { Scanner } from '../src/schema/scan/scanner.ts'
import { PlainScanner } from '../src/schema/scan/plain.ts'
import { WasmScanner } from '../src/schema/scan/wasm.ts'
import { choices, eventJson } from './workload.ts'

const rows = Number(process.argv[2] ?? 400_000)
const rounds = 5
const batch = 1_024

const Event = {
  type: 'object',
  properties: Object.fromEntries(
    ['user_id', 'page_id', 'ad_id', 'ad_type', 'event_type', 'ip_address']
      .map((name) => [name, { type: 'string' }])
      .concat([
        ['event_time', { type: 'number' }],
        ['amount', { type: 'number' }],
      ] as never),
  ),
} as const

interface Rows {
  readonly bytes: Buffer
  readonly ends: Int32Array
}

function written(make: (json: string, n: number) => string): Rows {
  const texts: string[] = []
  let n = 0
  for (const choice of choices(1, rows)) texts.push(make(eventJson(choice, n), n++))
  const bytes = Buffer.from(texts.join(''))
  const ends = new Int32Array(rows)
  let at = 0
  for (const [i, text] of texts.entries()) ends[i] = at += Buffer.byteLength(text)
  return { bytes, ends }
}

function reordered(json: string, n: number): string {
  if (n % 10 !== 0) return json
  const { event_type, ...rest } = JSON.parse(json) as { event_type: string }
  return JSON.stringify({ event_type, ...rest })
}

/** Length of the ad ids of views. */
function scanned(scanner: Scanner, keeps: boolean): ({ bytes, ends }: Rows) => number {
  const { root } = schemaOf(Event)
  const keep = keeps ? [{ path: 0, oneOf: ['view'] }] : []
  const spec = {
    shape: root,
    paths: ['event_type', 'ad_id', 'event_time'],
    keep,
    unknown: false,
  }
  const program = scanner.compile(spec)
  if (program === undefined) throw new Error('too large')
  return ({ bytes, ends }) => {
    let sum = 0
    for (let from = 0; from < rows; from += batch) {
      const count = Math.min(batch, rows - from)
      const start = from === 0 ? 0 : ends[from - 1]!
      scanner.begin()
      const base = scanner.place(bytes.subarray(start, ends[from + count - 1])) - start
      for (let i = 0, at = start; i < count; i++) {
        scanner.rowStarts[i] = base + at
        at = ends[from + i]!
        scanner.rowEnds[i] = base + at
      }
      const found = scanner.scan(program, count)
      const [type, ad] = found.spans
      for (let i = 0; i < found.count; i++) {
        const row = found.rows[i]!
        if (!keeps && type!.ends[row]! - type!.starts[row]! !== 4) continue
        if (keeps && type!.kinds[row] !== kinds.ascii) continue
        if (type!.ends[row]! - type!.starts[row]! === 4) sum += ad!.ends[row]! - ad!.starts[row]!
      }
    }
    return sum
  }
}

function parsed({ bytes, ends }: Rows): number {
  let sum = 0
  let at = 0
  for (let i = 0; i < rows; i++) {
    const event = JSON.parse(bytes.toString('latin1', at, ends[i])) as {
      event_type: string
      ad_id: string
    }
    at = ends[i]!
    if (event.event_type === 'view') sum += event.ad_id.length
  }
  return sum
}

for (const [name, data] of [
  ['one layout', written((json) => json)],
  ['10 % other order', written(reordered)],
] as const) {
  const contenders = [
    ['JSON.parse', parsed],
    ['wasm', scanned(new WasmScanner(), false)],
    ['wasm, where', scanned(new WasmScanner(), true)],
    ['plain', scanned(new PlainScanner(), false)],
  ] as const
  const times = contenders.map((): number[] => [])
  const expected = parsed(data)
  for (let round = -1; round < rounds; round++) {
    for (const [i, [what, run]] of contenders.entries()) {
      const began = performance.now()
      const sum = run(data)
      if (round >= 0) times[i]!.push(performance.now() - began)
      if (sum !== expected) throw new Error(`${what} found ${sum} and not ${expected}`)
    }
  }
  console.log(`${name}: ${(data.bytes.length / rows).toFixed(0)} bytes a row`)
  const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1]!
  for (const [i, [what]] of contenders.entries()) {
    const ms = median(times[i]!)
    console.log(
      `  ${what.padEnd(12)} ${(rows / ms / 1000).toFixed(2)} M rows/s, ${(median(times[0]!) / ms).toFixed(1)} x`,
    )
  }
}

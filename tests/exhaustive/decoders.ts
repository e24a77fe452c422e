/** Mutations of valid encodings, each by its number, so that any part of them can be run, and again. */
import { getHeapStatistics } from 'node:v8'
import type { Subject } from './subject.ts'

/** A small generator that starts anew for every mutation: what comes out depends on seed and number only. */
class Draw {
  #state: number
  constructor(seed: number, number: number) {
    this.#state =
      Math.imul(seed ^ (number / 2 ** 32), 0x9e3779b1) ^ Math.imul(number | 0, 0x85ebca6b)
  }
  int(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % bound
  }
}

const words = [0, 1, 2, 7, 0x7f, 0xff, 0xffff, 65_536, 65_537, 0x7fffffff, 0x80000000, 0xffffffff]
const floats = [0, -0, -1, 0.5, 2 ** 32, 2 ** 53, 2 ** 53 - 1, 1e300, NaN, Infinity, -Infinity]
const letters = Buffer.from('{}[]",:\\ \n\t0-9.eEtfnu/\u00e9\u0000')

function mutate(subject: Subject, draw: Draw): Uint8Array {
  const pick = (): Uint8Array => subject.seeds[draw.int(subject.seeds.length)]!
  // Bytes that were changed are rarely JSON any more: half of the time it is a value in it that changes.
  if (subject.json === true && draw.int(2) === 0) return withOtherValues(pick(), draw)
  let bytes = new Uint8Array(pick())
  for (let left = 1 + draw.int(3); left > 0; left--) {
    if (bytes.length === 0) return bytes
    const at = draw.int(bytes.length)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    switch (draw.int(10)) {
      case 0:
      case 1:
        bytes[at] = bytes[at]! ^ (1 << draw.int(8))
        break
      case 2:
        bytes[at] = draw.int(256)
        break
      case 3:
        bytes[at] = letters[draw.int(letters.length)]!
        break
      case 4: {
        const word =
          draw.int(3) === 0 ? bytes.length - draw.int(17) : words[draw.int(words.length)]!
        if (bytes.length >= 4) view.setUint32((at & ~3) % (bytes.length - 3), word >>> 0, true)
        break
      }
      case 5:
        if (bytes.length >= 8)
          view.setFloat64((at & ~7) % (bytes.length - 7), floats[draw.int(floats.length)]!, true)
        break
      case 6:
        bytes = bytes.slice(0, at)
        break
      case 7:
        bytes = joined(bytes, new Uint8Array(1 + draw.int(96)))
        break
      case 8:
        bytes = joined(bytes.subarray(0, at), pick().subarray(draw.int(at + 1)))
        break
      default:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at + draw.int(24)))
    }
  }
  // Half of them with sums that are right, so that what lies behind these is reached as well.
  if (draw.int(2) === 0) subject.seal?.(bytes)
  return bytes
}

const values = [
  null,
  true,
  0,
  -1,
  0.5,
  1e15,
  2 ** 24,
  2 ** 40,
  2 ** 53,
  '',
  'events',
  '0',
  [],
  [1],
  {},
  { id: 1 },
]

/** The first line is JSON; one to three of its values become others, or are left out. */
function withOtherValues(seed: Uint8Array, draw: Draw): Uint8Array {
  const [line = '', ...rest] = Buffer.from(seed).toString().split('\n')
  const root = { value: JSON.parse(line) as unknown }
  for (let left = 1 + draw.int(3); left > 0; left--) {
    const places: [owner: Record<string, unknown>, name: string][] = []
    const walk = (owner: object): void => {
      for (const [name, value] of Object.entries(owner)) {
        places.push([owner as Record<string, unknown>, name])
        if (typeof value === 'object' && value !== null) walk(value)
      }
    }
    walk(root)
    if (places.length === 0) break
    const [owner, name] = places[draw.int(places.length)]!
    const how = draw.int(8)
    if (how === 0) delete owner[name]
    else if (how === 1) owner[name] = structuredClone(places[draw.int(places.length)]![0])
    else owner[name] = structuredClone(values[draw.int(values.length)])
  }
  // Larger than any number: no value of JavaScript is written like that.
  const text = (JSON.stringify(root.value) ?? '').replace('1000000000000000', '1e999')
  return Buffer.from([text, ...rest].join('\n'))
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

export interface DecoderResult {
  readonly mutations: number
  readonly taken: number
  readonly broken: readonly string[]
}

/** Each in turn; in the place of one that takes long comes, most of the time, the next. */
function subjectOf(subjects: readonly Subject[], number: number): Subject {
  const at = number % subjects.length
  const subject = subjects[at]!
  const passed = subject.slow === true && Math.floor(number / subjects.length) % 8 !== 0
  return passed ? subjects[(at + 1) % subjects.length]! : subject
}

const longestMs = 1_000
/** What a decoder may take: so many times what it reads, and something besides. */
const mostTimes = 64
const mostBesides = 2 * 1024 * 1024
/** What all of it may grow by. */
const mostGrowth = 512 * 1024 * 1024

/** Memory of JavaScript values and of buffers. What was let go is still counted until it is collected. */
function taken(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

/** On a busy machine anything may take long; what does so every time is slow itself. */
async function isSlow(subject: Subject, bytes: Uint8Array): Promise<boolean> {
  for (let again = 0; again < 3; again++) {
    const started = performance.now()
    try {
      await subject.decode(bytes)
    } catch {
      // It was said already.
    }
    if (performance.now() - started <= longestMs) return false
  }
  return true
}

/** Runs mutations `from` to `from + count`, every decoder in turn. */
export async function decoders(
  subjects: readonly Subject[],
  seed: number,
  from: number,
  count: number,
  tell: (line: string) => void,
): Promise<DecoderResult> {
  const broken: string[] = []
  let valid = 0
  let told = performance.now()
  const before = process.memoryUsage.rss()
  let held = taken()
  for (let number = from; number < from + count; number++) {
    const subject = subjectOf(subjects, number)
    const bytes = mutate(subject, new Draw(seed, number))
    const flawed = (what: string): void => {
      const line = `mutation ${number}, ${subject.name}: ${what}`
      broken.push(line)
      // A long run says it at once: whoever waits for the end may not live to see it.
      if (broken.length <= 3) tell(line)
    }
    const copy = number % 64 < subjects.length ? bytes.slice() : undefined
    const started = performance.now()
    try {
      // Most decoders are synchronous, and stay so: waiting for nothing costs as much as decoding.
      const is = subject.decode(bytes)
      if (is === true || (is !== false && (await is))) valid++
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      flawed(what.slice(0, 600))
    }
    const ended = performance.now()
    const now = taken()
    const grown = now - held
    held = now
    if (ended - started > longestMs && (await isSlow(subject, bytes)))
      flawed(`took ${Math.round(ended - started)} ms`)
    if (grown > mostBesides + mostTimes * bytes.length) flawed(`took ${grown} bytes of memory`)
    if (copy !== undefined && Buffer.compare(copy, bytes) !== 0)
      flawed('the decoder wrote into what it read')
    if (broken.length > 100) break
    if (number % 4_096 === 0 && process.memoryUsage.rss() - before > mostGrowth)
      flawed('what all of them took together was not given back')
    if (ended - told < 10_000) continue
    told = ended
    tell(
      `${number + 1 - from} mutations, ${broken.length} violations; go on with --from ${number + 1}`,
    )
  }
  return { mutations: count, taken: valid, broken }
}

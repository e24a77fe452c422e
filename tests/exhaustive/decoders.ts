/** Mutations of valid encodings, each by its number, so that any part of them can be run, and again. */
import type { Subject } from './decoder-subjects.ts'

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

const mostMemory = 512 * 1024 * 1024
const longestMs = 1_000

/** Runs mutations `from` to `from + count`, every decoder in turn. */
export function decoders(
  subjects: readonly Subject[],
  seed: number,
  from: number,
  count: number,
  tell: (line: string) => void,
): DecoderResult {
  const broken: string[] = []
  let taken = 0
  let told = performance.now()
  const before = process.memoryUsage.rss()
  for (let number = from; number < from + count; number++) {
    const subject = subjects[number % subjects.length]!
    const bytes = mutate(subject, new Draw(seed, number))
    const copy = number % 64 < subjects.length ? bytes.slice() : undefined
    const started = performance.now()
    try {
      if (subject.decode(bytes)) taken++
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      broken.push(`mutation ${number}, ${subject.name}: ${what.slice(0, 600)}`)
    }
    const ended = performance.now()
    if (ended - started > longestMs)
      broken.push(`mutation ${number}, ${subject.name}: took ${Math.round(ended - started)} ms`)
    if (copy !== undefined && Buffer.compare(copy, bytes) !== 0)
      broken.push(`mutation ${number}, ${subject.name}: the decoder wrote into what it read`)
    if (number % 4_096 !== 0) continue
    const grown = process.memoryUsage.rss() - before
    if (grown > mostMemory) broken.push(`mutation ${number}: memory grew by ${grown} bytes`)
    if (broken.length > 100) break
    if (ended - told < 10_000) continue
    told = ended
    tell(
      `${number + 1 - from} mutations, ${broken.length} violations; go on with --from ${number + 1}`,
    )
  }
  return { mutations: count, taken, broken }
}

/** A scanner in plain TypeScript, for machines whose WebAssembly has no SIMD: one walk over each row, whatever it looks like. */
import { flags, kinds } from './scanner.ts'
import type { Dictionary, Scanned, ScanProgram, Scanner, ScanSpec, Spans } from './scanner.ts'
import {
  backslash,
  closeBrace,
  colon,
  comma,
  kindOf,
  openBrace,
  quote,
  skipSpace,
  stringEnd,
  stringKind,
  valueEnd,
} from './text.ts'
import type { Child, Node } from './tree.ts'
import { treeOf } from './tree.ts'

interface PlainProgram extends ScanProgram {
  readonly tree: Node
  readonly spans: readonly Spans[]
}

const maxRows = 1_024

const mostTexts = 8_192

class PlainDictionary implements Dictionary {
  readonly #codes = new Map<string, number>()
  readonly #texts: string[] = []

  get size(): number {
    return this.#texts.length
  }

  text(code: number): string {
    return this.#texts[code]!
  }

  code(text: string): number {
    const known = this.#codes.get(text)
    if (known !== undefined || this.size === mostTexts) return known ?? -1
    this.#codes.set(text, this.size)
    return this.#texts.push(text) - 1
  }
}

export class PlainScanner implements Scanner<PlainProgram> {
  readonly maxRows = maxRows
  readonly rowStarts = new Int32Array(maxRows)
  readonly rowEnds = new Int32Array(maxRows)
  readonly #flags = new Uint8Array(maxRows)
  readonly #rows = Int32Array.from({ length: maxRows }, (_, row) => row)
  #memory = Buffer.alloc(64 * 1024)
  #used = 0
  #spans: readonly Spans[] = []
  readonly #dictionaries = new Map<string, PlainDictionary>()

  get memory(): Buffer {
    return this.#memory
  }

  compile(spec: ScanSpec): PlainProgram {
    const spans = spec.paths.map(() => ({
      starts: new Int32Array(maxRows),
      ends: new Int32Array(maxRows),
      kinds: new Uint8Array(maxRows),
    }))
    return { spec, tree: treeOf(spec.shape, spec.paths), spans }
  }

  begin(): void {
    this.#used = 0
  }

  place(bytes: Uint8Array): number {
    const at = this.#used
    if (at + bytes.length > this.#memory.length) {
      const grown = Buffer.alloc(Math.max(this.#memory.length * 2, at + bytes.length))
      grown.set(this.#memory.subarray(0, at))
      this.#memory = grown
    }
    this.#memory.set(bytes, at)
    this.#used = at + bytes.length
    return at
  }

  scan(program: PlainProgram, count: number): Scanned {
    this.#spans = program.spans
    for (let row = 0; row < count; row++) {
      this.#flags[row] = 0
      for (const spans of program.spans) spans.kinds[row] = kinds.absent
      this.#row(program.tree, row)
    }
    const undecided = program.spec.keep.length > 0
    return { spans: program.spans, flags: this.#flags, rows: this.#rows, count, undecided }
  }

  dictionary(name: string): PlainDictionary {
    const known = this.#dictionaries.get(name) ?? new PlainDictionary()
    this.#dictionaries.set(name, known)
    return known
  }

  intern(
    { starts, ends, kinds: found }: Spans,
    rows: Int32Array,
    count: number,
    dictionary: PlainDictionary,
    into: Int32Array,
  ): void {
    for (let i = 0; i < count; i++) {
      const row = rows[i]!
      const kind = found[row]
      into[row] =
        kind === kinds.ascii || kind === kinds.text
          ? dictionary.code(this.#memory.toString('utf8', starts[row], ends[row]))
          : -1
    }
  }

  #row(tree: Node, row: number): void {
    const end = this.rowEnds[row]!
    const stop = this.#object(tree, skipSpace(this.#memory, this.rowStarts[row]!, end), end, row)
    if (stop < 0 || skipSpace(this.#memory, stop, end) !== end) this.#flag(row, flags.odd)
  }

  #flag(row: number, bit: number): void {
    this.#flags[row] = this.#flags[row]! | bit
  }

  /** Behind the object at `from`; -1 where there is none, or something out of the ordinary in it. */
  #object(node: Node, from: number, end: number, row: number): number {
    const memory = this.#memory
    if (memory[from] !== openBrace) return -1
    let at = skipSpace(memory, from + 1, end)
    if (memory[at] === closeBrace && at < end) return at + 1
    while (at < end && memory[at] === quote) {
      const nameEnd = stringEnd(memory, at + 1, end)
      if (nameEnd < 0) return -1
      const name = memory.subarray(at + 1, nameEnd)
      if (name.includes(backslash)) return -1
      at = skipSpace(memory, nameEnd + 1, end)
      if (at >= end || memory[at] !== colon) return -1
      at = skipSpace(memory, at + 1, end)
      const child = node.children.find(({ bytes }) => name.equals(bytes))
      if (child === undefined && node.closed) this.#flag(row, flags.unknown)
      at = child === undefined ? valueEnd(memory, at, end) : this.#member(child, at, end, row)
      if (at < 0) return -1
      at = skipSpace(memory, at, end)
      if (at >= end) return -1
      if (memory[at] === closeBrace) return at + 1
      if (memory[at] !== comma) return -1
      at = skipSpace(memory, at + 1, end)
    }
    return -1
  }

  #member({ column, node }: Child, from: number, end: number, row: number): number {
    const memory = this.#memory
    if (from >= end) return -1
    if (memory[from] === quote) {
      const stop = stringEnd(memory, from + 1, end)
      if (stop < 0) return -1
      this.#record(column, row, from + 1, stop, stringKind(memory, from + 1, stop))
      return stop + 1
    }
    const kind = kindOf(memory[from])
    // What lies inside an array is reached by no path of a scanner.
    if (kind === kinds.absent || (kind === kinds.array && node !== undefined)) return -1
    const isKnown = kind === kinds.object && node !== undefined
    const stop = isKnown ? this.#object(node, from, end, row) : valueEnd(memory, from, end)
    if (stop >= 0) this.#record(column, row, from, stop, kind)
    return stop
  }

  #record(column: number, row: number, from: number, to: number, kind: number): void {
    const spans = this.#spans[column]
    if (spans === undefined) return
    spans.starts[row] = from
    spans.ends[row] = to
    spans.kinds[row] = kind
  }
}

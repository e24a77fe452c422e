/**
 * The scanner in WebAssembly with SIMD. What is compiled here is laid out in its memory as wasm/scan.ts reads it: a tree of
 * the known fields, and templates learned from rows. A batch goes through the templates first, those that fit most often
 * before the others; what fits none is walked over by the tree.
 */
import { must } from '../../core/assert.ts'
import { canRun, instantiate } from '../../core/wasm.ts'
import { flags } from './scanner.ts'
import type { Dictionary, Scanned, ScanProgram, Scanner, ScanSpec, Spans } from './scanner.ts'
import type { SlotKind, Template } from './template.ts'
import { templateOf } from './template.ts'
import type { Node } from './tree.ts'
import { treeOf } from './tree.ts'
import { wasmBinary } from './wasm-binary.ts'

interface Exports {
  configure(
    rows: number,
    starts: number,
    ends: number,
    flags: number,
    kept: number,
    firsts: number,
    lasts: number,
    kinds: number,
  ): void
  scanTemplate(template: number, list: number, count: number, misses: number): number
  scanGeneral(root: number, list: number, count: number, columns: number): void
  intern(column: number, list: number, count: number, dictionary: number, into: number): void
}

interface Fitting {
  readonly template: Template
  /** Rows that fitted in the batches since the last one in which the order was looked at. */
  hits: number
}

interface WasmProgram extends ScanProgram {
  readonly tree: Node
  readonly templates: Fitting[]
  /** Rows that were scanned since a template was last learned, and those of them that fitted none. */
  rows: number
  misses: number
  /** Where its parts lie in the memory; undefined when another program lies there. */
  laid: { readonly root: number; readonly templates: readonly number[] } | undefined
}

const maxRows = 1_024
const maxColumns = 256
const mostTemplates = 4
/** A batch is read from blocks that hold this much together at most. */
const inputBytes = 40 * 2 ** 20
const programBytes = 256 * 2 ** 10
/** What a load may read behind the last row. */
const slack = 64
const mostDictionaries = 24
const dictionarySlots = 16_384
const dictionaryEntries = 8_192
const textBytes = 512 * 2 ** 10
const dictionaryBytes = 20 + 4 * dictionarySlots + 12 * dictionaryEntries + textBytes
const slotKinds: Readonly<Record<SlotKind, number>> = {
  string: 0,
  scalar: 1,
  any: 2,
  opens: 3,
  closes: 4,
}
const undecidedFlag = 128
const droppedFlag = 64

/** Whether this machine can run it. */
export function hasSimd(): boolean {
  return canRun(wasmBinary)
}

export class WasmScanner implements Scanner<WasmProgram> {
  readonly maxRows = maxRows
  readonly memory: Buffer
  readonly rowStarts: Int32Array
  readonly rowEnds: Int32Array
  readonly #wasm: Exports
  readonly #view: DataView
  readonly #flags: Uint8Array
  readonly #kept: Uint8Array
  /** Lists of rows: all or those left over, those missed, those kept. */
  readonly #list: Int32Array
  readonly #misses: Int32Array
  readonly #rows: Int32Array
  readonly #codes: Int32Array
  readonly #spans: readonly Spans[]
  readonly #program: number
  readonly #dictionariesAt: number
  readonly #dictionaries = new Map<string, WasmDictionary>()
  readonly #input: number
  #used: number
  #current: WasmProgram | undefined

  constructor() {
    const tables = new Tables()
    const starts = tables.take(4 * maxRows)
    const ends = tables.take(4 * maxRows)
    const rowFlags = tables.take(maxRows)
    const kept = tables.take(maxRows)
    const lists = [0, 1, 2, 3].map(() => tables.take(4 * maxRows))
    const firsts = tables.take(4 * maxRows * maxColumns)
    const lasts = tables.take(4 * maxRows * maxColumns)
    const kinds = tables.take(maxRows * maxColumns)
    this.#program = tables.take(programBytes)
    this.#dictionariesAt = tables.take(mostDictionaries * (dictionaryBytes + 16))
    this.#input = tables.take(inputBytes)
    this.#used = this.#input
    const { wasm, memory } = instantiate<Exports>(wasmBinary, tables.used + slack)
    const { buffer } = memory
    this.#wasm = wasm
    this.#wasm.configure(maxRows, starts, ends, rowFlags, kept, firsts, lasts, kinds)
    this.memory = memory
    this.#view = new DataView(buffer)
    this.rowStarts = new Int32Array(buffer, starts, maxRows)
    this.rowEnds = new Int32Array(buffer, ends, maxRows)
    this.#flags = new Uint8Array(buffer, rowFlags, maxRows)
    this.#kept = new Uint8Array(buffer, kept, maxRows)
    const [list, misses, rows, codes] = lists.map((at) => new Int32Array(buffer, at, maxRows))
    this.#list = list!
    this.#misses = misses!
    this.#rows = rows!
    this.#codes = codes!
    this.#spans = Array.from({ length: maxColumns }, (_, column) => ({
      starts: new Int32Array(buffer, firsts + 4 * maxRows * column, maxRows),
      ends: new Int32Array(buffer, lasts + 4 * maxRows * column, maxRows),
      kinds: new Uint8Array(buffer, kinds + maxRows * column, maxRows),
    }))
  }

  /** Undefined for a spec that needs larger tables than there are: more than 256 paths, or names of many kilobytes. */
  compile(spec: ScanSpec): WasmProgram | undefined {
    const tree = treeOf(spec.shape, spec.paths)
    if (spec.paths.length > maxColumns || sizeOf(tree) > programBytes / 4) return undefined
    return { spec, tree, templates: [], rows: 0, misses: 0, laid: undefined }
  }

  begin(): void {
    this.#used = this.#input
  }

  place(bytes: Uint8Array): number {
    if (bytes.buffer === this.memory.buffer) return bytes.byteOffset
    const at = this.#used
    if (at + bytes.length > this.#input + inputBytes) return -1
    this.memory.set(bytes, at)
    this.#used = at + bytes.length
    return at
  }

  scan(program: WasmProgram, count: number): Scanned {
    const { spec } = program
    this.#lay(program)
    for (let row = 0; row < count; row++) this.#list[row] = row
    let left = count
    const { root, templates } = must(program.laid, 'a program is laid out before it runs')
    for (const [i, at] of templates.entries()) {
      const missed = this.#wasm.scanTemplate(
        at,
        this.#list.byteOffset,
        left,
        this.#misses.byteOffset,
      )
      program.templates[i]!.hits += left - missed
      this.#list.set(this.#misses.subarray(0, missed))
      left = missed
      if (left === 0) break
    }
    this.#wasm.scanGeneral(root, this.#list.byteOffset, left, spec.paths.length)
    if (left > 0) this.#learn(program, count, left)
    return this.#scanned(spec, count)
  }

  dictionary(name: string): WasmDictionary | undefined {
    const known = this.#dictionaries.get(name)
    const count = this.#dictionaries.size
    if (known !== undefined || count === mostDictionaries) return known
    const at = this.#dictionariesAt + count * ((dictionaryBytes + 15) & ~15)
    const made = new WasmDictionary(this.#view, this.memory, at)
    this.#dictionaries.set(name, made)
    return made
  }

  intern(
    spans: Spans,
    rows: Int32Array,
    count: number,
    dictionary: WasmDictionary,
    into: Int32Array,
  ): void {
    const list = this.#listed(rows, count)
    const column = this.#spans.indexOf(spans) * maxRows
    this.#wasm.intern(column, list, count, dictionary.at, this.#codes.byteOffset)
    for (let i = 0; i < count; i++) into[rows[i]!] = this.#codes[rows[i]!]!
  }

  #listed(rows: Int32Array, count: number): number {
    if (rows.buffer === this.memory.buffer) return rows.byteOffset
    this.#list.set(rows.subarray(0, count))
    return this.#list.byteOffset
  }

  /** Collects the rows that were kept. */
  #scanned(spec: ScanSpec, count: number): Scanned {
    const rows = this.#rows
    let kept = 0
    let undecided = false
    for (let row = 0; row < count; row++) {
      if (this.#kept[row] === 0) continue
      rows[kept++] = row
      if ((this.#flags[row]! & undecidedFlag) !== 0) undecided = true
    }
    undecided &&= spec.keep.length > 0
    return { spans: this.#spans, flags: this.#flags, rows, count: kept, undecided }
  }

  /** A template of a row that fitted none, where many did not. */
  #learn(program: WasmProgram, count: number, left: number): void {
    program.rows += count
    program.misses += left
    if (program.misses * 16 < program.rows && program.templates.length > 0) return
    const row = this.#list[0]!
    const [start, end] = [this.rowStarts[row]!, this.rowEnds[row]!]
    if ((this.#flags[row]! & flags.odd) === 0) {
      const columns = program.spec.paths.length
      const template = templateOf(this.memory, start, end, program.tree, columns)
      if (template !== undefined && templateBytes(program.spec, template) < programBytes / 8) {
        const { templates } = program
        templates.sort((a, b) => b.hits - a.hits)
        templates.splice(mostTemplates - 1)
        templates.push({ template, hits: 0 })
        for (const fitting of templates) fitting.hits >>>= 1
      }
    }
    program.laid = undefined
    program.rows = 0
    program.misses = 0
  }

  #lay(program: WasmProgram): void {
    if (this.#current === program && program.laid !== undefined) return
    if (this.#current !== undefined) this.#current.laid = undefined
    this.#current = program
    const writer = new ProgramWriter(this.#view, this.memory, this.#program)
    program.laid = {
      root: writer.node(program.tree),
      templates: program.templates.map(({ template }) => writer.template(template, program.spec)),
    }
  }
}

class WasmDictionary implements Dictionary {
  readonly at: number
  readonly #view: DataView
  readonly #memory: Buffer
  readonly #texts: string[] = []

  constructor(view: DataView, memory: Buffer, at: number) {
    this.#view = view
    this.#memory = memory
    this.at = at
    const texts = at + dictionaryBytes - textBytes
    const head = [0, dictionaryEntries, texts, texts + textBytes, dictionarySlots - 1]
    for (const [i, word] of head.entries()) view.setInt32(at + 4 * i, word, true)
  }

  get size(): number {
    return this.#view.getInt32(this.at, true)
  }

  text(code: number): string {
    const known = this.#texts[code]
    if (known !== undefined) return known
    const entry = this.at + 20 + 4 * dictionarySlots + 12 * code
    const start = this.#view.getInt32(entry + 4, true)
    const end = start + this.#view.getInt32(entry + 8, true)
    return (this.#texts[code] = this.#memory.toString('utf8', start, end))
  }
}

/** Hands out the memory, 16-byte aligned; the first bytes are nobody's, so that 0 is no address. */
class Tables {
  used = 1_024

  take(bytes: number): number {
    const at = this.used
    this.used = (at + bytes + 15) & ~15
    return at
  }
}

/** Lays a program out; see wasm/scan.ts for what lies where. */
class ProgramWriter {
  readonly #view: DataView
  readonly #memory: Uint8Array
  #at: number

  constructor(view: DataView, memory: Uint8Array, at: number) {
    this.#view = view
    this.#memory = memory
    this.#at = at
  }

  node(node: Node): number {
    const children = node.children.map((child) => ({
      name: this.#bytes(child.bytes),
      length: child.bytes.length,
      column: child.column < 0 ? -1 : child.column * maxRows,
      inner: child.node === undefined ? 0 : this.node(child.node),
    }))
    const at = this.#take(8 + 16 * children.length)
    this.#words(at, [children.length, node.closed ? 1 : 0])
    for (const [i, { name, length, column, inner }] of children.entries())
      this.#words(at + 8 + 16 * i, [name, length, column, inner])
    return at
  }

  template(template: Template, spec: ScanSpec): number {
    const slots = template.slots.map(({ literal, kind, column }) => [
      this.#bytes(literal),
      literal.length,
      slotKinds[kind],
      column < 0 ? -1 : column * maxRows,
      column < 0 ? 0 : this.#keep(spec, column),
    ])
    // Behind the last value that anyone wants nothing is looked at; one that was not found may be anywhere.
    const whole = spec.unknown || template.absent.length > 0
    const last = template.slots.findLastIndex(({ column }) => column >= 0)
    const looked = whole ? slots.length : last + 1
    const tail = this.#bytes(template.tail)
    const absent = template.absent.map((column) => column * maxRows)
    const at = this.#take(24 + 20 * slots.length + 4 * absent.length)
    const drops = spec.keep.some(({ path }) => template.absent.includes(path))
    const bits = (template.unknown ? flags.unknown : 0) | (drops ? droppedFlag : 0)
    const head = [tail, template.tail.length, absent.length, bits]
    this.#words(at, [slots.length, looked, ...head, ...slots.flat(), ...absent])
    return at
  }

  /** The texts of which one must stand at a path; 0 where any may. */
  #keep(spec: ScanSpec, column: number): number {
    const keep = spec.keep.find(({ path }) => path === column)
    if (keep === undefined) return 0
    const texts = keep.oneOf.map((text) => Buffer.from(text))
    const words = texts.flatMap((text) => [this.#bytes(text), text.length])
    const at = this.#take(4 + 4 * words.length)
    this.#words(at, [texts.length, ...words])
    return at
  }

  #bytes(bytes: Uint8Array): number {
    // Comparing reads whole vectors.
    const at = this.#take(bytes.length + 16)
    this.#memory.set(bytes, at)
    return at
  }

  #words(at: number, words: readonly number[]): void {
    for (const [i, word] of words.entries()) this.#view.setInt32(at + 4 * i, word, true)
  }

  #take(bytes: number): number {
    const at = this.#at
    this.#at = (at + bytes + 15) & ~15
    return at
  }
}

function sizeOf(node: Node): number {
  let bytes = 64
  for (const { bytes: name, node: inner } of node.children)
    bytes += name.length + 64 + (inner === undefined ? 0 : sizeOf(inner))
  return bytes
}

function templateBytes(spec: ScanSpec, { slots, tail, absent }: Template): number {
  let bytes = 256 + tail.length + 4 * absent.length
  for (const { literal } of slots) bytes += literal.length + 80
  for (const { oneOf } of spec.keep) for (const text of oneOf) bytes += 3 * text.length + 64
  return bytes
}

/** Rows that a scanner finds in the bytes of blocks: nothing is parsed before an operator asks for it. */
import { assert } from '../core/assert.ts'
import type { BlockView } from '../log/block.ts'
import type { Condition } from '../pipeline/definition.ts'
import type { StageInput } from '../plan/plan.ts'
import { parseJson } from '../schema/json-parse.ts'
import { flags } from '../schema/scan/scanner.ts'
import type { ScanProgram, Scanner } from '../schema/scan/scanner.ts'
import { isViewable, viewPaths } from '../schema/scan/views.ts'
import type { Field } from '../schema/schema.ts'
import type { InputRules } from './judge.ts'
import { Judge } from './judge.ts'
import type { GroupKey } from './keys.ts'
import { groupKey } from './keys.ts'
import type { Reads } from './reads.ts'
import type { Refused, RowPlace, RowReader } from './row-reader.ts'
import { RowTable } from './row-table.ts'
import type { Columns } from './rows.ts'
import { RowBatch } from './rows.ts'
import { ScannedContent } from './scanned-content.ts'
import { Shaper } from './shape.ts'

export interface ScannedInput {
  readonly index: number
  readonly role: StageInput['role']
  readonly rules: InputRules | undefined
  /** What the rows look like, where that is known. */
  readonly shape: Field | undefined
  readonly reads: Reads
}

export class ScannedRows implements RowReader {
  readonly #scanner: Scanner
  readonly #program: ScanProgram
  /** Conditions that rows are dropped by. */
  readonly #keeps: ReadonlySet<Condition>
  readonly #judge: Judge
  readonly #keyPath: string | undefined
  readonly #table: RowTable
  readonly #shaper: Shaper
  readonly #content: ScannedContent
  /** The block last read from. */
  #bytes: Uint8Array | undefined
  #buffer: Buffer = Buffer.alloc(0)

  /** Undefined where rows of this input must be parsed. */
  static of(scanner: Scanner, input: ScannedInput): ScannedRows | undefined {
    const { rules, shape, reads, role } = input
    const { views } = reads
    if (views && !isViewable(shape)) return undefined
    const key = role === 'stream' ? rules?.key?.path : undefined
    const all = new Set([
      ...reads.paths,
      ...(views && shape !== undefined ? viewPaths(shape) : []),
      ...(key === undefined ? [] : [key]),
    ])
    const paths = [...all]
    const keep = reads.keep.map(({ path, oneOf }) => ({ path: paths.indexOf(path), oneOf }))
    const program = scanner.compile({
      shape,
      paths,
      keep,
      unknown: reads.written,
    })
    return program === undefined ? undefined : new ScannedRows(scanner, program, input, key)
  }

  private constructor(
    scanner: Scanner,
    program: ScanProgram,
    { index, role, rules, shape, reads }: ScannedInput,
    keyPath: string | undefined,
  ) {
    this.#scanner = scanner
    this.#program = program
    this.#keeps = new Set(reads.keep.map(({ condition }) => condition))
    this.#judge = new Judge(role, rules)
    this.#keyPath = keyPath
    this.#table = new RowTable(index, role === 'repartition')
    this.#shaper = new Shaper(shape)
    const parsed = (row: number): unknown => this.#parsed(row)
    const { paths } = program.spec
    this.#content = new ScannedContent(scanner, paths, shape, reads.views, parsed)
  }

  get count(): number {
    return this.#table.count
  }

  get columns(): Columns {
    return this.#table.columns
  }

  start(): void {
    this.#table.start()
    this.#bytes = undefined
  }

  read(
    view: BlockView,
    from: number,
    to: number,
    place: RowPlace,
    refused: Refused,
    wanted?: (value: unknown) => boolean,
  ): void {
    if (view.bytes !== this.#bytes) {
      const { bytes } = view
      this.#bytes = bytes
      this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    // What is good and follows each other becomes rows at once.
    let good = from
    const trusted = this.#judge.trusts(view) && wanted === undefined
    for (let i = from; i < to; i++) {
      if (trusted && view.valueStarts[i]! >= 0) continue
      const refusal = this.#judge.refusal(view, this.#buffer, i)
      if (refusal === undefined && this.#isWanted(view, i, wanted)) continue
      if (good < i) this.#table.add(view, this.#buffer, good, i, place)
      if (refusal !== undefined) refused(i, refusal)
      good = i + 1
    }
    if (good < to) this.#table.add(view, this.#buffer, good, to, place)
  }

  batch(): RowBatch {
    const table = this.#table
    const scanned = this.#scan()
    const content = this.#content
    content.found(scanned)
    const key = this.#keyPath === undefined ? undefined : content.column(this.#keyPath)
    const keys = (row: number): GroupKey | undefined =>
      key === undefined ? table.key(row) : groupKey(key.get(row))
    const raws = (row: number): Uint8Array => table.raw(row)
    const exact = (row: number): boolean => this.#isExact(scanned.flags[row]!, row)
    const batch = new RowBatch(table.count, table.columns, content, keys, raws, exact)
    batch.selected = scanned
    batch.met = scanned.undecided ? undefined : this.#keeps
    return batch
  }

  #scan(): ReturnType<Scanner['scan']> {
    const scanner = this.#scanner
    const { starts, ends, count } = this.#table
    assert(count <= scanner.maxRows, 'I10: the rows of a batch fit the tables of the scanner')
    scanner.begin()
    for (const { from, to, buffer } of this.#table.runs) {
      const first = starts[from]!
      const base = scanner.place(buffer.subarray(first, ends[to - 1]))
      assert(base >= 0, 'the rows of a batch fit the memory of the scanner')
      const shift = base - first
      for (let row = from; row < to; row++) {
        scanner.rowStarts[row] = starts[row]! + shift
        scanner.rowEnds[row] = ends[row]! + shift
      }
    }
    return scanner.scan(this.#program, count)
  }

  #isWanted(
    view: BlockView,
    i: number,
    wanted: ((value: unknown) => boolean) | undefined,
  ): boolean {
    if (wanted === undefined) return true
    const start = view.valueStarts[i]!
    const text = this.#buffer.toString('utf8', start, start + view.valueLengths[i]!)
    return wanted(this.#shaper.shape(parseJson(text)))
  }

  #parsed(row: number): unknown {
    return this.#shaper.shape(parseJson(this.#table.text(row)))
  }

  /** Nothing was dropped from the row that its bytes hold. */
  #isExact(flag: number, row: number): boolean {
    if (!this.#program.spec.unknown) return false
    if ((flag & flags.odd) === 0) return (flag & flags.unknown) === 0
    this.#parsed(row)
    return !this.#shaper.dropped
  }
}

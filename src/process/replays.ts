/**
 * Dead letters on their way back: each enters at the input of the operator that failed, and is judged late by where its
 * task stands now, so that it cannot open a window again that is closed for good.
 */
import { MillraceError } from '../errors.ts'
import { BlockBuilder, BlockView } from '../log/block.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { nameOf } from '../plan/stages.ts'
import type { StageInput } from '../plan/plan.ts'
import { parseJson } from '../schema/json-parse.ts'
import { keyOf } from './dead-letters.ts'
import type { ReplayRecord } from './dead-letters.ts'
import { keyJson } from './keys.ts'
import type { BuiltStage } from './operators/build.ts'
import type { Operator } from './operators/operator.ts'
import { describe } from './operators/operator.ts'
import type { RowReader } from './row-reader.ts'
import type { Columns } from './rows.ts'
import { newColumns, Objects, RowBatch } from './rows.ts'
import { Shaper, shapeAt } from './shape.ts'
import type { Task } from './task.ts'

/** An input of the stage, as far as its records can come back. */
export interface ReplayInput {
  readonly role: StageInput['role']
  /** What follows the input's rows. */
  readonly target: Operator
  newReader(): RowReader
}

interface Entry {
  readonly batch: RowBatch
  readonly target: Operator
  readonly record: ReplayRecord
}

export class Replays {
  readonly #definition: PipelineDefinition
  readonly #built: BuiltStage
  /** By the node whose rows it carries. */
  readonly #inputs: ReadonlyMap<number, ReplayInput>
  #waiting: Entry[] = []

  constructor(
    definition: PipelineDefinition,
    built: BuiltStage,
    inputs: ReadonlyMap<number, ReplayInput>,
  ) {
    this.#definition = definition
    this.#built = built
    this.#inputs = inputs
  }

  /**
   * The record with the node that its operator is now: node ids are positions, and names are what a pipeline keeps when it
   * changes. Where there is none of that name, it names no node.
   */
  here(record: ReplayRecord | undefined): ReplayRecord | undefined {
    if (record?.operator === undefined) return record
    const { nodes } = this.#definition
    const isIt = (node: number): boolean => {
      const found = nodes[node]
      return found !== undefined && nameOf(found) === record.operator && this.#isPlace(node)
    }
    const node = isIt(record.node) ? record.node : nodes.findIndex(({ id }) => isIt(id))
    return { ...record, node }
  }

  /** Takes a record of a replay topic; the reason where it cannot enter. */
  take(
    task: Task,
    input: number,
    record: ReplayRecord,
    place: { readonly offset: number; readonly timestamp: number; readonly appendTime: number },
  ): MillraceError | undefined {
    const columns = newColumns(1)
    columns.partition[0] = task.partition
    columns.input[0] = input
    columns.offset[0] = place.offset
    columns.timestamp[0] = place.timestamp
    columns.upstream[0] = task.partition
    columns.appendTime[0] = place.appendTime
    columns.watermark[0] = task.time.applied - (this.#built.inputShifts.get(record.node) ?? 0)
    const start = this.#inputs.get(record.node)
    const entry =
      start === undefined
        ? this.#atOperator(record, columns)
        : readAgain(record, start, columns, place.timestamp)
    if (entry instanceof MillraceError) return entry
    this.#waiting.push({ ...entry, record })
    return undefined
  }

  run(process: (entry: Entry) => void): void {
    for (const entry of this.#waiting.splice(0)) process(entry)
  }

  #isPlace(node: number): boolean {
    return this.#inputs.has(node) || this.#built.operators.has(node)
  }

  #atOperator(record: ReplayRecord, columns: Columns): Omit<Entry, 'record'> | MillraceError {
    const target = this.#built.operators.get(record.node)
    if (target === undefined) {
      const named = record.operator ?? `with the number ${record.node}`
      const what = `The letter names the operator ${named}, which this stage does not have.`
      return new MillraceError('MR4014', what)
    }
    let row: unknown
    try {
      row = parseJson(Buffer.from(record.raw).toString('utf8'))
    } catch (error) {
      return new MillraceError('MR4014', `The letter's row cannot be read: ${describe(error)}.`)
    }
    const from = this.#definition.nodes[record.node]
    const shape =
      from !== undefined && 'input' in from ? shapeAt(this.#definition, from.input) : undefined
    const values = [new Shaper(shape).shape(row)]
    const raw = (): Uint8Array => record.raw
    const changed = (): boolean => false
    return {
      batch: new RowBatch(1, columns, new Objects(values), () => keyOf(record), raw, changed),
      target,
    }
  }
}

/** The bytes did not become a row the first time: they are judged again as if they had just been read. */
function readAgain(
  record: ReplayRecord,
  { role, target, newReader }: ReplayInput,
  columns: Columns,
  timestamp: number,
): Omit<Entry, 'record'> | MillraceError {
  const key = keyOf(record)
  const text = key === undefined || role !== 'repartition' ? record.key : keyJson(key)
  const builder = new BlockBuilder()
  builder.add(timestamp, text === undefined ? undefined : Buffer.from(text), record.raw)
  const view = new BlockView()
  view.read(builder.finish(0))
  const rows = newReader()
  rows.start()
  let refused: MillraceError | undefined
  rows.read(view, 0, 1, { task: 0, baseOffset: 0 }, (_, error) => (refused = error))
  if (refused !== undefined) return refused
  const again = rows.batch()
  const raw = (): Uint8Array => record.raw
  const exact = (): boolean => again.written(0) !== undefined
  const batch = new RowBatch(1, columns, again.content, () => again.groupKey(0), raw, exact)
  return { batch, target }
}

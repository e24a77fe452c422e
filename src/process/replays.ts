/**
 * Dead letters on their way back: each enters at the input of the operator that failed, and is judged late by where its
 * task stands now, so that it cannot open a window again that is closed for good.
 */
import { must } from '../core/assert.ts'
import { MillraceError } from '../errors.ts'
import { BlockBuilder, BlockView } from '../log/block.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { parseJson } from '../schema/json-parse.ts'
import type { ReplayRecord } from './dead-letters.ts'
import { decodeReplay } from './dead-letters.ts'
import { JsonRows } from './json-rows.ts'
import type { GroupKey } from './keys.ts'
import { groupKey, textOf } from './keys.ts'
import type { BuiltStage } from './operators/build.ts'
import type { Operator } from './operators/operator.ts'
import { describe } from './operators/operator.ts'
import { fieldGetter, newColumns, RowBatch } from './rows.ts'
import { Shaper, shapeAt } from './shape.ts'
import type { Task } from './task.ts'

interface Entry {
  readonly batch: RowBatch
  readonly target: Operator
}

export class Replays {
  readonly #definition: PipelineDefinition
  readonly #built: BuiltStage
  /** What follows the nodes whose rows the stage reads. */
  readonly #inputs: ReadonlyMap<number, Operator>
  #waiting: Entry[] = []

  constructor(
    definition: PipelineDefinition,
    built: BuiltStage,
    inputs: ReadonlyMap<number, Operator>,
  ) {
    this.#definition = definition
    this.#built = built
    this.#inputs = inputs
  }

  /** Takes record `i` of a replay topic; the reason where it cannot enter. */
  take(
    task: Task,
    input: number,
    view: BlockView,
    i: number,
    offset: number,
  ): MillraceError | undefined {
    const value = view.value(i)
    const record = value === undefined ? undefined : decodeReplay(value)
    if (record === undefined)
      return new MillraceError('MR4014', `The record at offset ${offset} is no replayed letter.`)
    const timestamp = record.timestamp ?? view.timestamps[i]!
    const start = this.#inputs.get(record.node)
    const columns = newColumns(1)
    columns.partition[0] = task.partition
    columns.input[0] = input
    columns.offset[0] = offset
    columns.timestamp[0] = timestamp
    columns.upstream[0] = task.partition
    columns.appendTime[0] = view.appendTime
    columns.watermark[0] = task.time.applied - (this.#built.inputShifts.get(record.node) ?? 0)
    if (start === undefined) return this.#atOperator(record, columns)
    // The bytes did not become a row the first time: they are judged again as if they had just been read.
    const again = this.#readAgain(record, timestamp)
    if (again instanceof MillraceError) return again
    this.#waiting.push({
      batch: new RowBatch(
        1,
        columns,
        again.values,
        () => again.groupKey(0),
        () => record.raw,
      ),
      target: start,
    })
    return undefined
  }

  run(process: (batch: RowBatch, target: Operator) => void): void {
    const entries = this.#waiting
    this.#waiting = []
    for (const { batch, target } of entries) process(batch, target)
  }

  #atOperator(
    record: ReplayRecord,
    columns: ReturnType<typeof newColumns>,
  ): MillraceError | undefined {
    const target = this.#built.operators.get(record.node)
    if (target === undefined) {
      return new MillraceError(
        'MR4014',
        `The letter names the node ${record.node}, which this stage does not have.`,
      )
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
    row = new Shaper(shape).shape(row)
    const key = this.#typedKey(record, row)
    const raw = (): Uint8Array => record.raw
    this.#waiting.push({
      batch: new RowBatch(
        1,
        columns,
        [row],
        () => key,
        raw,
        () => false,
      ),
      target,
    })
    return undefined
  }

  #readAgain(record: ReplayRecord, timestamp: number): RowBatch | MillraceError {
    const node = must(this.#definition.nodes[record.node], 'a node of the pipeline')
    const rules = node.kind === 'stream' || node.kind === 'table' ? node : undefined
    const builder = new BlockBuilder()
    builder.add(
      timestamp,
      record.key === undefined ? undefined : Buffer.from(record.key),
      record.raw,
    )
    const view = new BlockView()
    view.read(builder.finish(0))
    const rows = new JsonRows(0, node.kind === 'table' ? 'table' : 'stream', rules)
    rows.start()
    const refused = rows.read(view, 0, { task: 0, offset: 0, watermark: -Infinity, upstream: 0 })
    return refused ?? rows.batch()
  }

  /** Letters keep a key's text; its type is that of the field it was taken from. */
  #typedKey(record: ReplayRecord, row: unknown): GroupKey | undefined {
    if (record.key === undefined) return undefined
    let node = this.#definition.nodes[record.node]
    while (node !== undefined && 'input' in node) {
      node = this.#definition.nodes[node.input]
      if (node === undefined) break
      const key = node.kind === 'keyBy' || node.kind === 'stream' ? node.key : undefined
      const path =
        node.kind === 'aggregate'
          ? node.keyName
          : key !== undefined && 'path' in key
            ? key.path
            : undefined
      const typed = path === undefined ? undefined : groupKey(fieldGetter(path)(row))
      if (typed !== undefined && textOf(typed) === record.key) return typed
      if (node.kind === 'keyBy' || node.kind === 'aggregate') break
    }
    return record.key
  }
}

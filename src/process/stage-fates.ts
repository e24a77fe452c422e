/** What becomes of rows: each record read ends as exactly one of processed, dead-lettered, late, skipped (I11). */
import type { MillraceError } from '../errors.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { StagePlan } from '../plan/plan.ts'
import type { Letters } from './letters.ts'
import type { Fates } from './operators/operator.ts'
import type { OutputFates } from './operators/output.ts'
import type { RowBatch } from './rows.ts'
import type { Task } from './task.ts'

const processed = 0
const skipped = 1
const late = 2
const deadLettered = 3

export class StageFates implements Fates, OutputFates {
  readonly #stage: StagePlan
  readonly #definition: PipelineDefinition
  readonly #letters: Letters
  readonly #tasks: readonly (Task | undefined)[]
  readonly #now: () => number
  readonly #tell: ((task: string | undefined, offset: number | undefined) => void) | undefined
  #marked = -1
  #fates = new Uint8Array(1_024)
  /** Tasks that failed during this batch. */
  readonly failures = new Map<number, MillraceError>()

  constructor(
    stage: StagePlan,
    definition: PipelineDefinition,
    letters: Letters,
    tasks: readonly (Task | undefined)[],
    now: () => number,
    /** Undefined where every record is told by itself. */
    tell: ((task: string | undefined, offset: number | undefined) => void) | undefined,
  ) {
    this.#tell = tell
    this.#stage = stage
    this.#definition = definition
    this.#letters = letters
    this.#tasks = tasks
    this.#now = now
  }

  /** Begins with a batch as it was read. */
  begin(batch: RowBatch): void {
    if (this.#fates.length < batch.rows) this.#fates = new Uint8Array(batch.rows * 2)
    this.#fates.fill(processed, 0, batch.rows)
  }

  /** Counts what became of the batch's records. */
  count(batch: RowBatch): void {
    for (let row = 0; row < batch.rows; row++) {
      const counters = this.#tasks[batch.partition[row]!]?.counters
      if (counters === undefined) continue
      const fate = this.#fates[row]!
      if (fate === processed) counters.processed++
      else if (fate === deadLettered) counters.deadLettered++
      else if (fate === late) counters.late++
      else counters.skipped++
    }
  }

  calling(task: number): void {
    if (task === this.#marked || this.#tell === undefined) return
    this.#marked = task
    this.#tell(this.#tasks[task]?.id, undefined)
  }

  /** The step is over. */
  resting(): void {
    this.#marked = -1
  }

  deadLetter(
    batch: RowBatch,
    row: number,
    node: number,
    error: MillraceError,
    attempts: number,
  ): void {
    this.#letter(batch, row, this.#nameOf(node), node, error, attempts)
  }

  /** A record that did not even become a row. */
  unreadable(
    task: Task,
    input: number,
    error: MillraceError,
    record: {
      offset: number
      timestamp: number
      watermark: number
      key: string | undefined
      raw: Uint8Array
    },
  ): void {
    const { topic, node } = this.#stage.inputs[input]!
    task.counters.deadLettered++
    this.#letters.add(
      {
        task: task.partition,
        operator: this.#nameOf(node),
        node,
        error,
        attempts: 1,
        topic,
        upstream: task.partition,
        index: 0,
        ...record,
      },
      this.#now(),
    )
  }

  unwritable(batch: RowBatch, row: number, error: MillraceError): void {
    this.#letter(batch, row, 'output', undefined, error, 1)
  }

  skipped(batch: RowBatch, row: number): void {
    this.#mark(batch, row, skipped)
  }

  late(batch: RowBatch, row: number): void {
    this.#mark(batch, row, late)
  }

  emitted(task: number): void {
    const counters = this.#tasks[task]?.counters
    if (counters !== undefined) counters.emitted++
  }

  fail(task: number, error: MillraceError): void {
    if (!this.failures.has(task)) this.failures.set(task, error)
  }

  #letter(
    batch: RowBatch,
    row: number,
    operator: string,
    node: number | undefined,
    error: MillraceError,
    attempts: number,
  ): void {
    this.#mark(batch, row, deadLettered)
    const input = batch.input[row]!
    const topic = this.#stage.inputs[Math.max(0, input)]?.topic ?? this.#stage.id
    this.#letters.add(
      {
        task: batch.partition[row]!,
        operator,
        node,
        error,
        attempts,
        topic,
        offset: batch.offset[row]!,
        timestamp: batch.timestamp[row]!,
        watermark: batch.watermark[row]!,
        upstream: batch.upstream[row]!,
        key: batch.key(row),
        raw: rawOf(batch, row),
        // Rows of one record that flatMap made must not share an id.
        index: siblingsBefore(batch, row),
      },
      this.#now(),
    )
  }

  #mark(batch: RowBatch, row: number, fate: number): void {
    const origin = batch.origin[row]!
    if (origin >= 0 && this.#fates[origin]! < fate) this.#fates[origin] = fate
  }

  #nameOf(id: number): string {
    const node = this.#definition.nodes[id]
    if (node === undefined) return 'input'
    return 'name' in node ? node.name : node.topic
  }
}

/** How many rows before this one flatMap made of the same record. */
function siblingsBefore(batch: RowBatch, row: number): number {
  const origin = batch.origin[row]!
  let before = 0
  while (origin >= 0 && before < row && batch.origin[row - before - 1] === origin) before++
  return before
}

/** A row that JSON cannot hold has no bytes to keep. */
function rawOf(batch: RowBatch, row: number): Uint8Array {
  try {
    return batch.raw(row)
  } catch {
    return new Uint8Array(0)
  }
}

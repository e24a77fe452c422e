/** What becomes of rows: each record read ends as exactly one of processed, dead-lettered, late, skipped (I11). */
import { MillraceError } from '../errors.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { StagePlan } from '../plan/plan.ts'
import { keyOf } from './dead-letters.ts'
import type { ReplayRecord } from './dead-letters.ts'
import { textOf } from './keys.ts'
import type { GroupKey } from './keys.ts'
import type { Letters } from './letters.ts'
import type { Fates } from './operators/operator.ts'
import type { OutputFates } from './operators/output.ts'
import type { RowBatch } from './rows.ts'
import type { Task } from './task.ts'

const processed = 0
const skipped = 1
const late = 2
const deadLettered = 3

type Origin = Pick<ReplayRecord, 'topic' | 'partition' | 'offset' | 'attempts'>

export class StageFates implements Fates, OutputFates {
  readonly #stage: StagePlan
  readonly #definition: PipelineDefinition
  readonly #letters: Letters
  readonly #tasks: readonly (Task | undefined)[]
  readonly #now: () => number
  readonly #tell: ((task: string | undefined, offset: number | undefined) => void) | undefined
  #marked = -1
  /** The dead letter that the batch is, on its way back. */
  #replayed: ReplayRecord | undefined
  #fates = new Uint8Array(1_024)
  /** Some row of the batch ended otherwise than processed. */
  #marks = false
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

  /** Begins with a batch as it was read, or with the one row of a dead letter. */
  begin(batch: RowBatch, replayed: ReplayRecord | undefined): void {
    this.#replay(replayed)
    if (this.#fates.length < batch.rows) this.#fates = new Uint8Array(batch.rows * 2)
    this.#fates.fill(processed, 0, batch.rows)
    this.#marks = false
  }

  /** Ends with it: counts what became of its records. */
  count(batch: RowBatch): void {
    this.#replay(undefined)
    if (!this.#marks) return this.#countProcessed(batch)
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

  /** Rows of a task come in runs: most batches are one. */
  #countProcessed({ partition, rows }: RowBatch): void {
    for (let from = 0, row = 1; from < rows; row++) {
      if (row < rows && partition[row] === partition[from]) continue
      const counters = this.#tasks[partition[from]!]?.counters
      if (counters !== undefined) counters.processed += row - from
      from = row
    }
  }

  calling(task: number): void {
    if (task === this.#marked || this.#tell === undefined) return
    this.#marked = task
    const id = this.#tasks[task]?.id
    this.#tell(id === undefined ? id : placeName(id, this.#replayed !== undefined), undefined)
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

  /** A record that did not even become a row; `replayed`: it is a dead letter on its way back. */
  unreadable(
    task: Task,
    input: number,
    error: MillraceError,
    record: {
      offset: number
      timestamp: number
      watermark: number
      key: GroupKey | undefined
      raw: Uint8Array
    },
    replayed: ReplayRecord | undefined,
  ): void {
    const { topic, node } = this.#stage.inputs[input]!
    const { partition } = task
    const { timestamp, watermark, ...read } = record
    const origin = replayed ?? { ...read, node, topic, partition, attempts: 0 }
    const key = replayed === undefined ? read.key : keyOf(replayed)
    task.counters.deadLettered++
    this.#letters.add(
      {
        task: partition,
        operator: replayed?.operator ?? this.#nameOf(origin.node),
        node: origin.node,
        error,
        attempts: origin.attempts + 1,
        topic: origin.topic,
        partition: origin.partition,
        offset: origin.offset,
        timestamp,
        watermark,
        upstream: partition,
        key,
        raw: origin.raw,
        index: 0,
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
    const by = this.#tasks[task]
    if (by === undefined) return
    by.counters.emitted++
    // Windows may close although nothing is read: the counters are written all the same.
    by.moved = true
  }

  fail(task: number, error: MillraceError): void {
    if (!this.failures.has(task)) this.failures.set(task, error)
  }

  #replay(replayed: ReplayRecord | undefined): void {
    if (replayed !== this.#replayed) this.#marked = -1
    this.#replayed = replayed
  }

  stop(batch: RowBatch, row: number, what: string, cause: unknown): void {
    const { topic, partition, offset } = this.#originOf(batch, row)
    const record =
      offset === undefined
        ? `a row of ${textOf(batch.groupKey(row) ?? '')} at ${new Date(batch.timestamp[row]!).toISOString()} that a window made`
        : `the record at offset ${offset} of partition ${partition} of topic ${topic}`
    const error = new MillraceError('MR4018', `${what} It was given ${record}.`, { cause })
    this.fail(batch.partition[row]!, error)
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
    const origin = this.#originOf(batch, row)
    this.#letters.add(
      {
        ...origin,
        task: batch.partition[row]!,
        operator,
        node,
        error,
        attempts: origin.attempts + attempts,
        timestamp: batch.timestamp[row]!,
        watermark: batch.watermark[row]!,
        upstream: batch.upstream[row]!,
        key: batch.groupKey(row),
        raw: rawOf(batch, row),
        // Rows of one record that flatMap made must not share an id.
        index: siblingsBefore(batch, row),
      },
      this.#now(),
    )
  }

  /** Where the row's record was read first, and how often it failed before. */
  #originOf(batch: RowBatch, row: number): Origin {
    const replayed = batch.origin[row]! < 0 ? undefined : this.#replayed
    if (replayed !== undefined) {
      const { topic, partition, offset, attempts } = replayed
      return { topic, partition, offset, attempts }
    }
    const offset = batch.offset[row]!
    return {
      topic: this.#stage.inputs[Math.max(0, batch.input[row]!)]?.topic ?? this.#stage.id,
      partition: batch.partition[row]!,
      offset: offset < 0 ? undefined : offset,
      attempts: 0,
    }
  }

  #mark(batch: RowBatch, row: number, fate: number): void {
    const origin = batch.origin[row]!
    if (origin < 0 || this.#fates[origin]! >= fate) return
    this.#fates[origin] = fate
    this.#marks = true
  }

  #nameOf(id: number): string {
    const node = this.#definition.nodes[id]
    if (node === undefined) return 'input'
    return 'name' in node ? node.name : node.topic
  }
}

/** Who is at work, for whoever must end it: a task, or a task at the dead letters that came back to it. */
export function placeName(task: string, atReplay: boolean): string {
  return atReplay ? `${task} (replay)` : task
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

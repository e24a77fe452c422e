/**
 * @contract RowReader: records of one input of a stage become rows. JSON.parse or a scanner stands behind it; operators see
 * the RowBatch it gives and nothing of how it was read.
 *
 * Invariants an implementation keeps:
 *  - Records it accepts become rows in the order of the calls; one it refuses leaves no trace in the batch.
 *  - What JSON.parse rejects is refused, what it accepts is accepted with the same value.
 *  - Bytes that nobody validated against this schema version are checked here.
 *  - It fills all columns of a row but `watermark`, which is the caller's to fill before it asks for the batch.
 *  - The batch and its bytes are valid until `start()`.
 */
import type { MillraceError } from '../errors.ts'
import type { BlockView } from '../log/block.ts'
import type { Columns, RowBatch } from './rows.ts'

/** What the runner knows about records besides their block. */
export interface RowPlace {
  task: number
  /** Offset of the block's first record. */
  baseOffset: number
}

/** Told of each record that becomes no row, in their order. */
export type Refused = (i: number, error: MillraceError) => void

export interface RowReader {
  /** Rows read since `start()`. */
  readonly count: number
  /** Of the rows so far; others after the next `read`. */
  readonly columns: Columns
  start(): void
  /** Records `from` to `to`, without the last, become rows; those whose value is not `wanted` become none. */
  read(
    view: BlockView,
    from: number,
    to: number,
    place: RowPlace,
    refused: Refused,
    wanted?: (value: unknown) => boolean,
  ): void
  batch(): RowBatch
}

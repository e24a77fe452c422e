/**
 * @contract RowReader: records of one input of a stage become rows. JSON.parse stands behind it today, a scanner later;
 * operators see the RowBatch it gives and nothing of how it was read.
 *
 * Invariants an implementation keeps:
 *  - Records it accepts become rows in the order of the calls; one it refuses leaves no trace in the batch.
 *  - What JSON.parse rejects is refused, what it accepts is accepted with the same value.
 *  - Bytes that nobody validated against this schema version are checked here.
 *  - The batch and its bytes are valid until `start()`.
 */
import type { MillraceError } from '../errors.ts'
import type { BlockView } from '../log/block.ts'
import type { RowBatch } from './rows.ts'

/** What the runner knows about a record besides its block. */
export interface RowPlace {
  task: number
  offset: number
  watermark: number
  upstream: number
}

export interface RowReader {
  /** Rows read since `start()`. */
  readonly count: number
  start(): void
  /** Record `i` of a block becomes a row; else the reason why not. One whose value is not `wanted` becomes none. */
  read(
    view: BlockView,
    i: number,
    place: RowPlace,
    wanted?: (value: unknown) => boolean,
  ): MillraceError | undefined
  batch(): RowBatch
}

/**
 * What transactional sinks store beside their rows, and the decisions about it, as pure functions. Each sink only makes
 * sure that the decision and the write are one step.
 */
import { MillraceError } from '../errors.ts'
import type { Rejected, SinkBatch, SinkContext, StoredPosition } from './sink.ts'

export interface PositionRow {
  readonly logId: string
  readonly epoch: number
  /** Drawn at each opening: an owner that opens twice fences its own first writer. */
  readonly opening: string
  /** undefined before the first delivery. */
  readonly offset: number | undefined
  readonly rejected: StoredPosition['rejected']
}

/** Who opened, as written into the row. */
export interface Opening {
  readonly context: SinkContext
  readonly opening: string
  /** Where the position is kept, for messages: a file, a table. */
  readonly where: string
  /** What deletes it, of all partitions, as the begin of a sentence: a statement, a command. */
  readonly forget: string
}

export function newOpening(context: SinkContext, where: string, forget: string): Opening {
  const bytes = context.env.random.bytes(12)
  return { context, opening: Buffer.from(bytes).toString('hex'), where, forget }
}

/** The row to write when `who` opens; throws when the position stored is another log's or a newer owner's. */
export function claim(row: PositionRow | undefined, who: Opening, partition: number): PositionRow {
  const { logId, epoch } = who.context
  const place = placeOf(who, partition)
  if (row !== undefined && row.logId !== logId) {
    throw new MillraceError(
      'MR5002',
      `${place} was written from log ${row.logId}, up to offset ${row.offset ?? 0}; this is log ${logId}. ${deletes(who)}`,
    )
  }
  if (row !== undefined && row.epoch > epoch) {
    throw new MillraceError(
      'MR5003',
      `${place} was opened by epoch ${row.epoch}; this is epoch ${epoch}. ${deletes(who)}`,
    )
  }
  return { logId, epoch, opening: who.opening, offset: row?.offset, rejected: row?.rejected ?? [] }
}

/** Throws unless `who` still owns the partition and the sink stands where the batch begins. */
export function checkDelivery(row: PositionRow | undefined, who: Opening, batch: SinkBatch): void {
  const place = placeOf(who, batch.partition)
  if (row === undefined)
    throw new MillraceError('MR5004', `${place} has lost its position while in use.`)
  if (row.logId !== who.context.logId || row.opening !== who.opening) {
    throw new MillraceError(
      'MR5003',
      `${place} was opened again by epoch ${row.epoch}; this is epoch ${who.context.epoch}.`,
    )
  }
  if (row.offset !== undefined && row.offset !== batch.from) {
    throw new MillraceError(
      'MR5004',
      `${place} stands at offset ${row.offset}; the delivery begins at ${batch.from}. ${deletes(who)}`,
    )
  }
}

export function storedOf(row: PositionRow | undefined, who: Opening): StoredPosition | undefined {
  if (row?.offset === undefined) return undefined
  return { offset: row.offset, rejected: row.rejected, forget: deletes(who) }
}

/** For whoever decides that what is stored is not wanted any more. */
export function deletes({ forget }: Pick<Opening, 'forget'>): string {
  return `${forget} deletes the stored position.`
}

/** What to keep of the rejected until the next delivery. */
export function keepRejected(
  batch: SinkBatch,
  rejected: readonly Rejected[],
): StoredPosition['rejected'] {
  return rejected.map(({ index, code, message }) => ({
    offset: batch.records[index]?.offset ?? -1,
    code,
    message,
  }))
}

function placeOf(who: Opening, partition: number): string {
  const { pipeline, name } = who.context
  return `Partition ${partition} of sink ${pipeline}/${name} in ${who.where}`
}

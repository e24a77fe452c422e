/**
 * One connection of a SQLite sink, synchronous: it runs in the sink's own thread. Rows and our position are written in
 * one transaction, so that the position says exactly which rows are there, whatever crashes when.
 */
import { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../errors.ts'
import { checkDelivery, claim, keepRejected, storedOf } from '../position.ts'
import type { Opening, PositionRow } from '../position.ts'
import type { Rejected, SinkBatch, StoredPosition } from '../sink.ts'
import { positions } from './opening.ts'
import { RowRefused, Table } from './table.ts'
import type { TableOptions } from './table.ts'

export interface SessionOptions extends TableOptions {
  readonly path: string
  /** How long to wait for another writer of the same database, milliseconds. */
  readonly busyMs: number
}

/** The primary part of SQLite's extended result codes. */
const code = {
  busy: 5,
  locked: 6,
  toobig: 18,
  constraint: 19,
  mismatch: 20,
  error: 1,
  notadb: 26,
  corrupt: 11,
  readonly: 8,
}

export class SqliteSession {
  readonly #db: DatabaseSync
  readonly #who: Opening
  readonly #table: Table

  /** Opens the database and claims the partitions. Throws what `sqliteError` makes of SQLite's refusals. */
  constructor(options: SessionOptions, who: Opening) {
    this.#who = who
    this.#db = sqlite(
      options.path,
      () => new DatabaseSync(options.path, { timeout: options.busyMs }),
    )
    try {
      this.#table = new Table(this.#db, options)
      sqlite(options.path, () => this.#prepare())
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  stored(partition: number): StoredPosition | undefined {
    return sqlite(this.#who.where, () => storedOf(this.#load(partition), this.#who))
  }

  /** Writes what can be written and the position behind it, or nothing. */
  deliver(batch: SinkBatch): readonly Rejected[] {
    return sqlite(this.#who.where, () => {
      const rejected = new Map<number, Rejected>()
      // A trigger may roll the whole transaction back for one row: then the rest is written again without that row.
      for (;;) if (this.#attempt(batch, rejected)) break
      return [...rejected.values()].sort((a, b) => a.index - b.index)
    })
  }

  close(): void {
    this.#db.close()
  }

  #prepare(): void {
    this.#db.exec('PRAGMA journal_mode = WAL')
    this.#db.exec('PRAGMA synchronous = FULL')
    this.#transaction(() => {
      this.#db.exec(
        `CREATE TABLE IF NOT EXISTS ${positions} (pipeline TEXT NOT NULL, sink TEXT NOT NULL, partition INTEGER NOT NULL,
           log_id TEXT NOT NULL, epoch INTEGER NOT NULL, opening TEXT NOT NULL, position INTEGER, rejected TEXT NOT NULL,
           PRIMARY KEY (pipeline, sink, partition)) STRICT`,
      )
      for (const partition of this.#who.context.partitions) {
        this.#save(partition, claim(this.#load(partition), this.#who, partition))
      }
    })
  }

  /** False where the transaction was rolled back by one row's doing, which is in `rejected` now. */
  #attempt(batch: SinkBatch, rejected: Map<number, Rejected>): boolean {
    return this.#transaction(() => {
      const row = this.#load(batch.partition)
      checkDelivery(row, this.#who, batch)
      this.#table.refresh()
      for (const [index, record] of batch.records.entries()) {
        if (rejected.has(index)) continue
        try {
          this.#table.write(record)
        } catch (error) {
          const message = refusal(error)
          if (message === undefined) throw error
          rejected.set(index, { index, code: 'MR5006', message })
          if (!this.#db.isTransaction) return false
        }
      }
      const { logId, epoch } = this.#who.context
      const kept = keepRejected(batch, [...rejected.values()])
      this.#save(batch.partition, {
        logId,
        epoch,
        opening: this.#who.opening,
        offset: batch.to,
        rejected: kept,
      })
      return true
    })
  }

  /** Everything `work` did, or nothing. The write lock is taken first, so that nothing read here can change meanwhile. */
  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      if (this.#db.isTransaction) this.#db.exec('COMMIT')
      else this.#table.forget()
      return result
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#table.forget()
      throw error
    }
  }

  #load(partition: number): PositionRow | undefined {
    const { pipeline, name } = this.#who.context
    const row = this.#db
      .prepare(`SELECT * FROM ${positions} WHERE pipeline = ? AND sink = ? AND partition = ?`)
      .get(pipeline, name, partition)
    if (row === undefined) return undefined
    const position = row['position']
    return {
      logId: String(row['log_id']),
      epoch: Number(row['epoch']),
      opening: String(row['opening']),
      offset: position === null ? undefined : Number(position),
      rejected: JSON.parse(String(row['rejected'])) as PositionRow['rejected'],
    }
  }

  #save(partition: number, row: PositionRow): void {
    const { pipeline, name } = this.#who.context
    const offset = row.offset === undefined ? null : BigInt(row.offset)
    this.#db
      .prepare(`INSERT OR REPLACE INTO ${positions} VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
      .run(
        pipeline,
        name,
        partition,
        row.logId,
        BigInt(row.epoch),
        row.opening,
        offset,
        JSON.stringify(row.rejected),
      )
  }
}

/** Why a row can never be written; undefined for what may pass later, or concerns all rows. */
function refusal(error: unknown): string | undefined {
  if (error instanceof RowRefused) return error.message
  const primary = primaryCode(error)
  if (primary === code.constraint || primary === code.mismatch || primary === code.toobig)
    return messageOf(error)
  return undefined
}

/** Runs `work` and tells what cannot help to repeat (a file that is no database) from what may pass (a lock). */
function sqlite<T>(where: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof MillraceError) throw error
    const primary = primaryCode(error)
    const hopeless = [code.error, code.notadb, code.corrupt, code.constraint, code.readonly]
    const known = primary !== undefined && hopeless.includes(primary)
    throw new MillraceError(
      known ? 'MR5005' : 'MR5007',
      `SQLite says of ${where}: ${messageOf(error)}.`,
      { cause: error },
    )
  }
}

function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

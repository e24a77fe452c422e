/** A sink that keeps records in memory or hands them to a function: for tests and for programs that embed the engine. */
import { MillraceError } from '../errors.ts'
import { holdOf } from './hold.ts'
import { checkDelivery, claim, keepRejected, newOpening, storedOf } from './position.ts'
import type { Opening, PositionRow } from './position.ts'
import type {
  Hold,
  Rejected,
  Sink,
  SinkBatch,
  SinkContext,
  SinkRecord,
  SinkWriter,
} from './sink.ts'

export interface MemoryOptions {
  /** Tells several memory sinks on one stream apart. Default `memory`. */
  readonly name?: string
  /** Records kept at most; past it the sink takes no more until `clear()`. Default 1,000,000. */
  readonly maxRecords?: number
  /** A text refuses the record for good: it becomes a dead letter. */
  readonly refuse?: (record: SinkRecord) => string | undefined
  readonly hold?: Hold
}

export interface MemorySink extends Sink {
  /** All records delivered, per partition in order of offset. */
  readonly records: readonly (SinkRecord & { readonly partition: number })[]
  /** Their rows; tombstones are not in it. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Forgets the records, not the positions. */
  clear(): void
}

/**
 * Collects records, exactly once as long as this object lives. The object belongs to the thread that imported the
 * pipeline: an engine with worker threads has one in each, so read it where it runs (`millrace/testing` runs in one thread).
 */
export function memory(options: MemoryOptions = {}): MemorySink {
  const maxRecords = options.maxRecords ?? 1_000_000
  const records: (SinkRecord & { readonly partition: number })[] = []
  const positions = new Map<string, PositionRow>()
  return {
    kind: 'memory',
    target: options.name ?? 'memory',
    guarantee: 'transactional',
    describe: `memory, up to ${maxRecords} records`,
    ...holdOf('memory', options.hold),
    records,
    get rows() {
      return records.flatMap((record) => (record.value === undefined ? [] : [record.value]))
    },
    clear: () => void (records.length = 0),
    open: async (context) => {
      const who = newOpening(context, 'memory', 'The end of this process')
      for (const partition of context.partitions) {
        positions.set(
          keyOf(who, partition),
          claim(positions.get(keyOf(who, partition)), who, partition),
        )
      }
      const take = (batch: SinkBatch): readonly Rejected[] => {
        const key = keyOf(who, batch.partition)
        const row = positions.get(key)
        checkDelivery(row, who, batch)
        if (records.length + batch.records.length > maxRecords) {
          throw new MillraceError(
            'MR5007',
            `The memory sink holds ${records.length} records of at most ${maxRecords}.`,
          )
        }
        const rejected = refusedBy(options.refuse, batch)
        for (const [index, record] of batch.records.entries()) {
          if (!rejected.some((r) => r.index === index))
            records.push({ ...record, partition: batch.partition })
        }
        const { logId, epoch } = context
        positions.set(key, {
          logId,
          epoch,
          opening: who.opening,
          offset: batch.to,
          rejected: keepRejected(batch, rejected),
        })
        return rejected
      }
      return {
        stored: async (partition) => storedOf(positions.get(keyOf(who, partition)), who),
        deliver: async (batch) => take(batch),
        close: async () => {},
      }
    },
  }
}

export interface CallOptions {
  /** Tells several such sinks on one stream apart. Default: the function's name. */
  readonly name?: string
  readonly hold?: Hold
}

/**
 * Hands each batch, in order per partition, to a function in the worker's thread, and waits for it. At least once: after
 * a crash a batch may come again. A function that throws gets the same batch again, later.
 */
export function call(
  fn: (batch: SinkBatch) => void | Promise<void>,
  options: CallOptions = {},
): Sink {
  const name = options.name ?? (fn.name || 'function')
  return {
    kind: 'call',
    target: name,
    guarantee: 'at-least-once',
    describe: `calls ${name}`,
    ...holdOf('call', options.hold),
    open: async (_context: SinkContext): Promise<SinkWriter> => ({
      deliver: async (batch) => {
        await fn(batch)
        return []
      },
      close: async () => {},
    }),
  }
}

function keyOf(who: Opening, partition: number): string {
  return JSON.stringify([who.context.pipeline, who.context.name, partition])
}

function refusedBy(refuse: MemoryOptions['refuse'], batch: SinkBatch): Rejected[] {
  const rejected: Rejected[] = []
  for (const [index, record] of batch.records.entries()) {
    const message = refuse?.(record)
    if (message !== undefined) rejected.push({ index, code: 'MR5006', message })
  }
  return rejected
}

import { makeDirectories } from '../../core/directories.ts'
import { MillraceError } from '../../errors.ts'
import { holdOf } from '../hold.ts'
import { newOpening, storedOf } from '../position.ts'
import type { Opening } from '../position.ts'
import type { Hold, Sink, SinkContext, SinkWriter } from '../sink.ts'
import { PartitionFiles, safeName } from './parts.ts'

export interface FileOptions {
  /** The directory of the files; made where it is not there. Relative to the working directory. */
  readonly path: string
  /** A file is finished after this many milliseconds or bytes, whichever comes first. Default 10 s, 64 MiB. */
  readonly roll?: { readonly ms?: number; readonly bytes?: number }
  readonly hold?: Hold
}

/**
 * Rows as NDJSON files in a directory, exactly once. Files named `*.ndjson` are complete, synced to disk and never touched
 * again; their names, in order, are the order of the rows within a partition. A row shows when its file is finished
 * (`roll`, or when the engine stops); no reader ever sees a part of a line. A deleted key shows as
 * `{"$key":…,"$deleted":true}`. Finished files may be moved or removed; hidden files belong to the sink.
 *
 * Throws MR5009 when an option is wrong.
 */
export function file(options: FileOptions): Sink {
  const { path, roll = {} } = options
  const { ms = 10_000, bytes = 64 * 1024 * 1024 } = roll
  if (typeof path !== 'string' || path === '') {
    throw new MillraceError(
      'MR5009',
      'The path of the file sink is empty; it must name a directory.',
    )
  }
  for (const [name, value] of Object.entries({ ms, bytes })) {
    if (!Number.isFinite(value) || value < 0) {
      throw new MillraceError(
        'MR5009',
        `roll.${name} of the file sink is ${value}; it must be 0 or more.`,
      )
    }
  }
  return {
    kind: 'file',
    target: path,
    guarantee: 'transactional',
    describe: `file ${path}/*.ndjson, a new one every ${ms} ms or ${bytes} bytes`,
    ...holdOf('file', options.hold),
    open: async (context) => new FileWriter(context, path, { ms, bytes }),
  }
}

/** The least wait before a file that could not be finished is tried again. */
const retryMs = 1_000

class FileWriter implements SinkWriter {
  readonly #context: SinkContext
  readonly #roll: { readonly ms: number; readonly bytes: number }
  readonly #who: Opening
  readonly #files = new Map<number, PartitionFiles>()
  /** Partitions with a part that will be finished at its time. */
  readonly #timers = new Map<number, () => void>()

  constructor(context: SinkContext, path: string, roll: { ms: number; bytes: number }) {
    this.#context = context
    this.#roll = roll
    const { disk } = context.env
    makeDirectories(disk, path)
    const prefix = `${safeName(context.pipeline)}-${safeName(context.name)}`
    this.#who = newOpening(context, path, `\`rm ${quoted(path)}/.${prefix}-*.position\``)
    for (const partition of context.partitions) {
      const files = new PartitionFiles(disk, path, `${prefix}-${partition}`, this.#who, partition)
      files.open()
      this.#files.set(partition, files)
    }
  }

  async stored(partition: number): ReturnType<NonNullable<SinkWriter['stored']>> {
    return storedOf(this.#of(partition).stored(), this.#who)
  }

  async deliver(batch: Parameters<SinkWriter['deliver']>[0]): Promise<readonly []> {
    const files = this.#of(batch.partition)
    files.append(batch)
    if (files.bytes >= this.#roll.bytes || (files.bytes > 0 && this.#roll.ms === 0))
      this.#rollNow(batch.partition)
    else if (files.bytes > 0) this.#rollLater(batch.partition)
    return []
  }

  async close(): Promise<void> {
    for (const partition of this.#files.keys()) this.#rollNow(partition)
    // What could not be finished is, by the next opening.
    for (const stop of this.#timers.values()) stop()
    this.#timers.clear()
    for (const files of this.#files.values()) files.abandon()
  }

  #of(partition: number): PartitionFiles {
    const files = this.#files.get(partition)
    if (files === undefined)
      throw new MillraceError('MR6000', `Partition ${partition} was not opened.`)
    return files
  }

  #rollLater(partition: number, ms = this.#roll.ms): void {
    if (this.#timers.has(partition)) return
    const { timers } = this.#context.env
    this.#timers.set(
      partition,
      timers.after(ms, () => this.#rollNow(partition)),
    )
  }

  /** What is delivered is safe already; a file that cannot be finished now is finished later. */
  #rollNow(partition: number): void {
    this.#timers.get(partition)?.()
    this.#timers.delete(partition)
    try {
      this.#files.get(partition)?.roll()
    } catch {
      this.#rollLater(partition, Math.max(this.#roll.ms, retryMs))
    }
  }
}

/** A path as a shell takes it. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`
}

import { Arena } from '../../core/arena.ts'
import { BlockView } from '../../log/block.ts'
import type { Log, Reader } from '../../log/log.ts'

const arenaBytes = 64 * 1024

export interface LatestRecord {
  readonly key: string | undefined
  readonly value: Uint8Array | undefined
}

/** The last records of a topic, kept up to date by looking now and then; what came in between is never read. */
export class LatestRecords {
  readonly topic: string
  readonly #log: Log
  readonly #most: number
  readonly #arena = new Arena(arenaBytes)
  readonly #view = new BlockView()
  #reader: Reader | undefined
  /** Per partition, what was read up to. */
  #at: number[] = []
  #kept: LatestRecord[] = []

  constructor(log: Log, topic: string, most: number) {
    this.topic = topic
    this.#log = log
    this.#most = most
  }

  /** The last records, oldest first. Empty where the topic cannot be read. */
  async read(): Promise<readonly LatestRecord[]> {
    try {
      const offsets = await this.#log.topics.offsets(this.topic)
      this.#at = offsets.map(({ earliest, next }, partition) =>
        Math.max(earliest, next - this.#most, this.#at[partition] ?? 0),
      )
      const places = this.#at.map((offset, partition) => ({ topic: this.topic, partition, offset }))
      if (this.#reader === undefined) this.#reader = await this.#log.reader(places)
      else for (const place of places) this.#reader.seek(place)
      this.#readOn(this.#reader)
    } catch {
      // Shown as it last was: the page is no place to fail.
    }
    return this.#kept
  }

  close(): void {
    this.#reader?.close()
    this.#reader = undefined
    this.#at = []
    this.#kept = []
  }

  #readOn(reader: Reader): void {
    for (;;) {
      const read = reader.next(this.#arena)
      if (read.result === 'arena-full') {
        this.#arena.reset()
        continue
      }
      if (read.result !== 'block') return
      const { partition, baseOffset, nextOffset } = read
      if (read.kind === 'records' && this.#view.read(read.bytes)) {
        const from = Math.max(this.#at[partition] ?? 0, nextOffset - this.#most)
        for (let row = Math.max(0, from - baseOffset); row < this.#view.count; row++) {
          const key = this.#view.key(row)
          this.#kept.push({
            key: key === undefined ? undefined : Buffer.from(key).toString(),
            value: this.#view.value(row)?.slice(),
          })
        }
        this.#kept = this.#kept.slice(-this.#most)
      }
      this.#at[partition] = nextOffset
    }
  }
}

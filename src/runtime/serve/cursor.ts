/** Reads a topic for one client, piece by piece, as JSON. What it read is the client's to remember: it keeps no position. */
import { Arena } from '../../core/arena.ts'
import { decodeUtf8 } from '../../core/utf8.ts'
import { MillraceError } from '../../errors.ts'
import { BlockView } from '../../log/block.ts'
import type { Log, Reader } from '../../log/log.ts'
import { startOffset, topicNamed } from '../admin/topics.ts'

export interface CursorQuery {
  readonly topic: string
  /** All partitions where undefined. */
  readonly partition: number | undefined
  /** `earliest`, `latest`, an offset, an ISO time, or `partition:offset,…` as a client got it. */
  readonly from: string
}

export type Piece =
  /** Records in order per partition, each the text of one JSON object on one line. */
  | { readonly kind: 'records'; readonly records: readonly string[] }
  /** Retention removed what came next; reading goes on at `earliest`. */
  | {
      readonly kind: 'gone'
      readonly partition: number
      readonly from: number
      readonly earliest: number
    }
  | { readonly kind: 'end' }

/** How a place where records are missing looks among lines of records. */
export function goneLine({ partition, from, earliest }: Extract<Piece, { kind: 'gone' }>): string {
  return JSON.stringify({ gone: { partition, from, earliest } })
}

interface OpenBlock {
  readonly partition: number
  readonly base: number
  readonly next: number
  row: number
}

const arenaBytes = 64 * 1024

export class TopicCursor {
  readonly #topic: string
  readonly #reader: Reader
  /** Where each partition goes on. */
  readonly #next: Map<number, number>
  readonly #arena = new Arena(arenaBytes)
  readonly #view = new BlockView()
  #block: OpenBlock | undefined
  #failure: MillraceError | undefined

  private constructor(topic: string, reader: Reader, next: Map<number, number>) {
    this.#topic = topic
    this.#reader = reader
    this.#next = next
  }

  /** Throws MR6010 for what is not there and MR6011 for a `from` or a partition that cannot be. */
  static async open(log: Log, query: CursorQuery): Promise<TopicCursor> {
    const { topic, partition, from } = query
    const info = await topicNamed(log, topic)
    if (info.kind === 'changelog')
      throw new MillraceError('MR6011', `"${topic}" holds the state of a store, not records.`)
    if (
      partition !== undefined &&
      !(Number.isInteger(partition) && partition >= 0 && partition < info.partitions)
    ) {
      throw new MillraceError('MR6011', `${topic} has partitions 0 to ${info.partitions - 1}.`)
    }
    const partitions = partition === undefined ? [...Array(info.partitions).keys()] : [partition]
    const resumed = resumedFrom(from)
    const offsets = await log.topics.offsets(topic)
    const next = new Map<number, number>()
    for (const one of partitions) {
      const asked =
        resumed === undefined
          ? await startOffset(log, topic, one, from)
          : (resumed.get(one) ?? offsets[one]?.earliest ?? 0)
      const end = offsets[one]?.next ?? 0
      // Whoever names one place exactly has been there: it would be another log if it were not.
      if ((resumed !== undefined || partition !== undefined) && asked > end) {
        throw new MillraceError(
          'MR6011',
          `Partition ${one} of ${topic} ends at ${end}; it cannot be read from ${asked}.`,
        )
      }
      next.set(one, Math.min(asked, end))
    }
    const places = [...next].map(([one, offset]) => ({ topic, partition: one, offset }))
    return new TopicCursor(topic, await log.reader(places), next)
  }

  /** Where to go on after what `next()` gave so far, as `from` takes it. */
  get resume(): string {
    return [...this.#next].map(([partition, offset]) => `${partition}:${offset}`).join(',')
  }

  /** Records committed and not yet given; an upper bound. */
  get lag(): number {
    return this.#reader.lag() + (this.#block === undefined ? 0 : this.#view.count - this.#block.row)
  }

  /** About `maxBytes` of records at most, and at most `maxRecords`. Throws what the log reports as corrupt. */
  next(maxBytes: number, maxRecords = Infinity): Piece {
    const records: string[] = []
    let bytes = 0
    while (bytes < maxBytes && records.length < maxRecords) {
      const block = this.#block ?? this.#nextBlock(records.length === 0)
      if (block === 'full' || (block === 'end' && records.length > 0)) break
      if (block === 'end') return { kind: 'end' }
      if ('kind' in block) {
        if (records.length === 0) return block
        // The reader says so again the next time.
        break
      }
      for (
        ;
        block.row < this.#view.count && bytes < maxBytes && records.length < maxRecords;
        block.row++
      ) {
        const offset = block.base + block.row
        if (offset < (this.#next.get(block.partition) ?? 0)) continue
        const text = this.#textOf(block.partition, offset, block.row)
        records.push(text)
        bytes += text.length
        this.#next.set(block.partition, offset + 1)
      }
      if (block.row < this.#view.count) continue
      this.#next.set(block.partition, block.next)
      this.#block = undefined
    }
    return { kind: 'records', records }
  }

  /** Goes to `offset` of a partition, which is not behind what was read. */
  skipTo(partition: number, offset: number): void {
    this.#block = undefined
    this.#failure = undefined
    this.#next.set(partition, offset)
    for (const [one, next] of this.#next)
      this.#reader.seek({ topic: this.#topic, partition: one, offset: next })
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#reader.wait(signal)
  }

  close(): void {
    this.#reader.close()
  }

  #nextBlock(empty: boolean): OpenBlock | 'full' | 'end' | Extract<Piece, { kind: 'gone' }> {
    if (this.#failure !== undefined) throw this.#failure
    for (;;) {
      const read = this.#reader.next(this.#arena)
      switch (read.result) {
        case 'caught-up':
          return 'end'
        case 'corrupt':
          return this.#failed(read.error, empty)
        case 'arena-full':
          this.#arena.reset()
          if (!empty) return 'full'
          break
        case 'gone': {
          const from = this.#next.get(read.partition) ?? 0
          if (!empty)
            return { kind: 'gone', partition: read.partition, from, earliest: read.earliest }
          this.#next.set(read.partition, read.earliest)
          this.#reader.seek({
            topic: this.#topic,
            partition: read.partition,
            offset: read.earliest,
          })
          return { kind: 'gone', partition: read.partition, from, earliest: read.earliest }
        }
        case 'block': {
          const { partition, baseOffset: base, nextOffset: next } = read
          if (read.kind === 'records') {
            if (!this.#view.read(read.bytes)) {
              const what = `The block at offset ${base} of ${this.#topic}/${partition} is malformed.`
              return this.#failed(new MillraceError('MR2005', what), empty)
            }
            this.#block = { partition, base, next, row: 0 }
            return this.#block
          }
          this.#next.set(partition, Math.max(next, this.#next.get(partition) ?? 0))
        }
      }
    }
  }

  /** What was read before the damage is given first. */
  #failed(error: MillraceError, empty: boolean): 'full' {
    this.#failure = error
    if (empty) throw error
    return 'full'
  }

  #textOf(partition: number, offset: number, row: number): string {
    const key = this.#view.key(row)
    const value = this.#view.value(row)
    const head = JSON.stringify({
      topic: this.#topic,
      partition,
      offset,
      timestamp: this.#view.timestamps[row],
      key: key === undefined ? null : Buffer.from(key).toString(),
    })
    return `${head.slice(0, -1)},${valueText(value)}}`
  }
}

/** The value as it is where it is JSON; a line break in JSON is only ever white space. Other bytes come as base64. */
function valueText(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return '"value":null'
  const text = decodeUtf8(bytes)
  if (text !== undefined && isJson(text)) return `"value":${text.replaceAll(/[\r\n]/g, ' ')}`
  return `"value":null,"valueBase64":"${Buffer.from(bytes).toString('base64')}"`
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function resumedFrom(from: string): Map<number, number> | undefined {
  if (!/^\d{1,4}:\d{1,16}(,\d{1,4}:\d{1,16})*$/.test(from)) return undefined
  return new Map(from.split(',').map((part) => part.split(':').map(Number) as [number, number]))
}

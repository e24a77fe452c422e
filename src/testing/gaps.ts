/**
 * A Log whose offsets have gaps: the same log with every offset stretched. Offsets of a real log have them too (control
 * records, aborted data, compaction on Kafka); whatever computes `base + count` fails on this one.
 */
import type { Arena } from '../core/arena.ts'
import type {
  Appended,
  CommitResult,
  Log,
  Position,
  ReadFrom,
  Reader,
  ReadResult,
  Writer,
} from '../log/log.ts'

/** Offsets outside: two more for every three records, in front of every partition too. */
const outer = (inner: number): number => inner + 7 + 2 * Math.floor(inner / 3)

/** The last offset inside whose outside is not beyond this one. */
function inner(outside: number): number {
  let guess = Math.max(0, Math.floor(((outside - 7) * 3) / 5) - 3)
  while (outer(guess + 1) <= outside) guess++
  return guess
}

export function withOffsetGaps(log: Log): Log {
  const { topics } = log
  return {
    topics: {
      list: (name) => topics.list(name),
      create: (spec, how) => topics.create(spec, how),
      delete: (name) => topics.delete(name),
      offsets: async (name) =>
        (await topics.offsets(name)).map(({ earliest, next }) => ({
          earliest: outer(earliest),
          next: outer(next),
        })),
      offsetAt: async (name, partition, timeMs) =>
        outer(await topics.offsetAt(name, partition, timeMs)),
      hold: (group, topic, ms, bytes) => topics.hold(group, topic, ms, bytes),
      trim: (name, partition, before) => topics.trim(name, partition, inner(before)),
    },
    open: async (owner) => new GapWriter(await log.open(owner)),
    reader: async (from) => new GapReader(await log.reader(from.map(toInner)), from),
    positions: async (group) =>
      (await log.positions(group)).map((p) => ({ ...p, offset: outer(p.offset) })),
  }
}

const toInner = (from: ReadFrom): ReadFrom => ({
  ...from,
  offset: from.offset < 7 ? 0 : inner(from.offset),
})

class GapWriter implements Writer {
  readonly #writer: Writer

  constructor(writer: Writer) {
    this.#writer = writer
  }

  get owner(): string {
    return this.#writer.owner
  }

  get epoch(): number {
    return this.#writer.epoch
  }

  get stagedBytes(): number {
    return this.#writer.stagedBytes
  }

  get stagedSections(): number {
    return this.#writer.stagedSections
  }

  append(topic: string, partition: number, block: Uint8Array, count: number): void {
    this.#writer.append(topic, partition, block, count)
  }

  control(topic: string, partition: number, upstream: number, watermark: number): void {
    this.#writer.control(topic, partition, upstream, watermark)
  }

  state(store: string, partition: number, changes: Uint8Array, count: number): void {
    this.#writer.state(store, partition, changes, count)
  }

  position(group: string, position: Position): void {
    this.#writer.position(group, {
      ...position,
      offset: position.offset < 7 ? 0 : inner(position.offset),
    })
  }

  async commit(): Promise<CommitResult> {
    const result = await this.#writer.commit()
    if (result.outcome !== 'committed') return result
    const appended = result.appended.map((a): Appended => ({
      ...a,
      baseOffset: outer(a.baseOffset),
      nextOffset: outer(a.nextOffset),
    }))
    return { ...result, appended }
  }

  close(): Promise<void> {
    return this.#writer.close()
  }
}

class GapReader implements Reader {
  readonly #reader: Reader
  readonly #from = new Map<string, number>()

  constructor(reader: Reader, from: readonly ReadFrom[]) {
    this.#reader = reader
    for (const f of from) this.#from.set(`${f.topic}/${f.partition}`, f.offset)
  }

  next(arena: Arena): ReadResult {
    for (;;) {
      const result = this.#reader.next(arena)
      if (result.result === 'gone') return { ...result, earliest: outer(result.earliest) }
      if (result.result !== 'block') return result
      const baseOffset = outer(result.baseOffset)
      const nextOffset = outer(result.nextOffset)
      // An offset that points into a gap belongs to the block behind it.
      if (nextOffset > (this.#from.get(`${result.topic}/${result.partition}`) ?? 0))
        return { ...result, baseOffset, nextOffset }
    }
  }

  wait(signal?: AbortSignal): Promise<void> {
    return this.#reader.wait(signal)
  }

  seek(from: ReadFrom): void {
    this.#from.set(`${from.topic}/${from.partition}`, from.offset)
    this.#reader.seek(toInner(from))
  }

  /** Gaps count as records here: an upper bound, as everywhere. */
  lag(): number {
    return this.#reader.lag() * 2
  }

  end(topic: string, partition: number): number {
    return outer(this.#reader.end(topic, partition))
  }

  close(): void {
    this.#reader.close()
  }
}

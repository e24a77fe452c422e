/**
 * A slow, obvious log in memory, for tests of what stands above the log. It keeps the contract of src/log/log.ts, may put
 * gaps into offsets, and lets a test decide how a commit ends.
 */
import type { Arena } from '../../src/core/arena.ts'
import { MillraceError } from '../../src/errors.ts'
import { controlBytes } from '../../src/log/block.ts'
import type {
  Appended,
  Block,
  CommitResult,
  Log,
  PartitionOffsets,
  Position,
  ReadFrom,
  Reader,
  ReadResult,
  TopicInfo,
  Topics,
  TopicSpec,
  Writer,
} from '../../src/log/log.ts'

interface Stored extends Block {
  readonly appendedAt: number
}

export interface MemoryLogOptions {
  readonly now?: () => number
  /** Offsets left out before each block. */
  readonly gap?: () => number
}

export class MemoryLog implements Log {
  readonly topics: Topics
  readonly infos = new Map<string, TopicInfo>()
  blocks: Stored[] = []
  readonly positionsByGroup = new Map<string, Map<string, Position>>()
  readonly epochs = new Map<string, number>()
  readonly #next = new Map<string, number>()
  readonly #earliest = new Map<string, number>()
  readonly #options: MemoryLogOptions
  readonly #waiting = new Set<() => void>()
  lsn = 0
  /** How the next commits end; default all commit. `unknown-committed` is visible although the writer does not know. */
  endings: ('committed' | 'refused' | 'unknown' | 'unknown-committed')[] = []

  constructor(options: MemoryLogOptions = {}) {
    this.#options = options
    this.topics = this.#topics()
  }

  async open(owner: string): Promise<Writer> {
    const epoch = (this.epochs.get(owner) ?? 0) + 1
    this.epochs.set(owner, epoch)
    return new MemoryWriter(this, owner, epoch)
  }

  async reader(from: readonly ReadFrom[]): Promise<Reader> {
    return new MemoryReader(this, from)
  }

  async positions(group: string): Promise<readonly Position[]> {
    return [...(this.positionsByGroup.get(group)?.values() ?? [])]
  }

  next(topic: string, partition: number): number {
    return this.#next.get(`${topic}/${partition}`) ?? 0
  }

  earliest(topic: string, partition: number): number {
    return this.#earliest.get(`${topic}/${partition}`) ?? 0
  }

  /** Retention: everything of a partition below an offset goes. */
  cut(topic: string, partition: number, below: number): void {
    this.blocks = this.blocks.filter(
      (block) => block.topic !== topic || block.partition !== partition || block.nextOffset > below,
    )
    this.#earliest.set(`${topic}/${partition}`, below)
  }

  apply(
    staged: readonly Omit<Stored, 'baseOffset' | 'nextOffset' | 'lsn' | 'result' | 'appendedAt'>[],
  ): Appended[] {
    const lsn = ++this.lsn
    const appended = staged.map((block) => {
      const id = `${block.topic}/${block.partition}`
      if (!this.infos.has(block.topic)) throw new Error(`no topic ${block.topic}`)
      const baseOffset = (this.#next.get(id) ?? 0) + (this.#options.gap?.() ?? 0)
      const nextOffset = baseOffset + block.count
      this.#next.set(id, nextOffset)
      this.blocks.push({
        ...block,
        result: 'block',
        baseOffset,
        nextOffset,
        lsn,
        appendedAt: this.#options.now?.() ?? 0,
      })
      return { topic: block.topic, partition: block.partition, baseOffset, nextOffset }
    })
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
    return appended
  }

  waitFor(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve)
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #topics(): Topics {
    return {
      list: async (name) =>
        [...this.infos.values()].filter((topic) => name === undefined || topic.name === name),
      create: async (spec: TopicSpec) => {
        const info = this.infos.get(spec.name) ?? { ...spec, id: this.infos.size }
        this.infos.set(spec.name, info)
        return info
      },
      delete: async (name) => void this.infos.delete(name),
      offsets: async (name): Promise<PartitionOffsets[]> =>
        Array.from({ length: this.infos.get(name)?.partitions ?? 0 }, (_, partition) => ({
          earliest: this.earliest(name, partition),
          next: this.next(name, partition),
        })),
      offsetAt: async (name, partition, timeMs) => {
        const found = this.blocks.find(
          (block) =>
            block.topic === name && block.partition === partition && block.appendedAt >= timeMs,
        )
        return found?.baseOffset ?? this.next(name, partition)
      },
      hold: async () => {},
      trim: async (name, partition, before) => this.cut(name, partition, before),
    }
  }
}

class MemoryWriter implements Writer {
  readonly owner: string
  readonly epoch: number
  readonly #log: MemoryLog
  #staged: Parameters<MemoryLog['apply']>[0][number][] = []
  #positions: [string, Position][] = []

  constructor(log: MemoryLog, owner: string, epoch: number) {
    this.#log = log
    this.owner = owner
    this.epoch = epoch
  }

  get stagedBytes(): number {
    return this.#staged.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  get stagedSections(): number {
    return this.#staged.length
  }

  append(topic: string, partition: number, block: Uint8Array, count: number): void {
    this.#staged.push({ kind: 'records', topic, partition, count, bytes: block.slice() })
  }

  control(topic: string, partition: number, upstream: number, watermark: number): void {
    this.#staged.push({
      kind: 'control',
      topic,
      partition,
      count: 1,
      bytes: controlBytes(upstream, watermark),
    })
  }

  position(group: string, position: Position): void {
    this.#positions.push([group, position])
  }

  state(store: string, partition: number, changes: Uint8Array, count: number): void {
    this.#staged.push({ kind: 'state', topic: store, partition, count, bytes: changes.slice() })
  }

  async commit(): Promise<CommitResult> {
    const staged = this.#staged
    const positions = this.#positions
    this.#staged = []
    this.#positions = []
    const error = new MillraceError('MR2009', 'The test wants it so.')
    const ending = this.#log.endings.shift() ?? 'committed'
    const fenced = this.#log.epochs.get(this.owner) !== this.epoch
    if (fenced || ending === 'refused') return { outcome: 'refused', error }
    if (ending === 'unknown') return { outcome: 'unknown', error }
    const appended = this.#log.apply(staged)
    for (const [group, position] of positions) {
      const byPlace = this.#log.positionsByGroup.get(group) ?? new Map<string, Position>()
      byPlace.set(`${position.topic}/${position.partition}`, position)
      this.#log.positionsByGroup.set(group, byPlace)
    }
    if (ending === 'unknown-committed') return { outcome: 'unknown', error }
    return { outcome: 'committed', lsn: this.#log.lsn, commitNumber: this.#log.lsn, appended }
  }

  async close(): Promise<void> {}
}

class MemoryReader implements Reader {
  readonly #log: MemoryLog
  readonly #wanted = new Map<string, ReadFrom>()
  #list: readonly Stored[] = []
  #at = 0

  constructor(log: MemoryLog, from: readonly ReadFrom[]) {
    this.#log = log
    for (const place of from) this.#wanted.set(`${place.topic}/${place.partition}`, place)
  }

  next(arena: Arena): ReadResult {
    for (const { topic, partition, offset } of this.#wanted.values()) {
      const earliest = this.#log.earliest(topic, partition)
      if (offset < earliest) return { result: 'gone', topic, partition, earliest }
    }
    // What lies before `#at` of this very list was read, or is not wanted.
    if (this.#list !== this.#log.blocks) this.#at = 0
    this.#list = this.#log.blocks
    for (; this.#at < this.#list.length; this.#at++) {
      const block = this.#list[this.#at]!
      const id = `${block.topic}/${block.partition}`
      const place = this.#wanted.get(id)
      if (place === undefined || block.nextOffset <= place.offset) continue
      if (!arena.fits(block.bytes.length)) return { result: 'arena-full' }
      const bytes = arena.take(block.bytes.length)
      bytes.set(block.bytes)
      this.#wanted.set(id, { ...place, offset: block.nextOffset })
      const { result, kind, topic, partition, baseOffset, nextOffset, count, lsn } = block
      return { result, kind, topic, partition, baseOffset, nextOffset, count, lsn, bytes }
    }
    return { result: 'caught-up' }
  }

  async wait(signal?: AbortSignal): Promise<void> {
    if (this.lag() === 0) await this.#log.waitFor(signal)
  }

  seek(from: ReadFrom): void {
    this.#at = 0
    this.#wanted.set(`${from.topic}/${from.partition}`, from)
  }

  lag(): number {
    let lag = 0
    for (const { topic, partition, offset } of this.#wanted.values()) {
      lag += Math.max(0, this.#log.next(topic, partition) - offset)
    }
    return lag
  }

  end(topic: string, partition: number): number {
    return this.#log.next(topic, partition)
  }

  close(): void {}
}

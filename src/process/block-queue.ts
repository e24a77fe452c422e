/** Blocks that were read and not yet worked on, in the order of the log. */
import { Arena } from '../core/arena.ts'
import { BlockView, readControl } from '../log/block.ts'
import type { Block, Reader } from '../log/log.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { StepBudget } from './runner.ts'

export interface QueuedBlock {
  readonly topic: string
  readonly partition: number
  readonly baseOffset: number
  readonly nextOffset: number
  readonly content:
    | { readonly kind: 'records'; readonly view: BlockView }
    | {
        readonly kind: 'control'
        readonly control: { readonly upstream: number; readonly watermark: number }
      }
  /** Next record to work on. */
  row: number
}

export type Gone = (topic: string, partition: number, earliest: number) => void

export class BlockQueue {
  readonly #reader: Reader
  readonly #arena = new Arena(limits.batchBytes * 2)
  readonly #views: BlockView[] = []
  #usedViews = 0
  #blocks: QueuedBlock[] = []
  #head = 0

  constructor(reader: Reader) {
    this.#reader = reader
  }

  get empty(): boolean {
    return this.#head === this.#blocks.length
  }

  /** Reads blocks while there is room; only into an empty queue, since their bytes share one arena. True when caught up. */
  fill(budget: StepBudget, gone: Gone): boolean {
    if (!this.empty) return false
    this.#blocks = []
    this.#head = 0
    this.#usedViews = 0
    this.#arena.reset()
    let rows = 0
    while (rows < budget.rows && this.#arena.used < budget.bytes) {
      const next = this.#reader.next(this.#arena)
      switch (next.result) {
        case 'block':
          this.#push(next)
          rows += next.count
          break
        case 'caught-up':
          return true
        case 'arena-full':
          return false
        case 'gone':
          gone(next.topic, next.partition, next.earliest)
          break
        default:
          throw next.error
      }
    }
    return false
  }

  peek(): QueuedBlock | undefined {
    return this.#blocks[this.#head]
  }

  shift(): void {
    this.#head++
  }

  /** Whether the record at `offset` of a place, or one behind it, is queued. */
  reaches(topic: string, partition: number, offset: number): boolean {
    return this.#blocks.some(
      (block, i) =>
        i >= this.#head &&
        block.topic === topic &&
        block.partition === partition &&
        block.nextOffset > offset,
    )
  }

  /** Forgets what is queued of a partition. */
  drop(partition: number): void {
    this.#blocks = this.#blocks.slice(this.#head).filter((block) => block.partition !== partition)
    this.#head = 0
  }

  #push(block: Block): void {
    const { topic, partition, baseOffset, nextOffset } = block
    this.#blocks.push({
      topic,
      partition,
      baseOffset,
      nextOffset,
      content: this.#content(block),
      row: 0,
    })
  }

  #content(block: Block): QueuedBlock['content'] {
    if (block.kind === 'control') {
      const control = readControl(block.bytes)
      if (control !== undefined) return { kind: 'control', control }
    } else if (block.kind === 'records') {
      const view = (this.#views[this.#usedViews++] ??= new BlockView())
      if (view.read(block.bytes)) return { kind: 'records', view }
    }
    const { topic, partition, baseOffset } = block
    const what = `The block at offset ${baseOffset} of ${topic}/${partition} is malformed.`
    throw new MillraceError('MR2005', what)
  }
}

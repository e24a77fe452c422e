/**
 * What a stage's tasks want written, per partition of a topic. Tasks share blocks, so that many small partitions do not
 * become many small blocks; each record remembers its task, so that one that fails can be taken out again.
 */
import { BlockBuilder, BlockView } from '../log/block.ts'
import type { Writer } from '../log/log.ts'

class StagedBlock {
  builder = new BlockBuilder()
  tasks: number[] = []

  /** Takes out what a task added. */
  without(task: number): void {
    if (!this.tasks.includes(task)) return
    const view = new BlockView()
    view.read(this.builder.finish(0))
    const tasks: number[] = []
    for (let i = 0; i < view.count; i++) {
      if (this.tasks[i] === task) continue
      const watermark = view.watermarks?.[i]
      this.builder.add(
        view.timestamps[i]!,
        view.key(i),
        view.value(i),
        view.upstreams?.[i] ?? 0,
        watermark,
      )
      tasks.push(this.tasks[i]!)
    }
    this.tasks = tasks
  }
}

/** What is staged for a topic, until the commit. */
export interface StagedOutput {
  /** Bytes staged, nearly. */
  readonly bytes: number
  /** Takes out what a task added. */
  drop(task: number): void
  stage(writer: Writer, now: number): void
}

/** One topic's blocks, one per partition that has any. */
export class StagedTopic implements StagedOutput {
  readonly topic: string
  readonly partitions: number
  readonly #partials: number | undefined
  readonly #blocks: (StagedBlock | undefined)[] = []
  #bytes = 0

  /** `partials`: the records are partial aggregates of this layout. */
  constructor(topic: string, partitions: number, partials?: number) {
    this.topic = topic
    this.partitions = partitions
    this.#partials = partials
  }

  get bytes(): number {
    return this.#bytes
  }

  /** `watermark`: what the record is judged late by downstream; only in internal topics. */
  add(
    task: number,
    partition: number,
    timestamp: number,
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    watermark?: number,
  ): void {
    const block = (this.#blocks[partition] ??= new StagedBlock())
    block.builder.add(timestamp, key, value, task, watermark)
    block.tasks.push(task)
    this.#bytes += 32 + (key?.length ?? 0) + (value?.length ?? 0)
  }

  drop(task: number): void {
    for (const block of this.#blocks) block?.without(task)
    this.#bytes = 0
    for (const block of this.#blocks)
      if (block !== undefined && block.tasks.length > 0) this.#bytes += block.builder.bytes
  }

  stage(writer: Writer, now: number): void {
    this.#blocks.forEach((block, partition) => {
      if (block === undefined || block.tasks.length === 0) return
      const count = block.tasks.length
      const bytes = block.builder.finish(now, this.#partials, this.#partials !== undefined)
      writer.append(this.topic, partition, bytes, count)
      block.tasks = []
    })
    this.#bytes = 0
  }

  clear(): void {
    this.#blocks.length = 0
    this.#bytes = 0
  }
}

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

/** One topic's blocks, one per partition that has any. */
export class StagedTopic {
  readonly topic: string
  readonly partitions: number
  readonly #blocks: (StagedBlock | undefined)[] = []
  #bytes = 0

  constructor(topic: string, partitions: number) {
    this.topic = topic
    this.partitions = partitions
  }

  /** Bytes staged, nearly. */
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
      writer.append(this.topic, partition, block.builder.finish(now), count)
      block.tasks = []
    })
    this.#bytes = 0
  }

  clear(): void {
    this.#blocks.length = 0
    this.#bytes = 0
  }
}

/**
 * What an ingest runner stages for the next commit: blocks per partition of the topic, dead letters, and a position with
 * counters per task. Push and pull ingest share it.
 */
import { assert } from '../core/assert.ts'
import { messageOf } from '../errors.ts'
import { BlockBuilder } from '../log/block.ts'
import type { Position, Writer } from '../log/log.ts'
import { balanced, noCounters } from './counters.ts'
import { encodeLetter, letterId } from './dead-letters.ts'
import type { Refusal } from './ingest-request.ts'
import type { TaskCounters } from './runner.ts'

export interface IngestTarget {
  /** `ingest/<topic>` or `ingest/<topic>/<kind>`: position group and prefix of the task ids. */
  readonly id: string
  readonly topic: string
  /** The topic whose partitions stand for the tasks in the positions. */
  readonly positionTopic: string
  readonly deadLetters: string
  readonly planHash: string
  readonly schemaVersion: number
}

/** What a task commits beside its events. */
export interface TaskMeta {
  readonly counters: TaskCounters
  /** Pull sources: where the source stands. */
  readonly source: string | undefined
}

interface Task extends TaskMeta {
  counters: TaskCounters
  source: string | undefined
  /** As committed last. */
  base: TaskMeta
  dirty: boolean
}

/** Bytes a position with counters takes in a commit, about. */
const positionBytes = 256

export class IngestStage {
  readonly #target: IngestTarget
  readonly #tasks = new Map<number, Task>()
  readonly #builders: (BlockBuilder | undefined)[] = []
  readonly #letters = new BlockBuilder()
  #recordBytes = 0
  #letterBytes = 0
  #dirtyTasks = 0
  /** The latest wall time events were judged by: no event in a block may lie in the future of its block. */
  #now = -Infinity

  constructor(target: IngestTarget) {
    this.#target = target
  }

  /** Bytes of records, letters and positions a commit would take now. */
  get bytes(): number {
    return this.#recordBytes + this.#letterBytes + this.#dirtyTasks * positionBytes
  }

  /** Takes the tasks' committed positions as the base. */
  open(tasks: readonly number[], positions: readonly Position[]): void {
    this.#tasks.clear()
    for (const task of tasks) {
      const position = positions.find((candidate) => candidate.partition === task)
      const base = metaIn(position?.meta)
      this.#tasks.set(task, { ...metaOf(base), base, dirty: false })
    }
    this.#dropStaged()
  }

  /** With what is staged. */
  counters(task: number): TaskCounters {
    return this.#task(task).counters
  }

  committedCounters(task: number): TaskCounters {
    return this.#task(task).base.counters
  }

  source(task: number): string | undefined {
    return this.#task(task).source
  }

  setSource(task: number, position: string): void {
    const found = this.#touch(task)
    found.source = position
  }

  record(
    partition: number,
    timestamp: number,
    key: Uint8Array | undefined,
    value: Uint8Array,
    now: number,
  ): void {
    let builder = this.#builders[partition]
    if (builder === undefined) {
      builder = new BlockBuilder()
      this.#builders[partition] = builder
    }
    builder.add(timestamp, key, value)
    this.#recordBytes += value.length + 24 + (key?.length ?? 0)
    this.#now = Math.max(this.#now, now)
  }

  letter(bytes: Uint8Array, now: number): void {
    this.#letters.add(now, undefined, bytes)
    this.#letterBytes += bytes.length + 24
    this.#now = Math.max(this.#now, now)
  }

  /** Counts what became of `read` events. */
  count(task: number, appended: number, deadLettered: number, skipped: number): void {
    const { counters } = this.#touch(task)
    counters.read += appended + deadLettered + skipped
    counters.processed += appended
    counters.deadLettered += deadLettered
    counters.skipped += skipped
    counters.emitted += appended
  }

  /** The dead letter for an invalid event; `nth` counts the events of this task. */
  encodeLetter(
    task: number,
    nth: number,
    refusal: Refusal,
    raw: Uint8Array,
    now: number,
  ): Uint8Array {
    const { id, topic, planHash } = this.#target
    return encodeLetter({
      id: letterId(id, 'ingest', topic, task, nth),
      stage: id,
      operator: 'ingest',
      node: undefined,
      code: refusal.code,
      message: messageOf(refusal.code, refusal.what),
      attempts: 1,
      planHash,
      topic,
      partition: undefined,
      offset: undefined,
      timestamp: undefined,
      watermark: undefined,
      upstream: undefined,
      key: undefined,
      raw,
      at: now,
    })
  }

  stage(writer: Writer): void {
    const { topic, deadLetters, schemaVersion } = this.#target
    for (const [partition, builder] of this.#builders.entries()) {
      if (builder === undefined || builder.count === 0) continue
      const { count } = builder
      writer.append(topic, partition, builder.finish(this.#now, schemaVersion), count)
    }
    if (this.#letters.count > 0) {
      const { count } = this.#letters
      writer.append(deadLetters, 0, this.#letters.finish(this.#now), count)
    }
    for (const [partition, task] of this.#tasks) {
      if (!task.dirty) continue
      writer.position(this.#target.id, {
        topic: this.#target.positionTopic,
        partition,
        offset: task.counters.read,
        meta: JSON.stringify(metaOf(task)),
      })
    }
  }

  committed(): void {
    for (const task of this.#tasks.values()) {
      if (task.dirty) task.base = metaOf(task)
    }
    this.#dropStaged()
  }

  /** Back to what is committed. */
  rollback(): void {
    for (const task of this.#tasks.values()) {
      if (task.dirty) Object.assign(task, metaOf(task.base))
    }
    this.#dropStaged()
  }

  #touch(task: number): Task {
    const found = this.#task(task)
    if (!found.dirty) this.#dirtyTasks++
    found.dirty = true
    return found
  }

  #task(task: number): Task {
    const found = this.#tasks.get(task)
    assert(found !== undefined, () => `${this.#target.id} has no task ${task}`)
    return found
  }

  #dropStaged(): void {
    for (const builder of this.#builders) builder?.clear()
    this.#letters.clear()
    for (const task of this.#tasks.values()) task.dirty = false
    this.#recordBytes = 0
    this.#letterBytes = 0
    this.#dirtyTasks = 0
    this.#now = -Infinity
  }
}

/** A copy, as it is committed. */
function metaOf({ counters, source }: TaskMeta): TaskMeta {
  return { counters: { ...balanced(counters) }, source }
}

function metaIn(text: string | undefined): TaskMeta {
  const { counters, source } = JSON.parse(text ?? '{}') as Partial<TaskMeta>
  return { counters: { ...noCounters(), ...counters }, source }
}

/** One task: a partition of a stage, with its positions, counters, stream time and stores, live and as committed. */
import type { MillraceError } from '../errors.ts'
import type { StageInput } from '../plan/plan.ts'
import type { MemoryStore } from '../state/memory.ts'
import { noCounters } from './counters.ts'
import type { TaskCounters, TaskReport, TaskStatus } from './runner.ts'
import type { TimeRecord } from './time/task-time.ts'
import { TaskTime } from './time/task-time.ts'

/** A store of any kind, as far as committing goes. */
export type AnyStore = Pick<
  MemoryStore<never>,
  'size' | 'bytes' | 'stagedBytes' | 'changes' | 'committed' | 'rollback' | 'restore' | 'clear'
>

export interface TaskStore {
  readonly changelog: string
  readonly store: AnyStore
}

export class Task {
  readonly id: string
  readonly partition: number
  status: TaskStatus = 'running'
  error: MillraceError | undefined
  counters = noCounters()
  #committedCounters = noCounters()
  /** Next offset to read, by input. */
  readonly positions: Float64Array
  readonly #committedPositions: Float64Array
  /** Inputs whose first position no commit holds yet. */
  readonly #unwritten: boolean[] = []
  readonly time: TaskTime
  readonly stores: TaskStore[] = []
  timeStore: MemoryStore<TimeRecord> | undefined
  /** Counters or positions differ from what is committed. */
  moved = false

  constructor(id: string, partition: number, inputs: readonly StageInput[]) {
    this.id = id
    this.partition = partition
    this.positions = new Float64Array(inputs.length)
    this.#committedPositions = new Float64Array(inputs.length)
    this.time = new TaskTime(inputs)
  }

  get running(): boolean {
    return this.status === 'running'
  }

  /** The next `stage` writes this position of an input, where no commit has yet. */
  startAt(input: number, offset: number, committed: boolean): void {
    this.positions[input] = offset
    this.#committedPositions[input] = offset
    this.#unwritten[input] = !committed
    if (!committed) this.moved = true
  }

  restoreCounters(counters: Partial<TaskCounters>): void {
    this.counters = { ...noCounters(), ...counters }
    this.#committedCounters = { ...this.counters }
  }

  /** Bytes of state and position this task adds to a commit. */
  stagedBytes(): number {
    let bytes = this.moved ? 256 : 0
    if (this.timeStore !== undefined && this.time.changed) bytes += this.time.bytes
    for (const { store } of this.stores) bytes += store.stagedBytes
    return bytes
  }

  positionChanged(input: number): boolean {
    return (
      this.#unwritten[input] === true || this.positions[input] !== this.#committedPositions[input]
    )
  }

  committed(): void {
    for (const { store } of this.stores) store.committed()
    this.#committedCounters = { ...this.counters }
    this.#committedPositions.set(this.positions)
    this.#unwritten.fill(false)
    this.moved = false
  }

  rollback(): void {
    for (const { store } of this.stores) store.rollback()
    if (this.timeStore !== undefined) this.time.load(this.timeStore)
    this.counters = { ...this.#committedCounters }
    this.positions.set(this.#committedPositions)
    this.moved = this.#unwritten.includes(true)
  }

  report(lag: number): TaskReport {
    let stateKeys = 0
    let stateBytes = 0
    for (const { store } of this.stores) {
      stateKeys += store.size
      stateBytes += store.bytes
    }
    const watermark = this.time.merged()
    return {
      id: this.id,
      status: this.status,
      counters: { ...this.#committedCounters },
      lag,
      watermark: Number.isFinite(watermark) ? watermark : undefined,
      stateKeys,
      stateBytes,
      ...(this.error === undefined
        ? {}
        : { error: { code: this.error.code, message: this.error.message } }),
    }
  }
}

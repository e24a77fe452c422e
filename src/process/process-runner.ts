/**
 * Runs the tasks of one stage that live on one worker: one set of operators over the rows of all of them. What a task
 * stages can be taken back alone; what the stage staged is committed by the worker together with its other runners.
 */
import { assert, must } from '../core/assert.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { CommitResult, Log, Reader, Writer } from '../log/log.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { Plan, StagePlan } from '../plan/plan.ts'
import { BlockQueue } from './block-queue.ts'
import { Letters } from './letters.ts'
import type { BuiltStage } from './operators/build.ts'
import { buildStage } from './operators/build.ts'
import type { Runner, StepBudget, StepResult, TaskReport } from './runner.ts'
import { StageFates } from './stage-fates.ts'
import { StageInputs } from './stage-inputs.ts'
import { openPositions, openStores, writeMeta } from './stage-open.ts'
import { StageTime } from './stage-time.ts'
import { Task } from './task.ts'
import type { Reading } from './the-scanner.ts'
import type { WatermarkBoard } from './time/board.ts'

export interface ProcessRunnerOptions {
  readonly env: Env
  readonly log: Log
  readonly plan: Plan
  readonly stage: StagePlan
  readonly definition: PipelineDefinition
  /** Partitions of the stage that live here. */
  readonly partitions: readonly number[]
  /** Shared with the other workers of this stage; default: one of its own. */
  readonly board?: WatermarkBoard
  /** Folder of the state's snapshots. */
  readonly snapshotDir?: string
  /** Tasks that start paused. */
  readonly paused?: readonly string[]
  /** How values are read; default: by the scanner of this thread. All of them mean the same. */
  readonly reader?: Reading
  /** Works record by record, and says before each one which it is. */
  readonly careful?: boolean
  /** Called with what is about to be worked on; without an offset where it is more than one record. */
  readonly mark?: (task: string | undefined, offset: number | undefined) => void
  /** Records that a function did not return for: they become dead letters unseen. */
  readonly skip?: readonly { readonly task: string; readonly offset: number }[]
}

/** Rows that go through the operators at once. */
const largestPiece = 1_024
/** A runner's share of a commit that the log still takes, whatever its estimate left out. */
const mostStaged = limits.commitBytes * 0.75

/** Everything that `reset` forgets. */
interface Open {
  readonly tasks: readonly Task[]
  readonly built: BuiltStage
  readonly letters: Letters
  readonly fates: StageFates
  readonly reader: Reader
  readonly queue: BlockQueue
  readonly inputs: StageInputs
  readonly time: StageTime
}

export class ProcessRunner implements Runner {
  readonly id: string
  readonly tasks: readonly string[]
  readonly #options: ProcessRunnerOptions
  readonly #paused: Set<string>
  #open: Open | undefined
  #staged = false
  /** A task was resumed since the last step: what it left unread makes no reader stir. */
  #resumed = false
  #wake: (() => void) | undefined
  /** The last piece of work was closing windows. */
  #closing = false
  /** Records worked on between two looks at what is staged. */
  #piece = largestPiece

  constructor(options: ProcessRunnerOptions) {
    this.id = options.stage.id
    this.tasks = options.partitions.map((partition) => `${this.id}/${partition}`)
    this.#options = options
    this.#paused = new Set(options.paused)
  }

  async open(): Promise<void> {
    this.reset()
    const { env, log, plan, stage, definition, partitions, snapshotDir } = this.#options
    const tasks = partitions.map(
      (partition, i) => new Task(this.tasks[i]!, partition, stage.inputs),
    )
    const byPartition: (Task | undefined)[] = []
    for (const task of tasks) byPartition[task.partition] = task
    const tell = this.#options.careful === true ? undefined : this.#options.mark
    const letters = new Letters(plan.deadLetters, stage.id, plan.hash)
    const fates = new StageFates(
      stage,
      definition,
      letters,
      byPartition,
      () => env.clock.now(),
      tell,
    )
    const built = buildStage(plan, stage, definition, fates)
    const resources = { env, log, stage, definition, built, tasks, snapshotDir }
    const reader = await openPositions(resources)
    try {
      await openStores(resources)
    } catch (error) {
      reader.close()
      throw error
    }
    for (const task of tasks) if (this.#paused.has(task.id)) task.status = 'paused'
    const queue = new BlockQueue(reader)
    const inputs = new StageInputs(this.#options, byPartition, built, fates, queue, reader)
    const time = new StageTime(this.#options, tasks, built)
    this.#open = { tasks, built, letters, fates, reader, queue, inputs, time }
  }

  step(budget: StepBudget): StepResult {
    const open = this.#opened()
    assert(!this.#staged, 'I2: no step between stage and committed')
    this.#resumed = false
    const worked = this.#work(open, budget)
    this.#dropFailed(open)
    open.fates.resting()
    this.#options.mark?.(undefined, undefined)
    if (this.stagedBytes > mostStaged) {
      this.#tooMuch(open)
      return 'worked'
    }
    if (this.#full()) return 'full'
    return worked || open.time.behind || !open.queue.empty ? 'worked' : 'idle'
  }

  get stagedBytes(): number {
    const open = this.#open
    if (open === undefined) return 0
    let bytes = open.letters.staged.bytes + open.time.announceBytes()
    for (const output of open.built.outputs) bytes += output.bytes
    for (const task of open.tasks) {
      bytes += task.stagedBytes()
      for (const { operator } of open.built.aggregates)
        bytes += operator.stagedBytes(task.partition)
    }
    return bytes
  }

  get behindMs(): number | undefined {
    const open = this.#open
    return open === undefined ? undefined : this.#options.env.clock.now() - open.inputs.appendTime
  }

  get wakeAt(): number | undefined {
    return this.#open?.time.wakeAt
  }

  stage(writer: Writer): void {
    const open = this.#opened()
    for (const { operator } of open.built.aggregates) {
      for (const task of open.tasks) operator.flush(task.partition)
    }
    this.#dropFailed(open)
    const now = this.#options.env.clock.now()
    for (const output of open.built.outputs) output.stage(writer, now)
    open.letters.staged.stage(writer, now)
    open.time.announce(writer)
    for (const task of open.tasks) this.#stageTask(writer, task)
    this.#staged = true
  }

  committed(_result: Extract<CommitResult, { outcome: 'committed' }>): void {
    const open = this.#opened()
    this.#staged = false
    for (const task of open.tasks) task.committed()
    this.#piece = Math.min(largestPiece, this.#piece * 2)
  }

  reset(): void {
    this.#open?.reader.close()
    this.#open = undefined
    this.#staged = false
  }

  wait(signal: AbortSignal): Promise<void> {
    if (this.#resumed) return Promise.resolve()
    const resumed = new Promise<void>((resolve) => (this.#wake = resolve))
    return Promise.race([this.#opened().reader.wait(signal), resumed])
  }

  pause(id: string): void {
    if (!this.tasks.includes(id)) return
    this.#paused.add(id)
    const task = this.#open?.tasks.find((each) => each.id === id)
    if (task?.running === true) task.status = 'paused'
  }

  resume(id: string): boolean {
    const paused = this.#paused.delete(id)
    const open = this.#open
    const task = open?.tasks.find((each) => each.id === id)
    if (open === undefined || task === undefined || task.running) return paused
    open.queue.drop(task.partition)
    open.inputs.resumed(task)
    this.#seek(open, task)
    task.status = 'running'
    task.error = undefined
    this.#resumed = true
    this.#wake?.()
    return true
  }

  report(): readonly TaskReport[] {
    const open = this.#open
    if (open === undefined) return []
    return open.tasks.map((task) => task.report(open.inputs.lag(task)))
  }

  async close(): Promise<void> {
    this.reset()
  }

  /** Reads and closes windows by turns, in pieces small enough to stop in time. True when there was anything to do. */
  #work(open: Open, budget: StepBudget): boolean {
    const { inputs, queue, time } = open
    const one = this.#options.careful === true ? 1 : this.#piece
    let left = budget.rows
    let filled = false
    while (left > 0 && !this.#full()) {
      if (time.behind) {
        left -= Math.max(1, time.advance(Math.min(left, this.#piece), this.#full))
        this.#closing = true
        continue
      }
      if (queue.empty) {
        if (filled) break
        filled = true
        queue.fill({ rows: left, bytes: budget.bytes }, this.#gone)
      }
      const read = inputs.work(Math.min(left, one))
      this.#closing = false
      time.observed(inputs.unread)
      if (!time.decideIdle() && read === 0) break
      left -= Math.max(1, read)
    }
    return left < budget.rows
  }

  /**
   * More than a commit can hold: everything goes back to the last commit, and on in smaller pieces. A single record that
   * makes too much becomes a dead letter.
   */
  #tooMuch(open: Open): void {
    for (const task of open.tasks) if (task.status === 'running') this.#rollBack(open, task)
    for (const task of open.tasks) if (task.status === 'running') this.#seek(open, task)
    if (this.#piece === 1) this.#refuse(open)
    this.#piece = Math.max(1, this.#piece >>> 3)
  }

  #refuse(open: Open): void {
    if (!this.#closing) {
      open.inputs.refuseLast()
      return
    }
    // What a window made is no record that could be put aside: its task cannot go on.
    const task = open.tasks.find((each) => each === open.time.lastClosing)
    if (task?.running !== true) return
    const what = `What ${this.id} makes of one window is more than a commit holds.`
    task.status = 'failed'
    task.error = new MillraceError('MR4013', what)
  }

  readonly #full = (): boolean => this.stagedBytes >= limits.taskStageBytes

  #opened(): Open {
    return must(this.#open, `the runner ${this.id} is open`)
  }

  #stageTask(writer: Writer, task: Task): void {
    const { stage } = this.#options
    if (task.timeStore !== undefined) task.time.save(task.timeStore)
    for (const { changelog, store } of task.stores) {
      const changes = store.changes()
      if (changes !== undefined)
        writer.state(changelog, task.partition, changes.bytes, changes.count)
    }
    if (!task.moved) return
    for (const [input, { topic }] of stage.inputs.entries()) {
      if (input > 0 && !task.positionChanged(input)) continue
      const meta = input === 0 ? writeMeta(task) : ''
      writer.position(stage.id, {
        topic,
        partition: task.partition,
        offset: task.positions[input]!,
        meta,
      })
    }
  }

  /** A task that failed since the last commit contributes nothing to the next. */
  #dropFailed(open: Open): void {
    for (const [partition, error] of open.fates.failures) {
      const task = open.tasks.find((each) => each.partition === partition)
      if (task === undefined || !task.running) continue
      task.status = 'failed'
      task.error = error
      this.#rollBack(open, task)
    }
    open.fates.failures.clear()
  }

  #rollBack(open: Open, task: Task): void {
    task.rollback()
    open.queue.drop(task.partition)
    for (const output of open.built.outputs) output.drop(task.partition)
    open.letters.staged.drop(task.partition)
    open.time.rolledBack(task)
  }

  /** The reader goes where the task stands. */
  #seek(open: Open, task: Task): void {
    for (const [input, { topic }] of this.#options.stage.inputs.entries()) {
      const offset = task.positions[input]!
      open.reader.seek({ topic, partition: task.partition, offset })
    }
  }

  /** Retention overtook a task: it stops, the others go on. */
  readonly #gone = (topic: string, partition: number, earliest: number): void => {
    const open = this.#opened()
    const task = open.tasks.find((each) => each.partition === partition)
    const input = this.#options.stage.inputs.findIndex((each) => each.topic === topic)
    open.reader.seek({ topic, partition, offset: earliest })
    if (task === undefined || input < 0) return
    const lost = earliest - task.positions[input]!
    open.inputs.lostUpTo(task, input, earliest)
    if (task.status === 'failed') return
    const what = `${task.id} stood at offset ${task.positions[input]} of ${topic}, which now begins at ${earliest}: ${lost} records are gone.`
    task.status = 'behind-retention'
    task.error = new MillraceError('MR4012', what)
  }
}

/** Stream time of a stage: closing windows as the merged watermark rises, idle partitions, and telling downstream. */
import { must } from '../core/assert.ts'
import { mark } from '../core/mark.ts'
import type { Env } from '../core/env/env.ts'
import { limits } from '../limits.ts'
import type { Writer } from '../log/log.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { StagePlan } from '../plan/plan.ts'
import type { BuiltStage } from './operators/build.ts'
import type { Task } from './task.ts'
import { WatermarkBoard } from './time/board.ts'
import type { AllIdle } from './time/idleness.ts'
import { decideIdle } from './time/idleness.ts'

export interface StageTimeOptions {
  readonly env: Env
  readonly stage: StagePlan
  readonly definition: PipelineDefinition
  readonly board?: WatermarkBoard
  /** See ProcessRunnerOptions. */
  readonly careful?: boolean
  readonly mark?: (task: string | undefined, offset: number | undefined) => void
}

/** What is known of a task's partition without being state. */
interface Pulse {
  /** Monotonic time of its last record of a stream. */
  activeAt: number
  /** Its position then. */
  position: number
  raisedAt: number
  allIdle: AllIdle | undefined
  lookAt: number
}

/** A stage without windows behind it tells its watermark this often. */
const defaultGranularityMs = 1_000
/** Downstream hears of a small move this long after the last announcement at most. */
const announceMs = 100
const controlBytes = 64
/** Control records of one commit, so that those of many tasks for many partitions do not make one too large. */
const mostControls = 8 * limits.partitions

export class StageTime {
  readonly #options: StageTimeOptions
  readonly #env: Env
  readonly #tasks: readonly Task[]
  readonly #built: BuiltStage
  readonly #board: WatermarkBoard
  readonly #granularityMs: number
  /** The stream that feeds the stage, and its idle bound; undefined behind a repartition, where upstream decides. */
  readonly #stream: { readonly input: number; readonly idleMs: number } | undefined
  readonly #pulses = new Map<Task, Pulse>()
  /** Last announced watermark and when, by task and announcement. */
  readonly #announced = new Map<Task, { watermark: number; at: number }[]>()

  /** The task whose turn it is to announce first. */
  #first = 0

  /** The task whose windows were closed last. */
  lastClosing: Task | undefined

  constructor(options: StageTimeOptions, tasks: readonly Task[], built: BuiltStage) {
    this.#options = options
    this.#env = options.env
    this.#tasks = tasks
    this.#built = built
    const { stage, definition } = options
    this.#board = options.board ?? ownBoard(stage, tasks)
    this.#granularityMs = granularity(definition)
    const input = stage.inputs.findIndex(({ role }) => role === 'stream')
    const node = input < 0 ? undefined : definition.nodes[stage.inputs[input]!.node]
    const matters = stage.stores.some(({ kind }) => kind === 'time')
    this.#stream = matters && node?.kind === 'stream' ? { input, idleMs: node.idleMs } : undefined
    const now = this.#env.clock.monotonic()
    for (const task of tasks) {
      this.#announced.set(
        task,
        built.announcements.map(() => ({ watermark: -Infinity, at: -Infinity })),
      )
      const position = this.#stream === undefined ? 0 : task.positions[this.#stream.input]!
      this.#pulses.set(task, {
        activeAt: now,
        position,
        raisedAt: -Infinity,
        allIdle: undefined,
        lookAt: now,
      })
      this.#publish(task, 'active')
    }
  }

  /** Some task has windows to close before it may read on. */
  get behind(): boolean {
    return this.#tasks.some((task) => task.running && task.time.merged() > task.time.applied)
  }

  /** Closes windows, `rows` of them at most, until `full`. Returns how many rows' worth of work it did; 0 only for none. */
  advance(rows: number, full: () => boolean): number {
    const budget = { rows }
    let worked = 0
    for (const task of this.#tasks) {
      if (!task.running || task.time.merged() <= task.time.applied) continue
      if (budget.rows <= 0 || full()) break
      this.#advanceTask(task, budget)
      worked = Math.max(1, rows - budget.rows)
    }
    return worked
  }

  /** Called after every step of reading. `unread` tells what a task has not read of an input. */
  observed(unread: (task: Task, input: number) => number): void {
    const stream = this.#stream
    if (stream === undefined) return
    const now = this.#env.clock.monotonic()
    for (const task of this.#tasks) {
      const pulse = this.#pulse(task)
      const position = task.positions[stream.input]!
      if (pulse.position === position && unread(task, stream.input) === 0) continue
      pulse.position = position
      pulse.activeAt = now
      pulse.allIdle = undefined
      this.#publish(task, 'active')
    }
  }

  /** Raises watermarks of partitions that bring nothing. True when one rose. */
  decideIdle(): boolean {
    const stream = this.#stream
    if (stream === undefined) return false
    const now = this.#env.clock.monotonic()
    let raised = false
    for (const task of this.#tasks) {
      if (!task.running) continue
      const pulse = this.#pulse(task)
      const watermark = task.time.source(stream.input)
      const decision = decideIdle({
        watermark,
        now,
        quietSince: pulse.activeAt,
        idleMs: stream.idleMs,
        smallestActive: this.#board.smallestActive(),
        smallestKnown: this.#board.smallestKnown(),
        allIdle: pulse.allIdle,
        raisedAt: pulse.raisedAt,
        granularityMs: this.#granularityMs,
      })
      pulse.allIdle = decision.allIdle
      pulse.lookAt = decision.lookAt
      if (decision.raiseTo !== undefined) {
        mark('time: a silent partition is idle')
        task.time.raiseSource(stream.input, decision.raiseTo)
        pulse.raisedAt = now
        raised = true
      }
      this.#publish(task, decision.idle ? 'idle' : 'active')
    }
    return raised
  }

  /** Monotonic time at which there is something to decide or to announce without new records. */
  get wakeAt(): number | undefined {
    let at = Infinity
    for (const task of this.#tasks) {
      if (!task.running) continue
      if (this.#stream !== undefined) {
        const pulse = this.#pulse(task)
        at = Math.min(at, pulse.lookAt)
      }
      for (const [index, { shiftMs }] of this.#built.announcements.entries()) {
        const last = must(this.#announced.get(task)?.[index], 'an announcement per output')
        if (task.time.applied - shiftMs > last.watermark) at = Math.min(at, last.at + announceMs)
      }
    }
    return at === Infinity ? undefined : at
  }

  announceBytes(): number {
    if (this.#built.announcements.length === 0) return 0
    const now = this.#env.clock.monotonic()
    let bytes = 0
    for (const task of this.#tasks) {
      for (const [index, { shiftMs, topic }] of this.#built.announcements.entries()) {
        if (this.#due(task, index, shiftMs, now)) bytes += topic.partitions * controlBytes
      }
    }
    return Math.min(bytes, mostControls * controlBytes)
  }

  /** One control record per task and downstream partition, where the watermark moved enough. What is left is for later. */
  announce(writer: Writer): void {
    const now = this.#env.clock.monotonic()
    let left = mostControls
    const tasks = this.#tasks
    for (let turn = 0; turn < tasks.length; turn++) {
      const place = (this.#first + turn) % tasks.length
      const task = tasks[place]!
      for (const [index, { shiftMs, topic }] of this.#built.announcements.entries()) {
        if (!this.#due(task, index, shiftMs, now)) continue
        left -= topic.partitions
        if (left < 0) {
          this.#first = place
          return
        }
        const watermark = task.time.applied - shiftMs
        for (let partition = 0; partition < topic.partitions; partition++) {
          writer.control(topic.topic, partition, task.partition, watermark)
        }
        this.#announced.get(task)![index] = { watermark, at: now }
      }
    }
  }

  /** A task went back to its last commit. */
  rolledBack(task: Task): void {
    for (const { operator, shiftMs } of this.#built.aggregates) {
      operator.rolledBack(task.partition, task.time.applied - shiftMs)
    }
    if (this.#stream !== undefined) this.#pulse(task).position = task.positions[this.#stream.input]!
  }

  #due(task: Task, index: number, shiftMs: number, now: number): boolean {
    const last = must(this.#announced.get(task)?.[index], 'an announcement per output')
    const gain = task.time.applied - shiftMs - last.watermark
    if (!task.running || !(gain > 0)) return false
    return gain >= this.#granularityMs || now - last.at >= announceMs
  }

  #advanceTask(task: Task, budget: { rows: number }): void {
    this.lastClosing = task
    // The record read last has had its turn, and is not to blame for what is made of windows.
    if (this.#options.careful === true) this.#options.mark?.(task.id, undefined)
    const to = task.time.merged()
    const { cursor } = task.time
    const closed = [...(cursor?.closed ?? [])]
    for (const { operator, shiftMs } of this.#built.aggregates) {
      const { name } = operator
      if (closed.includes(name)) {
        operator.closedUpTo(task.partition, to - shiftMs)
        continue
      }
      const after = cursor?.behind[name]
      const stopped = operator.advance(task.partition, to - shiftMs, after, budget)
      if (stopped !== undefined) {
        task.time.stoppedAt({ behind: { ...cursor?.behind, [name]: stopped }, closed })
        return
      }
      closed.push(name)
    }
    task.time.closedUpTo(to)
  }

  #publish(task: Task, activity: 'active' | 'idle'): void {
    if (this.#stream === undefined) return
    this.#board.publish(task.partition, task.time.source(this.#stream.input), activity)
  }

  #pulse(task: Task): Pulse {
    return must(this.#pulses.get(task), 'a pulse per task')
  }
}

/** A runner without a shared board knows only its own partitions: the others count as idle. */
function ownBoard(stage: StagePlan, tasks: readonly Task[]): WatermarkBoard {
  const board = new WatermarkBoard(stage.partitions)
  const own = new Set(tasks.map(({ partition }) => partition))
  for (let partition = 0; partition < stage.partitions; partition++) {
    if (!own.has(partition)) board.publish(partition, -Infinity, 'idle')
  }
  return board
}

/** A tenth of the smallest window, so that windows close soon after they may. */
function granularity(definition: PipelineDefinition): number {
  let smallest = defaultGranularityMs * 10
  for (const node of definition.nodes) {
    if (node.kind === 'aggregate') smallest = Math.min(smallest, node.window.sizeMs)
  }
  return Math.max(1, Math.floor(smallest / 10))
}

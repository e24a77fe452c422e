/**
 * Pull ingest: reads a source and commits its events together with the source's position. Nobody waits for a verdict, so
 * invalid events become dead letters. A task is one partition of the source.
 */
import { backoff } from '../core/backoff.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log, Writer } from '../log/log.ts'
import type { Source, SourceReader, Start } from '../sources/source.ts'
import { EventReader } from './ingest-event.ts'
import type { EventRules } from './ingest-event.ts'
import { IngestStage } from './ingest-stage.ts'
import type { Runner, StepBudget, StepResult, TaskReport, TaskStatus } from './runner.ts'

export interface PullIngestOptions {
  readonly env: Env
  readonly log: Log
  /** `ingest/<topic>/<source kind>`. */
  readonly id: string
  readonly topic: string
  readonly rules: EventRules
  readonly source: Source
  readonly start: Start
  readonly deadLetters: string
  readonly planHash: string
  /** The partitions of the source that this worker reads. */
  readonly partitions: readonly number[]
}

interface Task {
  readonly id: string
  readonly partition: number
  reader: SourceReader | undefined
  paused: boolean
  finished: boolean
  /** Why the source could not be read the last time. */
  error: MillraceError | undefined
  /** Times in a row that it could not. */
  failures: number
  /** Monotonic time before which nothing is asked of the source; never again by itself where an operator must look. */
  askAt: number
}

/** Events of one poll: even if all of them become dead letters, they fit beside what may be staged. */
const pollEvents = 4_096
const pollBytes = 1024 * 1024
/** Between two tries of a source that is not there or does not answer. */
const retry = { baseMs: 1_000, maxMs: 60_000 }

export class PullIngestRunner implements Runner {
  readonly id: string
  readonly tasks: readonly string[]
  readonly #options: PullIngestOptions
  readonly #events: EventReader
  readonly #stage: IngestStage
  readonly #tasks: Task[]
  #first = 0
  #opened = false
  #wake: (() => void) | undefined

  constructor(options: PullIngestOptions) {
    this.#options = options
    this.id = options.id
    this.#events = new EventReader(options.rules)
    this.#stage = new IngestStage({
      id: options.id,
      topic: options.topic,
      positionTopic: options.topic,
      deadLetters: options.deadLetters,
      planHash: options.planHash,
      schemaVersion: options.rules.schema.version,
    })
    this.tasks = options.partitions.map((partition) => `${this.id}/${partition}`)
    this.#tasks = options.partitions.map((partition, i) => ({
      id: this.tasks[i]!,
      partition,
      reader: undefined,
      paused: false,
      finished: false,
      error: undefined,
      failures: 0,
      askAt: -Infinity,
    }))
  }

  async open(): Promise<void> {
    const { log, partitions } = this.#options
    this.#stage.open(partitions, await log.positions(this.id))
    this.#opened = true
    for (const task of this.#tasks) {
      task.finished = false
      // A source that could not be read waits for its next turn, or for an operator.
      if (task.error !== undefined) continue
      task.askAt = -Infinity
      task.reader = this.#openReader(task)
    }
  }

  step(budget: StepBudget): StepResult {
    const now = this.#options.env.clock.monotonic()
    let result: StepResult = 'idle'
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[(this.#first + i) % this.#tasks.length]!
      if (task.paused || task.finished || task.askAt > now) continue
      if (this.stagedBytes >= limits.taskStageBytes) return 'full'
      if (this.#read(task, budget, now)) result = 'worked'
    }
    this.#first++
    return result
  }

  get stagedBytes(): number {
    return this.#stage.bytes
  }

  get wakeAt(): number | undefined {
    let at = Infinity
    for (const { paused, finished, askAt } of this.#tasks) {
      if (!paused && !finished) at = Math.min(at, askAt)
    }
    return at === Infinity ? undefined : at
  }

  stage(writer: Writer): void {
    this.#stage.stage(writer)
  }

  committed(): void {
    this.#stage.committed()
  }

  reset(): void {
    this.#stage.rollback()
    this.#closeReaders()
  }

  /** Sources are polled: only time wakes this runner, or `resume`. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done)
        this.#wake = undefined
        resolve()
      }
      this.#wake = done
      if (signal.aborted) done()
      else signal.addEventListener('abort', done, { once: true })
    })
  }

  pause(task: string): void {
    const found = this.#find(task)
    if (found !== undefined) found.paused = true
  }

  resume(task: string): boolean {
    const found = this.#find(task)
    if (found === undefined || (!found.paused && found.error === undefined)) return false
    found.paused = false
    if (found.error !== undefined) found.askAt = -Infinity
    found.error = undefined
    found.failures = 0
    this.#wake?.()
    return true
  }

  report(): readonly TaskReport[] {
    // What its tasks have counted is not known yet.
    if (!this.#opened) return []
    return this.#tasks.map((task) => ({
      id: task.id,
      status: statusOf(task),
      counters: this.#stage.committedCounters(task.partition),
      lag: 0,
      watermark: undefined,
      stateKeys: 0,
      stateBytes: 0,
      ...(task.error === undefined
        ? {}
        : { error: { code: task.error.code, message: task.error.message } }),
    }))
  }

  close(): Promise<void> {
    this.#closeReaders()
    return Promise.resolve()
  }

  /** Opens the source where the task stands; undefined where that is not possible now. */
  #openReader(task: Task): SourceReader | undefined {
    const { env, source, start } = this.#options
    const { partition } = task
    return this.#try(task, () => {
      const position = this.#stage.source(partition)
      if (source.open !== undefined) return source.open({ env, partition, position, start })
      const what = `The source ${source.kind} of ${this.id} cannot be opened: it has no open().`
      throw new MillraceError('MR1063', what)
    })
  }

  /** True when there were events. */
  #read(task: Task, budget: StepBudget, now: number): boolean {
    const { partition } = task
    const reader = (task.reader ??= this.#openReader(task))
    const events = Math.min(budget.rows, pollEvents)
    const bytes = Math.min(budget.bytes, pollBytes)
    const poll =
      reader === undefined ? undefined : this.#try(task, () => reader.poll(events, bytes))
    if (poll === undefined) return false
    task.error = undefined
    task.failures = 0
    if (poll.result === 'ended') task.finished = true
    if (poll.result === 'idle') task.askAt = now + poll.againInMs
    if (poll.result !== 'events') return false
    for (const event of poll.events) this.#take(partition, event)
    this.#stage.setSource(partition, poll.position)
    return true
  }

  #take(task: number, event: Uint8Array): void {
    const stage = this.#stage
    const now = this.#options.env.clock.now()
    const refusal = this.#events.read(event, 0, event.length, now)
    if (refusal === undefined) {
      const { partition, timestamp, key } = this.#events
      stage.record(partition, timestamp, key, event, now)
      stage.count(task, 1, 0, 0)
    } else {
      stage.letter(stage.encodeLetter(task, stage.counters(task).read, refusal, event, now), now)
      stage.count(task, 0, 1, 0)
    }
  }

  /**
   * What a source cannot do now is tried again, what an operator must look at stops its own task; anything else is a bug
   * and stops the runner. Undefined where it did not work.
   */
  #try<T>(task: Task, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      const { clock, random } = this.#options.env
      const wait = backoff(retry, ++task.failures, random)
      task.error = error
      task.askAt = error.kind === 'unavailable' ? clock.monotonic() + wait : Infinity
      task.reader?.close()
      task.reader = undefined
      return undefined
    }
  }

  #closeReaders(): void {
    for (const task of this.#tasks) {
      task.reader?.close()
      task.reader = undefined
    }
  }

  #find(id: string): Task | undefined {
    return this.#tasks.find((task) => task.id === id)
  }
}

function statusOf({ error, askAt, paused, finished }: Task): TaskStatus {
  if (error !== undefined && askAt === Infinity) return 'failed'
  if (paused) return 'paused'
  if (error !== undefined) return 'retrying'
  return finished ? 'finished' : 'running'
}

/**
 * Pull ingest: reads a source and commits its events together with the source's position. Nobody waits for a verdict, so
 * invalid events become dead letters. A task is one partition of the source.
 */
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log, Writer } from '../log/log.ts'
import type { Source, SourceReader, Start } from '../sources/source.ts'
import { EventReader } from './ingest-event.ts'
import type { EventRules } from './ingest-event.ts'
import { IngestStage } from './ingest-stage.ts'
import type { Runner, StepBudget, StepResult, TaskReport } from './runner.ts'

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
  readonly partition: number
  reader: SourceReader | undefined
  status: 'running' | 'paused' | 'finished' | 'failed'
  error: MillraceError | undefined
  /** Monotonic time before which the source has nothing. */
  idleUntil: number
}

/** Events of one poll: even if all of them become dead letters, they fit beside what may be staged. */
const pollEvents = 4_096
const pollBytes = 1024 * 1024

export class PullIngestRunner implements Runner {
  readonly id: string
  readonly #options: PullIngestOptions
  readonly #events: EventReader
  readonly #stage: IngestStage
  readonly #tasks: Task[]
  #first = 0
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
    this.#tasks = options.partitions.map((partition) => ({
      partition,
      reader: undefined,
      status: 'running',
      error: undefined,
      idleUntil: -Infinity,
    }))
  }

  async open(): Promise<void> {
    const { log, partitions } = this.#options
    this.#stage.open(partitions, await log.positions(this.id))
    for (const task of this.#tasks) {
      if (task.status !== 'failed') this.#try(task, () => (task.reader = this.#openReader(task)))
    }
  }

  step(budget: StepBudget): StepResult {
    const now = this.#options.env.clock.monotonic()
    let result: StepResult = 'idle'
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[(this.#first + i) % this.#tasks.length]!
      if (task.status !== 'running' || task.idleUntil > now) continue
      if (this.stagedBytes >= limits.taskStageBytes) return 'full'
      this.#try(task, () => {
        if (this.#poll(task, budget, now)) result = 'worked'
      })
    }
    this.#first++
    return result
  }

  get stagedBytes(): number {
    return this.#stage.bytes
  }

  get wakeAt(): number | undefined {
    let at = Infinity
    for (const task of this.#tasks) {
      if (task.status === 'running') at = Math.min(at, task.idleUntil)
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
    if (found?.status === 'running') found.status = 'paused'
  }

  resume(task: string): void {
    const found = this.#find(task)
    if (found?.status !== 'paused') return
    found.status = 'running'
    this.#wake?.()
  }

  report(): readonly TaskReport[] {
    return this.#tasks.map(({ partition, status, error }) => ({
      id: `${this.id}/${partition}`,
      status,
      counters: { ...this.#stage.counters(partition) },
      lag: 0,
      watermark: undefined,
      stateKeys: 0,
      stateBytes: 0,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    }))
  }

  close(): Promise<void> {
    this.#closeReaders()
    return Promise.resolve()
  }

  #openReader(task: Task): SourceReader {
    const { env, source, start } = this.#options
    if (source.open === undefined) {
      throw new MillraceError(
        'MR1060',
        `The source ${source.kind} of ${this.id} is pushed to, not read.`,
      )
    }
    const { partition } = task
    task.idleUntil = -Infinity
    if (task.status === 'finished') task.status = 'running'
    return source.open({ env, partition, position: this.#stage.source(partition), start })
  }

  /** True when there were events. */
  #poll(task: Task, budget: StepBudget, now: number): boolean {
    const { reader, partition } = task
    if (reader === undefined) return false
    const poll = reader.poll(Math.min(budget.rows, pollEvents), Math.min(budget.bytes, pollBytes))
    if (poll.result === 'ended') task.status = 'finished'
    if (poll.result === 'idle') task.idleUntil = now + poll.againInMs
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

  /** What a source cannot do stops its own task; anything else is a bug and stops the runner. */
  #try(task: Task, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      task.status = 'failed'
      task.error = error
      task.reader?.close()
      task.reader = undefined
    }
  }

  #closeReaders(): void {
    for (const task of this.#tasks) {
      task.reader?.close()
      task.reader = undefined
    }
  }

  #find(task: string): Task | undefined {
    return this.#tasks.find((candidate) => `${this.id}/${candidate.partition}` === task)
  }
}

/**
 * @contract Runner: all tasks of one stage that live on one worker (partition is a column). Three kinds, one life:
 * read from a position → work → stage; the worker commits what all its runners staged, at once.
 *
 * Invariants an implementation keeps:
 *  - R1 `step` is synchronous and bounded by its budget; after it the runner stands at a batch boundary.
 *  - R2 Nothing reaches the writer before `stage`; a task that failed since the last commit contributes nothing, its store
 *    is rolled back, and the others' work stays.
 *  - R3 After `committed` what was staged is the new base. After `reset` everything staged and every store is forgotten and
 *    rebuilt from the log before the next `step`.
 *  - R4 What is shown outside (HTTP answers, sink deliveries of results) waits for `committed`.
 */
import type { MillraceError } from '../errors.ts'
import type { CommitResult, Writer } from '../log/log.ts'

/** Committed counters of one task (I11): read = processed + deadLettered + late + skipped + shed + expired. */
export interface TaskCounters {
  read: number
  processed: number
  deadLettered: number
  late: number
  skipped: number
  shed: number
  expired: number
  /** Records written to topics. */
  emitted: number
}

/**
 * `retrying`: a sink or source does not answer; the task goes on by itself. `failed` and `behind-retention`: it stands
 * until an operator resumes it.
 */
export type TaskStatus =
  | 'running'
  | 'retrying'
  | 'paused'
  | 'failed'
  | 'behind-retention'
  | 'finished'

export interface TaskReport {
  readonly id: string
  readonly status: TaskStatus
  readonly counters: Readonly<TaskCounters>
  /** Records committed upstream and not yet read; an upper bound. */
  readonly lag: number
  /** Event-time watermark in milliseconds; undefined before the first record. */
  readonly watermark: number | undefined
  readonly stateKeys: number
  readonly stateBytes: number
  readonly error?: { readonly code: string; readonly message: string }
  /** Deliver tasks, since this process started: times from a record's append to its delivery, and failed attempts. */
  readonly delivery?: DeliveryReport
}

export interface DeliveryReport {
  /** Upper bounds in milliseconds; `counts` has one more entry, for what is above the last. */
  readonly boundsMs: readonly number[]
  readonly counts: readonly number[]
  readonly sumMs: number
  readonly failures: number
}

export interface StepBudget {
  readonly rows: number
  readonly bytes: number
}

/** `worked`: call again. `idle`: nothing to do until woken or `wakeAt`. `full`: commit before the next step. */
export type StepResult = 'worked' | 'idle' | 'full'

export interface Runner {
  readonly id: string
  /** Ids of the tasks that live here. `pause` and `resume` with any other id change nothing. */
  readonly tasks: readonly string[]
  /** Opens readers and stores, reads committed positions, restores state. Called once, and again after `reset`. */
  open(): Promise<void>
  step(budget: StepBudget): StepResult
  /** Bytes this runner would add to a commit now; 0 only when it has nothing at all to commit. */
  readonly stagedBytes: number
  /** How long ago the records were appended that it works on now, in milliseconds; undefined: someone waits for its commit. */
  readonly behindMs?: number | undefined
  /** Monotonic time at which an idle runner wants to be stepped again; undefined for only when data arrives. */
  readonly wakeAt: number | undefined
  stage(writer: Writer): void
  committed(result: Extract<CommitResult, { outcome: 'committed' }>): void
  /** `cause`: why; an ingest runner gives it to the requests that were waiting for the commit. */
  reset(cause?: MillraceError): void
  /** Resolves when new input may be there; the worker races these. */
  wait(signal: AbortSignal): Promise<void>
  /** The task stops at the batch boundary where it stands; what it staged is still committed. Kept through resets. */
  pause(task: string): void
  /**
   * The operator's word that the task may go on: a paused one from where it stands, one that failed or waits to try again
   * from its last commit, now. True where the task did not run. For one that failed as a whole, see `WorkerLoop.resume`.
   */
  resume(task: string): boolean
  report(): readonly TaskReport[]
  close(): Promise<void>
}

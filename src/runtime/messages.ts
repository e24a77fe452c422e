/**
 * Everything that main and its threads say to each other, besides the log's own ports. Errors cross as MillraceError's
 * `toJSON`; `reviveError` makes them errors again.
 */
import type { MessagePortLike } from '../core/port.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import type { Plan } from '../plan/plan.ts'
import type { Damage } from '../log/embedded/inspect.ts'
import type { MadeSnapshot, StandingSnapshot } from '../state/snapshot.ts'
import type { RunnerShare } from './assignment.ts'
import type { WorkerReport } from './reports.ts'
import type { ScrubStatus } from './scrub.ts'
import type { ErrorJson } from './status.ts'

/** What one user module became in one thread. */
export type Planned =
  | { readonly url: string; readonly plan: Plan }
  | { readonly url: string; readonly error: ErrorJson }

/** By the name of a thread's entry: what it is started with, is told, and says. */
export interface Entries {
  readonly 'plan-thread': {
    readonly data: PlanThreadData
    readonly to: never
    readonly from: FromPlanThread
  }
  readonly 'log-thread': {
    readonly data: LogThreadData
    readonly to: ToLogThread
    readonly from: FromLogThread
  }
  readonly 'snapshot-thread': {
    readonly data: SnapshotThreadData
    readonly to: ToSnapshotThread
    readonly from: FromSnapshotThread
  }
  readonly 'worker-thread': {
    readonly data: WorkerThreadData
    readonly to: ToWorker
    readonly from: FromWorker
  }
}

// The plan thread: loads every module once and ends.

export interface PlanThreadData {
  readonly urls: readonly string[]
}

export type FromPlanThread =
  /** Sent before a module is loaded, so that main knows which one does not end. */
  | { readonly type: 'loading'; readonly url: string }
  | { readonly type: 'planned'; readonly planned: Planned }

// The log thread.

export interface LogThreadData {
  readonly dataDir: string
}

export type ToLogThread =
  | { readonly type: 'attach'; readonly port: MessagePortLike }
  | { readonly type: 'close' }

export type FromLogThread =
  /** Recovery is done and the log takes commits. */
  | {
      readonly type: 'open'
      readonly logId: string
      readonly logEpoch: number
      readonly notes: readonly string[]
    }
  /** Nothing may be acknowledged any more: the process ends. */
  | { readonly type: 'failed'; readonly error: ErrorJson }
  | { readonly type: 'closed' }

// The snapshot thread.

export interface SnapshotThreadData {
  readonly dataDir: string
  /** 0: nothing is read again. */
  readonly scrubBytesPerSecond: number
  readonly scrubEveryMs: number
  readonly snapshotDir: string
  readonly logPort: MessagePortLike
  readonly changelogs: readonly { readonly topic: string; readonly partitions: number }[]
}

export type ToSnapshotThread =
  /** Snapshots of all stores with these changelogs, now. */
  | { readonly type: 'snapshot'; readonly id: number; readonly changelogs: ReadonlySet<string> }
  | { readonly type: 'close' }

export type FromSnapshotThread =
  | ({ readonly type: 'made' } & MadeSnapshot)
  | {
      readonly type: 'standing'
      readonly id: number
      readonly snapshots: readonly StandingSnapshot[]
    }
  /** It could not make those that it was asked for. */
  | { readonly type: 'refused'; readonly id: number; readonly error: ErrorJson }
  | { readonly type: 'scrub'; readonly status: ScrubStatus }
  /** The scrub found a file damaged that was not known to be. */
  | { readonly type: 'damage'; readonly damage: Damage }

// Workers.

export interface WorkerThreadData {
  readonly slot: number
  /** Rises with every worker ever started on this data directory: the fence of sinks. */
  readonly epoch: number
  readonly logId: string
  readonly dataDir: string
  readonly logPort: MessagePortLike
  /** Modules and the hashes that main planned with; another hash in a worker is refused. */
  readonly modules: readonly {
    readonly url: string
    readonly pipeline: string
    readonly hash: string
  }[]
  readonly shares: readonly RunnerShare[]
  readonly commitIntervalMs: number
  readonly watchdogMs: number
  /** Memory of the watermarks of each stage's source partitions, by stage id; shared by all workers. */
  readonly boards: Readonly<Record<string, SharedArrayBuffer>>
  /** See beat.ts. */
  readonly beat: SharedArrayBuffer
  /** Tasks that run record by record, because something in them ended the worker before. */
  readonly careful: readonly string[]
  /** Records that ended a worker while they were alone. */
  readonly skip: readonly { readonly task: string; readonly offset: number }[]
  readonly paused: readonly string[]
}

export type ToWorker =
  | {
      readonly type: 'ingest'
      readonly id: number
      readonly ingest: string
      readonly bucket: number
      readonly request: IngestRequest
    }
  | { readonly type: 'report'; readonly id: number }
  | { readonly type: 'pause'; readonly tasks: readonly string[] }
  | { readonly type: 'resume'; readonly id: number; readonly tasks: readonly string[] }
  | { readonly type: 'stop' }

export type FromWorker =
  | { readonly type: 'ingested'; readonly id: number; readonly answer: IngestAnswer }
  /** It has loaded the pipelines, and begins to read its state back. */
  | { readonly type: 'loaded' }
  /** Every runner is open: reading, restoring and ingest go on from the last commit. */
  | { readonly type: 'running' }
  | { readonly type: 'report'; readonly id: number; readonly report: WorkerReport }
  /** Those of the tasks it was asked to resume that did not run. */
  | { readonly type: 'resumed'; readonly id: number; readonly tasks: readonly string[] }
  /** It stands until it is resumed. `runner` is the name of the pipeline where its module did not load here. */
  | {
      readonly type: 'runner-failed'
      readonly runner: string
      readonly pipeline: string
      readonly error: ErrorJson
    }
  /** It ends without having been told to, and why. */
  | { readonly type: 'ended'; readonly error: ErrorJson }

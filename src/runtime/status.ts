import type { MillraceError } from '../errors.ts'
import type { ScrubStatus } from './scrub.ts'

/** An error as it crosses a thread or a socket. */
export type ErrorJson = ReturnType<MillraceError['toJSON']>

/** What an engine is doing, as `GET /admin/status` gives it. */
export interface EngineStatus {
  readonly state: 'starting' | 'ready' | 'stopping' | 'stopped' | 'failed'
  readonly version: string
  /** Identity of the data directory. */
  readonly logId: string
  readonly dataDir: string
  readonly url: string
  /** Milliseconds since the start. */
  readonly upMs: number
  readonly pipelines: readonly PipelineStatus[]
  readonly workers: readonly WorkerStatus[]
  /** Tasks that an operator paused, by their ids; a restart does not change it. */
  readonly paused: readonly string[]
  /** How reading again what was written long ago stands; null before it begins, or where it is turned off. */
  readonly scrub: ScrubStatus | null
  /** What keeps it from being ready, for people; empty when it is. */
  readonly notReady: readonly string[]
}

export interface PipelineStatus {
  /** The name; the file where it did not load. */
  readonly name: string
  readonly url: string
  readonly state: 'running' | 'failed'
  readonly planHash: string | undefined
  readonly error: ErrorJson | undefined
}

export interface WorkerStatus {
  readonly slot: number
  readonly state: 'starting' | 'running' | 'waiting' | 'stopped'
  readonly restarts: number
  readonly phase: string
  /** Why the last one ended. */
  readonly lastError: ErrorJson | undefined
}

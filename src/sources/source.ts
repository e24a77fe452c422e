/**
 * @contract Source: where events come from. An ingest task reads it, checks every event against the stream's schema,
 * and commits events and position together.
 *
 * Invariants an implementation keeps:
 *  - A position handed out with events stands *behind* the last of them: opening a reader there yields what follows,
 *    nothing twice, nothing lost.
 *  - `poll` is synchronous, bounded by its arguments, and never waits.
 *  - Event bytes stay valid until the next `poll`.
 */
import type { Env } from '../core/env/env.ts'

/** Where a source begins when it has no committed position; ignored where it has no meaning. */
export type Start = 'earliest' | 'latest' | { readonly time: number }

/** `replayable`: re-reads from any position. `resends`: its clients repeat what was not acknowledged. `none`: what was not committed is gone. */
export type Replay = 'replayable' | 'resends' | 'none'

export interface SourceContext {
  readonly env: Env
  /** Which of the source's `partitions` this reader is. */
  readonly partition: number
  /** The last committed position; undefined at the first start. */
  readonly position: string | undefined
  readonly start: Start
}

export type SourcePoll =
  /** One element per event: the raw bytes of one JSON value. */
  | { readonly result: 'events'; readonly events: readonly Uint8Array[]; readonly position: string }
  | { readonly result: 'idle'; readonly againInMs: number }
  /** Nothing will ever follow. */
  | { readonly result: 'ended' }

export interface SourceReader {
  poll(maxEvents: number, maxBytes: number): SourcePoll
  close(): void
}

export interface Source {
  /** `http`, `file`, `generator`, `host-metrics`, `memory`, or a connector's name. */
  readonly kind: string
  readonly replay: Replay
  /** Readers that can run side by side. */
  readonly partitions: number
  /** One line for `millrace plan`, e.g. `http POST /events`. */
  readonly describe: string
  readonly start: Start
  /** Push sources: the main thread serves this path and hands bodies to the ingest task. */
  readonly push?: { readonly path: string; readonly onInvalid: 'refuse' | 'deadLetter' }
  /** Pull sources. Throws MillraceError when the source cannot be opened or the position means nothing to it. */
  open?(context: SourceContext): SourceReader
}

import type { MillraceError } from '../errors.ts'
import type { EngineOptions } from './config.ts'
import type { Produced } from './producer.ts'
import type { EngineStatus } from './status.ts'

export type { EngineOptions, LogLevel } from './config.ts'
export type { Produced } from './producer.ts'
export type { EngineStatus, PipelineStatus, WorkerStatus } from './status.ts'

/** A running engine. */
export interface Engine {
  /** Where it listens, e.g. `http://127.0.0.1:7171`. */
  readonly url: string
  /** Resolves when every pipeline takes and processes events; rejects when the engine ended before. */
  readonly ready: Promise<void>
  /** Resolves when the engine has ended: with undefined after `stop()`, else with why it failed. Never rejects. */
  readonly ended: Promise<MillraceError | undefined>
  /**
   * Sends events to a topic as HTTP would: checked against its schema, durable when this resolves, each counted once even
   * if a worker dies meanwhile. Rejects when the topic takes no events (MR1xxx) or the engine ends.
   */
  produce(topic: string, events: readonly unknown[]): Promise<Produced>
  status(): EngineStatus
  /** Takes nothing new, writes the last commits, and lets go of port and data directory. */
  stop(): Promise<void>
}

/**
 * Starts pipelines in threads of this process. `urls` are URLs of modules (`new URL('./pipeline.ts', import.meta.url)`);
 * their code runs in worker threads only. Resolves when the engine listens. A pipeline that does not load stops alone;
 * rejects when none is left, when the data directory is in use (MR2001) or the port is (MR6001).
 */
export async function start(
  urls: string | URL | readonly (string | URL)[],
  options: EngineOptions = {},
): Promise<Engine> {
  // Loaded only here: pipelines import this package too, in every worker, and need none of the engine.
  const { launch } = await import('./launch.ts')
  return launch(Array.isArray(urls) ? urls.map(String) : [String(urls)], options)
}

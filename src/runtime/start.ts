import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { realEnv } from '../core/env/real/index.ts'
import { MillraceError } from '../errors.ts'
import { stderrLogger } from '../observe/logger.ts'
import { resolveConfig } from './config.ts'
import type { EngineOptions } from './config.ts'
import { Engine as Supervisor } from './engine.ts'
import { serveHttp } from './http-server.ts'
import type { HttpServer } from './http-server.ts'
import { LocalProducer } from './producer.ts'
import type { Produced } from './producer.ts'
import type { EngineStatus } from './status.ts'

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
  const machine = { cores: availableParallelism(), memoryBytes: totalmem(), cwd: process.cwd() }
  const config = resolveConfig(options, machine)
  const list = Array.isArray(urls) ? (urls as readonly (string | URL)[]) : [urls as string | URL]
  const engine = await Supervisor.open({
    env: realEnv(),
    config,
    urls: list.map(String),
    version: version(),
    logger: stderrLogger(config.logLevel),
  })
  let server: HttpServer
  try {
    server = await serveHttp(engine)
  } catch (error) {
    await engine.stop()
    throw error
  }
  engine.run(server.url)
  const over = new AbortController()
  void engine.ended.then(() => over.abort())
  const producer = new LocalProducer(engine.inputs.env, over.signal, (ingest, request) =>
    engine.ingest.submit(ingest, request),
  )
  return {
    url: server.url,
    ready: engine.ready,
    ended: engine.ended,
    produce: (topic, events) => producer.produce(topic, events),
    status: () => engine.status(),
    stop: async () => {
      await server.close()
      await engine.stop()
    },
  }
}

function version(): string {
  return (createRequire(import.meta.url)('../../package.json') as { version: string }).version
}

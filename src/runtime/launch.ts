import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { realEnv } from '../core/env/real/index.ts'
import { stderrLogger } from '../observe/logger.ts'
import { resolveConfig } from './config.ts'
import type { EngineOptions } from './config.ts'
import { Engine as Supervisor } from './engine.ts'
import { serveHttp } from './http-server.ts'
import type { HttpServer } from './http-server.ts'
import { nodeThreads } from './node-threads.ts'
import { LocalProducer } from './producer.ts'
import type { Engine } from './start.ts'

/** Edge: the engine with everything of this process around it. */
export async function launch(urls: readonly string[], options: EngineOptions): Promise<Engine> {
  // 0 where it is not known.
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity)
  const machine = { cores: availableParallelism(), memoryBytes, cwd: process.cwd() }
  const config = resolveConfig(options, machine)
  const engine = await Supervisor.open({
    env: realEnv(),
    config,
    urls,
    version: version(),
    logger: stderrLogger(config.logLevel),
    threads: nodeThreads,
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

import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import { serveLog } from '../log/embedded/index.ts'
import { runLog } from './log-body.ts'
import type { LogThreadData } from './messages.ts'

/** Edge: the entry of the log thread. */
await runLog({
  env: realEnv(),
  port: must(parentPort, 'log-thread runs as a thread'),
  data: workerData as LogThreadData,
  serve: serveLog,
  // A process that is killed never gets to writing it down.
  opened: flushCompileCache,
})

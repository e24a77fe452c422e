import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import { BeatWriter } from './beat.ts'
import { loadWithPlan, resolveOwnPackage } from './load-pipeline.ts'
import type { WorkerThreadData } from './messages.ts'
import { WorkerBody } from './worker-body.ts'

/** Edge: the entry of a worker. */
const data = workerData as WorkerThreadData
resolveOwnPackage()
const worker = new WorkerBody({
  env: realEnv(),
  port: must(parentPort, 'worker-thread runs as a thread'),
  data,
  beat: new BeatWriter(data.beat),
  load: loadWithPlan,
  // A process that is killed never gets to writing it down.
  running: flushCompileCache,
})
await worker.run()
process.exit(0)

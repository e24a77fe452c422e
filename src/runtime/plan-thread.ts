import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { loadWithPlan, resolveOwnPackage } from './load-pipeline.ts'
import type { PlanThreadData } from './messages.ts'
import { runPlanning } from './plan-body.ts'

/** Edge: the entry of the thread that loads user code to plan it. */
resolveOwnPackage()
await runPlanning({
  port: must(parentPort, 'plan-thread runs as a thread'),
  data: workerData as PlanThreadData,
  load: loadWithPlan,
})
// What the modules started (timers, sockets) must not keep the thread.
process.exit(0)

import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { planOf } from '../plan/index.ts'
import { loadError, loadPipeline, resolveOwnPackage } from './load-pipeline.ts'
import type { FromPlanThread, PlanThreadData } from './messages.ts'

/** Edge: loads each user module once, says what plan it makes, and ends. */
const port = must(parentPort, 'plan-thread runs as a thread')
const { urls } = workerData as PlanThreadData
const say = (message: FromPlanThread): void => port.postMessage(message)

resolveOwnPackage()
for (const url of urls) {
  say({ type: 'loading', url })
  try {
    say({ type: 'planned', planned: { url, plan: planOf(await loadPipeline(url)) } })
  } catch (error) {
    say({ type: 'planned', planned: { url, error: loadError(url, error).toJSON() } })
  }
}
// What the modules started (timers, sockets) must not keep the thread.
process.exit(0)

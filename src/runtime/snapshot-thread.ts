import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import type { SnapshotThreadData } from './messages.ts'
import { runSnapshots } from './snapshot-body.ts'

/** Edge: the entry of the thread that makes snapshots. */
await runSnapshots({
  env: realEnv(),
  port: must(parentPort, 'snapshot-thread runs as a thread'),
  data: workerData as SnapshotThreadData,
})
process.exit(0)

import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import { portOf } from '../core/port.ts'
import { LogClient } from '../log/embedded/index.ts'
import { SnapshotMaker } from '../state/snapshot.ts'
import type { FromSnapshotThread, SnapshotThreadData } from './messages.ts'

/** Edge: the thread that makes snapshots of all stores, from their changelogs, while the workers go on. */
const port = must(parentPort, 'snapshot-thread runs as a thread')
const { snapshotDir, logPort, changelogs } = workerData as SnapshotThreadData
const say = (message: FromSnapshotThread): void => port.postMessage(message)

/** Between rounds: following every commit at once would cost as much as it saves. */
const pauseMs = 1_000

const stop = new AbortController()
port.on('message', () => stop.abort())
const env = realEnv()
const log = await LogClient.connect(env, portOf(logPort))
const maker = await SnapshotMaker.open(env, log, snapshotDir, changelogs)
while (!stop.signal.aborted) {
  for (const made of await maker.round()) say({ type: 'made', ...made })
  await env.timers.sleep(pauseMs, stop.signal)
  if (!stop.signal.aborted) await maker.wait(stop.signal)
}
process.exit(0)

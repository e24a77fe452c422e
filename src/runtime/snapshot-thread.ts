import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { DiskError } from '../core/env/env.ts'
import { realEnv } from '../core/env/real/index.ts'
import { portOf } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import { SnapshotMaker } from '../state/snapshot.ts'
import { unusable } from './data-files.ts'
import type { FromSnapshotThread, SnapshotThreadData, ToSnapshotThread } from './messages.ts'
import { Scrub } from './scrub.ts'

/**
 * Edge: the thread that makes snapshots of all stores, from their changelogs, while the workers go on. Here is also read
 * again what was written long ago: this thread is the one that nobody waits for.
 */
const port = must(parentPort, 'snapshot-thread runs as a thread')
const { dataDir, snapshotDir, logPort, changelogs, scrubBytesPerSecond, scrubEveryMs } =
  workerData as SnapshotThreadData
const say = (message: FromSnapshotThread): void => port.postMessage(message)

/** Between rounds: following every commit at once would cost as much as it saves. */
const pauseMs = 1_000

type Asked = Extract<ToSnapshotThread, { type: 'snapshot' }>

const stop = new AbortController()
let wake = new AbortController()
const asked: Asked[] = []
port.on('message', (message: ToSnapshotThread) => {
  if (message.type === 'close') stop.abort()
  else asked.push(message)
  wake.abort()
})
const env = realEnv()
const log = await LogClient.connect(env, portOf(logPort))
const maker = await SnapshotMaker.open(env, log, snapshotDir, changelogs)
if (scrubBytesPerSecond > 0) {
  const scrub = new Scrub(env, {
    dataDir,
    bytesPerSecond: scrubBytesPerSecond,
    everyMs: scrubEveryMs,
    onProgress: (status) => say({ type: 'scrub', status }),
    onDamage: (damage) => say({ type: 'damage', damage }),
  })
  void scrub.run(stop.signal)
}
while (!stop.signal.aborted) {
  wake = new AbortController()
  for (const one of asked.splice(0)) await answer(one)
  for (const made of await maker.round()) say({ type: 'made', ...made })
  await env.timers.sleep(pauseMs, wake.signal)
  if (!wake.signal.aborted) await maker.wait(wake.signal)
}
process.exit(0)

async function answer({ id, changelogs: wanted }: Asked): Promise<void> {
  try {
    say({ type: 'standing', id, snapshots: await maker.now(wanted) })
  } catch (error) {
    const told = error instanceof DiskError ? unusable(error) : error
    if (!(told instanceof MillraceError)) throw error
    say({ type: 'refused', id, error: told.toJSON() })
  }
}

import { join } from 'node:path'
import type { MessagePort, Worker } from 'node:worker_threads'
import type { Env } from '../core/env/env.ts'
import type { Logger } from '../observe/logger.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { FromSnapshotThread, SnapshotThreadData, ToSnapshotThread } from './messages.ts'
import { cacheDirOf, spawnThread } from './threads.ts'

export function snapshotDirOf(dataDir: string): string {
  return join(dataDir, 'state')
}

const againMs = 30_000

/** Edge: keeps the snapshot thread alive. Without it all goes on, only restarts take longer, so a failure waits long. */
export class Snapshots {
  readonly #env: Env
  readonly #logger: Logger
  readonly #dataDir: string
  readonly #data: () => SnapshotThreadData
  #thread: Worker | undefined
  #stopping = false
  #cancel = (): void => {}

  constructor(
    env: Env,
    logger: Logger,
    dataDir: string,
    merged: MergedPlan,
    attach: () => MessagePort,
  ) {
    this.#env = env
    this.#logger = logger
    this.#dataDir = dataDir
    const changelogs = merged.topics
      .filter(({ role }) => role === 'changelog')
      .map(({ name, partitions }) => ({ topic: name, partitions }))
    this.#data = () => ({ snapshotDir: snapshotDirOf(dataDir), logPort: attach(), changelogs })
  }

  start(): void {
    const data = this.#data()
    const thread = spawnThread('snapshot-thread', {
      name: 'snapshots',
      data,
      transfer: [data.logPort],
      cacheDir: cacheDirOf(this.#dataDir),
    })
    this.#thread = thread
    thread.on('message', (message: FromSnapshotThread) => {
      const { changelog, partition, lsn, bytes, entries } = message
      this.#logger.debug({ changelog, partition, lsn, bytes, entries }, 'Made a snapshot.')
    })
    thread.on('error', (error: Error) =>
      this.#logger.error({ error: error.message }, 'Making snapshots failed.'),
    )
    thread.on('exit', () => {
      this.#thread = undefined
      if (!this.#stopping) this.#cancel = this.#env.timers.after(againMs, () => this.start())
    })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancel()
    const thread = this.#thread
    if (thread === undefined) return
    const gone = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
    thread.postMessage({ type: 'close' } satisfies ToSnapshotThread)
    // A snapshot half made is thrown away at the next start.
    const cancel = this.#env.timers.after(1_000, () => void thread.terminate())
    await gone
    cancel()
  }
}

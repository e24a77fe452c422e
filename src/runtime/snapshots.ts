import { join } from 'node:path'
import type { Env } from '../core/env/env.ts'
import type { MessagePortLike } from '../core/port.ts'
import { MillraceError, reviveError } from '../errors.ts'
import type { Logger } from '../observe/logger.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { Plan } from '../plan/plan.ts'
import type { StandingSnapshot } from '../state/snapshot.ts'
import type { EngineConfig } from './config.ts'
import { deferred } from './deferred.ts'
import type { Deferred } from './deferred.ts'
import type { FromSnapshotThread, SnapshotThreadData, ToSnapshotThread } from './messages.ts'
import type { ScrubStatus } from './scrub.ts'
import { cacheDirOf } from './threads.ts'
import type { Thread, Threads } from './threads.ts'

export function snapshotDirOf(dataDir: string): string {
  return join(dataDir, 'state')
}

const againMs = 30_000

/**
 * The changelogs of what a name means: a pipeline with the sessions of its producers, a stage, an ingest; all where there
 * is no name. Throws MR6010 for a name that nothing with state has.
 */
export function changelogsOf(plans: readonly Plan[], target?: string): ReadonlySet<string> {
  const found = new Set<string>()
  for (const { pipeline, stages, ingests } of plans) {
    const meant = (id: string): boolean =>
      target === undefined || target === pipeline || target === id
    for (const { id, stores } of stages)
      if (meant(id)) for (const { changelog } of stores) found.add(changelog)
    for (const { id, sessions } of ingests)
      if (sessions !== undefined && meant(id)) found.add(sessions)
  }
  if (found.size > 0 || target === undefined) return found
  throw new MillraceError('MR6010', `No pipeline or stage with state is called "${target}".`)
}

export interface SnapshotsOptions {
  readonly env: Env
  readonly threads: Threads
  readonly logger: Logger
  readonly config: EngineConfig
}

/** Keeps the snapshot thread alive. Without it all goes on, only restarts take longer, so a failure waits long. */
export class Snapshots {
  readonly #env: Env
  readonly #threads: Threads
  readonly #logger: Logger
  readonly #dataDir: string
  readonly #data: () => SnapshotThreadData
  readonly #asked = new Map<number, Deferred<readonly StandingSnapshot[]>>()
  #id = 0
  #scrub: ScrubStatus | undefined
  #thread: Thread<ToSnapshotThread, FromSnapshotThread> | undefined
  /** Resolves `stop`. */
  #gone = (): void => {}
  #stopping = false
  #cancel = (): void => {}

  constructor(
    { env, threads, logger, config }: SnapshotsOptions,
    merged: MergedPlan,
    attach: () => MessagePortLike,
  ) {
    const { dataDir, scrubBytesPerSecond, scrubEveryMs } = config
    this.#env = env
    this.#threads = threads
    this.#logger = logger
    this.#dataDir = dataDir
    const changelogs = merged.topics
      .filter(({ role }) => role === 'changelog')
      .map(({ name, partitions }) => ({ topic: name, partitions }))
    this.#data = () => ({
      dataDir,
      scrubBytesPerSecond,
      scrubEveryMs,
      snapshotDir: snapshotDirOf(dataDir),
      logPort: attach(),
      changelogs,
    })
  }

  /** How reading again what is there stands; undefined before it has begun, or where it is turned off. */
  get scrub(): ScrubStatus | undefined {
    return this.#scrub
  }

  /** Snapshots of all stores with these changelogs, as they stand when this resolves. Rejects with why there are none. */
  take(changelogs: ReadonlySet<string>): Promise<readonly StandingSnapshot[]> {
    if (this.#thread === undefined) return Promise.reject(notUp())
    const asked = deferred<readonly StandingSnapshot[]>()
    this.#asked.set(this.#id, asked)
    this.#thread.postMessage({ type: 'snapshot', id: this.#id++, changelogs })
    return asked.promise
  }

  start(): void {
    const data = this.#data()
    const thread = this.#threads.spawn('snapshot-thread', {
      name: 'snapshots',
      data,
      transfer: [data.logPort],
      cacheDir: cacheDirOf(this.#dataDir),
    })
    this.#thread = thread
    thread.onMessage((message) => this.#received(message))
    thread.onError((error) =>
      this.#logger.error({ error: error.message }, 'Making snapshots failed.'),
    )
    thread.onExit(() => {
      this.#thread = undefined
      this.#gone()
      for (const asked of this.#asked.values()) asked.reject(notUp())
      this.#asked.clear()
      if (!this.#stopping) this.#cancel = this.#env.timers.after(againMs, () => this.start())
    })
  }

  #received(message: FromSnapshotThread): void {
    if (message.type === 'made') {
      const { changelog, partition, lsn, bytes, entries } = message
      this.#logger.debug({ changelog, partition, lsn, bytes, entries }, 'Made a snapshot.')
    } else if (message.type === 'scrub') {
      this.#scrub = message.status
    } else if (message.type === 'damage') {
      const { file, offset, lsn, what } = message.damage
      const error = new MillraceError('MR2021', `${this.#dataDir}/${file}: ${what}`)
      this.#logger.error({ code: error.code, file, offset, lsn }, error.message)
    } else {
      const asked = this.#asked.get(message.id)
      this.#asked.delete(message.id)
      if (message.type === 'standing') asked?.resolve(message.snapshots)
      else asked?.reject(reviveError(message.error))
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancel()
    const thread = this.#thread
    if (thread === undefined) return
    const gone = new Promise<void>((resolve) => (this.#gone = resolve))
    thread.postMessage({ type: 'close' })
    // A snapshot half made is thrown away at the next start.
    const cancel = this.#env.timers.after(1_000, () => void thread.terminate())
    await gone
    cancel()
  }
}

function notUp(): MillraceError {
  return new MillraceError('MR6004', 'The thread that makes snapshots is not up at the moment.')
}

/**
 * The embedded log.
 *
 * In one thread (tests, simulation):
 *
 *     const log = await openEmbeddedLog({ env, directory })       // stepped: true: one disk operation per turn
 *     await log.topics.create({ name: 'events', kind: 'user', partitions: 4 })
 *     const writer = await log.open('worker-0')
 *     writer.append('events', 0, builder.finish(env.clock.now()), count)
 *     const committed = await writer.commit()
 *     const reader = await log.reader([{ topic: 'events', partition: 0, offset: 0 }])
 *     const arena = new Arena(1 << 20); const result = reader.next(arena)
 *     await log.stop()
 *
 * Over threads: the log thread calls `const host = await serveLog({ env, directory, onFailed })` and gives it one Port
 * per thread with `host.attach(port)`; every other thread calls `await LogClient.connect(env, port)`. Without an engine:
 * `openReadOnly(env, directory)`.
 */
import type { Env } from '../../core/env/env.ts'
import { portPair } from '../../core/port.ts'
import { limits } from '../../limits.ts'
import type { Log } from '../log.ts'
import { LogClient } from './client.ts'
import { Engine } from './engine.ts'
import { LogHost } from './host.ts'
import type { Drive } from './host.ts'
import { openDirectory } from './open.ts'
import type { RecoveryReport } from './open.ts'
import { runSteps, runStepsByTurns, spaceOf } from './steps.ts'

export { LogClient } from './client.ts'
export { LogHost } from './host.ts'
export type { Drive } from './host.ts'
export { openReadOnly } from './read-only.ts'
export type { RecoveryReport } from './open.ts'

export interface EmbeddedLogOptions {
  readonly env: Env
  /** The data directory; created when missing. */
  readonly directory: string
  /** A segment takes no more frames beyond this size. Default 64 MiB. */
  readonly segmentBytes?: number
  /** A checkpoint is written after this many bytes; what lies behind it is verified at the next start. Default 64 MiB. */
  readonly checkpointBytes?: number
  /** Below `low` free bytes appending commits are refused (MR2007), until `high` are free. Default: 5 % of the disk, at most two segments; and half as much again. */
  readonly reserve?: { readonly low: number; readonly high: number }
  /** How often retention looks for what may go (ms). Default 10 s. */
  readonly retentionCheckMs?: number
  /** Called once when the disk failed or the log broke: no commit will succeed, the process has to end. */
  readonly onFailed?: (error: unknown) => void
  /** How disk operations run. Default: at once. */
  readonly drive?: Drive
}

export interface ServedLog {
  readonly host: LogHost
  readonly report: RecoveryReport
}

/** Recovers the directory and serves it. Rejects with MillraceError when it is locked, damaged or foreign. */
export async function serveLog(options: EmbeddedLogOptions): Promise<ServedLog> {
  const { env, directory, onFailed } = options
  const drive = options.drive ?? runSteps
  const segmentBytes = options.segmentBytes ?? limits.segmentBytes
  const opened = await drive(
    openDirectory({ disk: env.disk, directory, segmentBytes, newUuid: env.random.bytes(16) }),
  )
  // Not knowing how large the disk is is no reason not to start: a write that finds no space says so.
  const total = spaceOf(env.disk, directory)?.total ?? Infinity
  const low = Math.floor(Math.min(total / 20, 2 * segmentBytes))
  const reserve = options.reserve ?? { low, high: Math.ceil(low * 1.5) }
  const checkpointBytes = options.checkpointBytes ?? limits.checkpointBytes
  const engine = new Engine({ env, checkpointBytes, reserve }, opened)
  await drive(engine.announce())
  const retentionCheckMs = options.retentionCheckMs ?? 10_000
  // An archive is written while commits wait, so it is no larger than the largest of these.
  const archiveBytes = Math.min(limits.commitBytes, segmentBytes / 2)
  const archive = { archiveBytes, archiveGain: segmentBytes / 2 }
  const host = new LogHost({
    env,
    engine,
    drive,
    retentionCheckMs,
    ...archive,
    ...(onFailed === undefined ? {} : { onFailed }),
  })
  return { host, report: opened.report }
}

export interface LocalLog extends Log {
  readonly host: LogHost
  readonly report: RecoveryReport
  /** Another client of the same log, with its own readers and writers, as another thread would have it. */
  connect(): Promise<LogClient>
  stop(): Promise<void>
}

/** The whole log in one thread: host and client over an in-process port. `stepped`: one disk operation per turn of the Env. */
export async function openEmbeddedLog(
  options: EmbeddedLogOptions & { readonly stepped?: boolean },
): Promise<LocalLog> {
  const { env } = options
  const byTurns: Drive = (steps) => runStepsByTurns(steps, () => env.timers.yield())
  const { host, report } = await serveLog(
    options.stepped === true ? { drive: byTurns, ...options } : options,
  )
  const connect = (): Promise<LogClient> => {
    const [here, there] = portPair()
    host.attach(there)
    return LogClient.connect(env, here)
  }
  const client = await connect()
  return {
    host,
    report,
    connect,
    topics: client.topics,
    open: (owner) => client.open(owner),
    reader: (from) => client.reader(from),
    positions: (group) => client.positions(group),
    async stop() {
      await host.stop()
      client.close()
    },
  }
}

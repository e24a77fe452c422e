import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { portOf } from '../core/port.ts'
import type { MessagePortLike } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { LogClient } from '../log/embedded/index.ts'
import { SnapshotMaker } from '../state/snapshot.ts'
import { unusable } from './data-files.ts'
import type { FromSnapshotThread, SnapshotThreadData, ToSnapshotThread } from './messages.ts'
import { Scrub } from './scrub.ts'

export interface SnapshotSurroundings {
  readonly env: Env
  /** To main. */
  readonly port: MessagePortLike
  readonly data: SnapshotThreadData
  /** Between rounds. Default 1,000: following every commit at once would cost as much as it saves. */
  readonly pauseMs?: number
  /** Changelog bytes after which a snapshot is due. Default: see limits.ts. */
  readonly snapshotBytes?: number | undefined
}

type Asked = Extract<ToSnapshotThread, { type: 'snapshot' }>

/**
 * Makes snapshots of all stores, from their changelogs, while the workers go on. Here is also read again what was written
 * long ago: this thread is the one that nobody waits for. Resolves when it was told to end.
 */
export async function runSnapshots(surroundings: SnapshotSurroundings): Promise<void> {
  const { env, port, data, pauseMs = 1_000, snapshotBytes } = surroundings
  const say = (message: FromSnapshotThread): void => port.postMessage(message)
  const stop = new AbortController()
  let wake = new AbortController()
  const asked: Asked[] = []
  port.on('message', (received) => {
    const message = received as ToSnapshotThread
    if (message.type === 'close') stop.abort()
    else asked.push(message)
    wake.abort()
  })
  const log = await LogClient.connect(env, portOf(data.logPort))
  const { snapshotDir, changelogs } = data
  const maker = await SnapshotMaker.open(env, log, snapshotDir, changelogs, snapshotBytes)
  const rounds = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      wake = new AbortController()
      for (const one of asked.splice(0)) say(await answer(maker, one))
      for (const made of await maker.round()) say({ type: 'made', ...made })
      await env.timers.sleep(pauseMs, wake.signal)
      if (!wake.signal.aborted) await maker.wait(wake.signal)
    }
  }
  await Promise.all([rounds(), scrub(env, data, say, stop.signal)])
}

async function scrub(
  env: Env,
  { dataDir, scrubBytesPerSecond, scrubEveryMs }: SnapshotThreadData,
  say: (message: FromSnapshotThread) => void,
  signal: AbortSignal,
): Promise<void> {
  if (scrubBytesPerSecond === 0) return
  const options = {
    dataDir,
    bytesPerSecond: scrubBytesPerSecond,
    everyMs: scrubEveryMs,
    onProgress: (status) => say({ type: 'scrub', status }),
    onDamage: (damage) => say({ type: 'damage', damage }),
  } satisfies ConstructorParameters<typeof Scrub>[1]
  await new Scrub(env, options).run(signal)
}

async function answer(
  maker: SnapshotMaker,
  { id, changelogs }: Asked,
): Promise<FromSnapshotThread> {
  try {
    return { type: 'standing', id, snapshots: await maker.now(changelogs) }
  } catch (error) {
    const told = error instanceof DiskError ? unusable(error) : error
    if (!(told instanceof MillraceError)) throw error
    return { type: 'refused', id, error: told.toJSON() }
  }
}

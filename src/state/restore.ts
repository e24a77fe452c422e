/** Restoring: the newest valid snapshot, then everything its changelog has behind it. */
import { Arena } from '../core/arena.ts'
import type { Env } from '../core/env/env.ts'
import { mark } from '../core/mark.ts'
import { limits } from '../limits.ts'
import type { ChangelogSource } from './changelog-source.ts'
import { unreached } from './changelog-source.ts'
import { loadSnapshot } from './snapshot.ts'
import type { Restorable } from './store.ts'

/** A store, empty so far, and where what it held is. */
export interface RestoreTarget {
  readonly changelog: string
  readonly partition: number
  readonly store: Restorable
}

/**
 * Brings empty stores to the last commit: each from its newest snapshot, then all of them together from the changelogs
 * behind those, in one walk through the log. Without `snapshotDir` the changelogs say all. Returns at which offset each one's changelog
 * took over.
 */
export async function restoreStores(
  env: Env,
  log: ChangelogSource,
  snapshotDir: string | undefined,
  targets: readonly RestoreTarget[],
): Promise<readonly number[]> {
  if (targets.length === 0) return []
  const ends = new Map<string, readonly { readonly next: number }[]>()
  for (const { changelog } of targets) {
    if (!ends.has(changelog)) ends.set(changelog, await log.topics.offsets(changelog))
  }
  const byPlace = new Map<string, Restorable>()
  const from = targets.map(({ changelog, partition, store }) => {
    byPlace.set(`${changelog}/${partition}`, store)
    const end = ends.get(changelog)?.[partition]?.next
    const offset =
      snapshotDir === undefined
        ? 0
        : loadSnapshot(env, snapshotDir, changelog, partition, store, end)
    return { topic: changelog, partition, offset }
  })
  const reader = await log.reader(from)
  const arena = new Arena(limits.batchBytes)
  try {
    for (;;) {
      const next = reader.next(arena)
      if (next.result === 'caught-up') return from.map(({ offset }) => offset)
      if (next.result === 'arena-full') arena.reset()
      else if (next.result === 'block') {
        if (next.kind === 'state')
          byPlace.get(`${next.topic}/${next.partition}`)?.restore(next.bytes)
      } else if (next.result === 'corrupt') throw next.error
      else {
        const place = targets.findIndex(
          ({ changelog, partition }) => changelog === next.topic && partition === next.partition,
        )
        from[place] = await again(env, log, snapshotDir, targets[place]!, next)
        reader.seek(from[place]!)
      }
    }
  } finally {
    reader.close()
  }
}

/**
 * The changelog was trimmed behind the snapshot that was loaded: newer ones were made meanwhile, and one of them says what
 * is gone (I7: a restart beside a busy snapshot thread needs nobody's help).
 */
async function again(
  env: Env,
  log: ChangelogSource,
  snapshotDir: string | undefined,
  { changelog, partition, store }: RestoreTarget,
  gone: Parameters<typeof unreached>[0],
): Promise<{ readonly topic: string; readonly partition: number; readonly offset: number }> {
  mark('restore: a newer snapshot, as the changelog was trimmed')
  const end = (await log.topics.offsets(changelog))[partition]?.next
  store.clear()
  const offset =
    snapshotDir === undefined ? 0 : loadSnapshot(env, snapshotDir, changelog, partition, store, end)
  if (offset < gone.earliest) throw unreached(gone)
  return { topic: changelog, partition, offset }
}

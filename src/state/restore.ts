/** Restoring: the newest valid snapshot, then everything its changelog has behind it. */
import { Arena } from '../core/arena.ts'
import { limits } from '../limits.ts'
import type { ChangelogSource } from './changelog-source.ts'
import { unreached } from './changelog-source.ts'

export interface Restorable {
  restore(changes: Uint8Array): void
}

export interface RestoreTarget {
  readonly changelog: string
  readonly partition: number
  readonly store: Restorable
  /** First offset of the changelog that the store does not hold yet. */
  readonly from: number
}

/** Applies the changelogs of all targets up to the last commit. One reader walks them together. */
export async function restoreFromChangelog(
  log: ChangelogSource,
  targets: readonly RestoreTarget[],
): Promise<void> {
  if (targets.length === 0) return
  const byPlace = new Map<string, RestoreTarget>()
  for (const target of targets) byPlace.set(`${target.changelog}/${target.partition}`, target)
  const reader = await log.reader(
    targets.map(({ changelog, partition, from }) => ({
      topic: changelog,
      partition,
      offset: from,
    })),
  )
  const arena = new Arena(limits.batchBytes)
  try {
    for (;;) {
      const next = reader.next(arena)
      if (next.result === 'caught-up') return
      if (next.result === 'arena-full') arena.reset()
      else if (next.result === 'block') {
        if (next.kind === 'state')
          byPlace.get(`${next.topic}/${next.partition}`)?.store.restore(next.bytes)
      } else if (next.result === 'corrupt') throw next.error
      else throw unreached(next)
    }
  } finally {
    reader.close()
  }
}

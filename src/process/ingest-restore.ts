import { Arena } from '../core/arena.ts'
import { MillraceError } from '../errors.ts'
import type { Log } from '../log/log.ts'

/** What restoring needs of a store, whatever its values are. */
export interface Restorable {
  restore(changes: Uint8Array): void
}

/** Brings a store to what is committed for one partition of its changelog topic. */
export type RestoreStore = (
  store: Restorable,
  changelog: string,
  partition: number,
) => Promise<void>

const arenaBytes = 1024 * 1024

/** Reads the whole changelog: right wherever no snapshot was made. */
export function restoreFromChangelog(log: Log): RestoreStore {
  return async (store, changelog, partition) => {
    const offsets = (await log.topics.offsets(changelog))[partition]
    if (offsets === undefined) return
    const reader = await log.reader([{ topic: changelog, partition, offset: offsets.earliest }])
    const arena = new Arena(arenaBytes)
    try {
      for (;;) {
        const read = reader.next(arena)
        if (read.result === 'caught-up') return
        if (read.result === 'corrupt') throw read.error
        if (read.result === 'gone') {
          throw new MillraceError(
            'MR2005',
            `${changelog}/${partition} begins at ${read.earliest} now.`,
          )
        }
        if (read.result === 'block' && read.kind === 'state') store.restore(read.bytes)
        arena.reset()
      }
    } finally {
      reader.close()
    }
  }
}

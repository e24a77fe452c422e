/** Who wrote what is in the log: read from the files that a run leaves, by what every commit says of its writer. */
import { dumpLog } from '../../src/log/embedded/dump.ts'
import { worldWith } from '../exhaustive/disk-from.ts'
import { violation } from './violation.ts'

/** I8: once an owner was opened anew, nothing in the log is of the one before. Returns how many commits were looked at. */
export function checkOwners(contents: ReadonlyMap<string, Uint8Array>): number {
  const epochs = new Map<number, number>()
  let commits = 0
  for (const dumped of dumpLog(worldWith(contents).env('reader').disk, 'data', 0)) {
    if (dumped.what === 'flaw') continue
    const { head, lsn } = dumped.commit
    // What an archive kept of a commit does not say who wrote it.
    if (head === undefined) continue
    commits++
    const newest = epochs.get(head.writer) ?? 0
    if (head.writer !== 0 && head.writerEpoch < newest)
      throw violation(
        'I8',
        `LSN ${lsn} is of ${dumped.writer} in its epoch ${head.writerEpoch}, which ended with epoch ${newest}`,
      )
    epochs.set(head.writer, head.writerEpoch)
    for (const change of dumped.sections.flatMap(({ changes }) => changes ?? []))
      if (change.type === 'writer') epochs.set(change.id, change.epoch)
  }
  return commits
}

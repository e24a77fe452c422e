import { publication, wakeUp } from './handoff.ts'
import { endedWhilePublishing, handOver, racing } from './handoff-threads.ts'

/** Publications, readers, reads of each: what is gone through whole. */
const sizes = [
  [3, 1, 3],
  [2, 2, 1],
  [3, 2, 1],
] as const

/** All of the hand-off gate; `ends` is how many workers are ended while they commit. */
export async function handoff(
  seed: number,
  ends: number,
  tell: (line: string) => void,
): Promise<{ readonly what: string; readonly broken: readonly string[] }> {
  const broken: string[] = []
  let states = 0
  for (const [publications, readers, reads] of sizes) {
    const found = publication(publications, readers, reads)
    tell(
      `${publications} publications, ${readers} readers, ${reads} reads each: ${found.states} states, ${found.runs} ends`,
    )
    states += found.states
    broken.push(...found.broken)
  }
  const woken = wakeUp(3)
  tell(`3 publications and a reader that sleeps: ${woken.states} states, ${woken.runs} ends`)
  broken.push(...woken.broken)
  const reports = [...(await racing(2_000_000, 2))]
  const reads = reports.reduce((sum, report) => sum + report.reads, 0)
  tell(`2000000 publications by a thread, ${reads} reads by two`)
  for (const fields of [0, 1, 2, 3]) reports.push(await endedWhilePublishing(fields))
  broken.push(...reports.flatMap((report) => report.broken ?? []))
  const over = await handOver(seed, Math.ceil(ends / 2))
  tell(`${over.commits} commits by workers that were ended, ${over.acknowledged} acknowledged`)
  broken.push(...over.broken)
  const what = `${states + woken.states} states, 4 log threads and ${over.ended} workers ended (seed ${seed})`
  return { what, broken }
}

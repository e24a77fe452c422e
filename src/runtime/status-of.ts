import type { TaskReport } from '../process/runner.ts'
import type { ScrubStatus } from './scrub.ts'
import type { PipelineStatus, WorkerStatus } from './status.ts'

/** What keeps an engine from being ready, one sentence each. */
export function notReadyReasons(
  pipelines: readonly PipelineStatus[],
  workers: readonly WorkerStatus[],
  reports: readonly TaskReport[],
  full = false,
): string[] {
  const reasons: string[] = []
  if (full) reasons.push('The disk is full: the log takes no records')
  for (const { name, state, error } of pipelines) {
    if (state === 'failed')
      reasons.push(`Pipeline ${name} does not run: ${error?.message ?? 'it failed'}`)
  }
  for (const { slot, state, phase, lastError } of workers) {
    if (state !== 'running') {
      const why = lastError === undefined ? '' : ` (the one before ended: ${lastError.message})`
      reasons.push(`Worker ${slot} is ${state}${why}`)
    } else if (phase === 'disk full') {
      reasons.push(`Worker ${slot} waits for space on the disk`)
    }
  }
  for (const { id, status, error } of reports) {
    if (status === 'failed' || status === 'behind-retention') {
      reasons.push(`Task ${id} is ${status}: ${error?.message ?? 'see the log'}`)
    }
  }
  return reasons
}

/** What the scrub found damaged, one sentence each. */
export function degradedBy(scrub: ScrubStatus | undefined): string[] {
  return (scrub?.damaged ?? []).map(
    ({ file, what }) => `MR2021: ${file}: ${what} See \`millrace verify\`.`,
  )
}

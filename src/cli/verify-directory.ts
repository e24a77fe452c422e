/** A whole data directory verified: the log, and the snapshots that belong to it. */
import type { Disk, Timers } from '../core/env/env.ts'
import { DiskError } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { verifyLog } from '../log/embedded/inspect.ts'
import type { Finding, LogReport } from '../log/embedded/inspect.ts'
import { readJson } from '../runtime/data-files.ts'
import { Paused } from '../runtime/paused.ts'
import { verifySnapshots } from '../state/verify.ts'
import type { SnapshotSeen } from '../state/verify.ts'

export interface DirectoryReport {
  readonly directory: string
  /** `harmless`: something is damaged, yet nothing is lost and the engine starts. */
  readonly verdict: 'sound' | 'harmless' | 'damaged'
  readonly log: Omit<LogReport, 'findings' | 'offsets'>
  readonly snapshots: number
  readonly findings: readonly Finding[]
}

/** How long work may keep everything else waiting (ms). */
const turnMs = 50

/** Runs a long work to its end; `say` hears of it now and then. A generator's every step is short. */
export async function inTurns<T, P>(
  timers: Timers,
  now: () => number,
  work: Generator<P, T>,
  say: (progress: P) => void = () => {},
): Promise<T> {
  let turn = now()
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value
    if (now() - turn < turnMs) continue
    say(step.value)
    await timers.yield()
    turn = now()
  }
}

/** Reads every byte of the directory and changes nothing. Throws MR2015 where there is none. */
export function* verifyDirectory(
  disk: Disk,
  directory: string,
): Generator<{ readonly done: number; readonly total: number }, DirectoryReport> {
  try {
    const log = yield* verifyLog(disk, directory)
    const findings = [...log.findings]
    const seen: SnapshotSeen[] = []
    for (const snapshot of verifySnapshots(disk, `${directory}/state`)) {
      seen.push(snapshot)
      yield { done: log.bytes, total: log.bytes }
    }
    findings.push(...besidesTheLog(disk, directory, log, seen))
    const { findings: _, offsets: __, ...rest } = log
    return { directory, verdict: verdictOf(findings), log: rest, snapshots: seen.length, findings }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const what = `${directory} cannot be read: ${error.message}.`
    throw new MillraceError('MR2015', what, { cause: error })
  }
}

function verdictOf(findings: readonly Finding[]): DirectoryReport['verdict'] {
  if (findings.some(({ grade }) => grade === 'damage')) return 'damaged'
  return findings.some(({ grade }) => grade === 'harmless') ? 'harmless' : 'sound'
}

/** What is wrong with the files that are no part of the log. */
export function besidesTheLog(
  disk: Disk,
  directory: string,
  log: LogReport,
  seen: readonly SnapshotSeen[],
): Finding[] {
  return [...snapshotFindings(log, seen), ...smallFileFindings(disk, directory)]
}

const smallFiles = [
  {
    file: 'plans.json',
    read: (disk: Disk, directory: string) => void readJson({ disk }, directory, 'plans.json'),
    grade: 'harmless',
    means:
      'The next start makes it anew from the pipelines. Until then commands without an engine know none.',
  },
  {
    file: 'paused.json',
    read: (disk: Disk, directory: string) => void new Paused({ disk }, directory),
    grade: 'damage',
    means:
      'Which tasks somebody paused is not certain, so the engine does not start (MR6016). The file is text: write the list anew without its second line, or move the file away, after which nothing is paused.',
  },
] as const

function smallFileFindings(disk: Disk, directory: string): Finding[] {
  const findings: Finding[] = []
  if (disk.exists(`${directory}/salvage.json`)) {
    const what = 'This directory was salvaged from a damaged one.'
    const means = 'What was lost then is in that file, and is not counted here.'
    findings.push({ grade: 'note', file: 'salvage.json', what, means, lost: [] })
  }
  for (const { file, read, grade, means } of smallFiles) {
    try {
      read(disk, directory)
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      findings.push({ grade, file, what: error.message, means, lost: [] })
    }
  }
  return findings
}

/** A damaged snapshot costs nothing while an older one, or the whole changelog, is there to begin from. */
function snapshotFindings(log: LogReport, seen: readonly SnapshotSeen[]): Finding[] {
  const findings: Finding[] = []
  for (const { file, offset } of seen) {
    if (offset !== undefined) continue
    findings.push({
      grade: 'harmless',
      file: `state/${file}`,
      offset: 0,
      what: 'This snapshot of a store is damaged.',
      means: 'The engine passes over it for an older one and more of the log. Nothing is lost.',
      lost: [],
    })
  }
  for (const [topic, partitions] of log.offsets) {
    if (!topic.endsWith('.changelog')) continue
    for (const [partition, { earliest, next }] of partitions.entries()) {
      const reach = seen.some(
        (s) =>
          s.changelog === topic &&
          s.partition === partition &&
          s.offset !== undefined &&
          s.offset >= earliest &&
          s.offset <= next,
      )
      if (reach || earliest === 0) continue
      findings.push({
        grade: 'damage',
        file: `state/${topic}/${partition}`,
        what: `No snapshot of this store is readable, and its changelog begins only at offset ${earliest}.`,
        means:
          'What the store held cannot be made again from this directory: its task stops with MR4011. Put back a backup with `millrace restore`. Records in topics are not touched by this.',
        lost: [],
      })
    }
  }
  return findings
}

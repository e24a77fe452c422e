/** A new data directory with everything that is readable of a damaged one. */
import { encodeCheckedJson } from '../core/checked-json.ts'
import type { Disk, Env } from '../core/env/env.ts'
import { salvageLog, writeDurably } from '../log/embedded/inspect.ts'
import type { Finding } from '../log/embedded/inspect.ts'
import { readJson } from '../runtime/data-files.ts'
import { verifySnapshots } from '../state/verify.ts'
import type { SnapshotSeen } from '../state/verify.ts'
import { encode, verbed } from './backup-directory.ts'
import type { Step } from './backup-directory.ts'
import { besidesTheLog, verifyDirectory } from './verify-directory.ts'
import type { DirectoryReport } from './verify-directory.ts'

export interface SalvageReport {
  readonly from: string
  readonly directory: string
  readonly formerLogId: string | undefined
  readonly logId: string
  /** ISO time. */
  readonly madeAt: string
  /** Records that were taken over. */
  readonly records: number
  /** Offsets that are lost, by topic and partition. */
  readonly lost: Finding['lost']
  /** Where each partition ends now: what the report calls uncertain lay from there on. */
  readonly ends: readonly {
    readonly topic: string
    readonly partition: number
    readonly next: number
  }[]
  /** All that was found in the old directory. */
  readonly findings: readonly Finding[]
}

export interface Salvaged extends SalvageReport {
  /** Of the new directory, read back. */
  readonly report: DirectoryReport
}

/** Throws MR2017 and MR2020. The report is also in the new directory, as `salvage.json`. */
export function* salvageDirectory(
  env: Env,
  from: string,
  target: string,
): Generator<Step, Salvaged> {
  const { disk } = env
  const uuid = env.random.bytes(16)
  const seen: SnapshotSeen[] = []
  for (const one of verifySnapshots(disk, `${from}/state`)) {
    seen.push(one)
    yield { verb: 'Read', done: 0, total: 0 }
  }
  const sound = seen.filter(({ offset }) => offset !== undefined)
  const snapshots = (changelog: string, partition: number): number[] =>
    sound
      .filter((one) => one.changelog === changelog && one.partition === partition)
      .map(({ offset }) => offset!)
  const now = env.clock.now()
  const work = salvageLog({ disk, source: from, target, uuid, now, snapshots })
  const { report: old, records, ends, forgotten, seal } = yield* verbed('Read', work)
  for (const { file, changelog, partition } of sound)
    copyFile(disk, from, target, `state/${changelog}/${partition}`, file)
  for (const name of ['plans.json', 'paused.json']) copyJson(disk, from, target, name)
  const made: SalvageReport = {
    from,
    directory: target,
    formerLogId: old.logId,
    logId: Buffer.from(uuid).toString('hex'),
    madeAt: new Date(now).toISOString(),
    records,
    ends,
    lost: [...old.findings.flatMap(({ lost }) => lost), ...forgotten],
    findings: [...old.findings, ...besidesTheLog(disk, from, old, seen)],
  }
  writeDurably(disk, `${target}/salvage.json`, encode(made))
  seal()
  const report = yield* verbed('Verified', verifyDirectory(disk, target))
  return { ...made, report }
}

/** Snapshots are bounded by the memory their stores had, so one is read whole. */
function copyFile(disk: Disk, from: string, target: string, folder: string, file: string): void {
  const source = disk.open(`${from}/state/${file}`, 'read')
  try {
    const bytes = new Uint8Array(source.size())
    for (let at = 0; at < bytes.length;) {
      const read = source.read(bytes.subarray(at), at)
      if (read === 0) break
      at += read
    }
    disk.mkdir(`${target}/${folder}`)
    writeDurably(disk, `${target}/state/${file}`, bytes)
  } finally {
    source.close()
  }
}

/** One that is damaged is left out; the report says so. */
function copyJson(disk: Disk, from: string, target: string, name: string): void {
  try {
    const value = readJson({ disk }, from, name)
    if (value !== undefined) writeDurably(disk, `${target}/${name}`, encodeCheckedJson(value))
  } catch {
    // Not readable: see above.
  }
}

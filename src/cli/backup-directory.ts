/** Backups of a data directory, and directories made from them again. */
import { crc32 } from 'node:zlib'
import type { Disk, Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { copyLog, writeDurably } from '../log/embedded/inspect.ts'
import { readJson } from '../runtime/data-files.ts'
import { snapshotFiles } from '../state/verify.ts'
import { verifyDirectory } from './verify-directory.ts'
import type { DirectoryReport } from './verify-directory.ts'

const FORMAT = 1

/** What a backup says of itself, in `backup.json`: written when everything else is there. */
interface Manifest {
  readonly format: typeof FORMAT
  readonly logId: string
  readonly lsn: number
  /** ISO time. */
  readonly madeAt: string
  readonly files: readonly {
    readonly path: string
    readonly bytes: number
    readonly crc32: number
  }[]
}

export interface Step {
  readonly verb: string
  readonly done: number
  readonly total: number
}

export interface MadeBackup {
  readonly directory: string
  readonly logId: string
  readonly lsn: number
  readonly bytes: number
  readonly files: number
  /** Of the backup, read back. */
  readonly report: DirectoryReport
}

/** Copies the directory as it stands at one commit, whether an engine runs on it or not, and reads the copy back. */
export function* makeBackup(env: Env, source: string, target: string): Generator<Step, MadeBackup> {
  const { disk } = env
  const others = (): string[] => belonging(disk, source)
  const copy = copyLog({ disk, source, target, others, uuid: undefined })
  const copied = yield* verbed('Copied', copy)
  const logId = Buffer.from(copied.uuid).toString('hex')
  const { lsn, files } = copied
  const madeAt = new Date(env.clock.now()).toISOString()
  const manifest: Manifest = { format: FORMAT, logId, lsn, madeAt, files }
  writeDurably(disk, `${target}/backup.json`, encode(manifest))
  copied.seal()
  const report = yield* verbed('Verified', verifyDirectory(disk, target))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { directory: target, logId, lsn, bytes, files: files.length, report }
}

export interface Restored {
  readonly directory: string
  readonly from: string
  /** When the backup was made; undefined for a plain copy of a data directory. */
  readonly madeAt: string | undefined
  readonly lsn: number
  readonly formerLogId: string
  readonly logId: string
  readonly report: DirectoryReport
}

/**
 * Makes a data directory from a backup or a plain copy, which are verified first and not changed. It is a log of its own,
 * unless `keepIdentity`: whoever stored a position of the old one is to notice. Throws MR2018 where anything is damaged.
 */
export function* restoreBackup(
  env: Env,
  from: string,
  target: string,
  keepIdentity: boolean,
): Generator<Step, Restored> {
  const { disk } = env
  const manifest = readManifest(disk, from)
  if (manifest !== undefined) yield* checkFiles(disk, from, manifest)
  const before = yield* verbed('Verified', verifyDirectory(disk, from))
  if (before.verdict === 'damaged') {
    const count = before.findings.filter(({ grade }) => grade === 'damage').length
    throw new MillraceError('MR2018', `${from} is damaged in ${count} places.`)
  }
  const uuid = keepIdentity ? undefined : env.random.bytes(16)
  const others = (): string[] => belonging(disk, from)
  const copied = yield* verbed('Copied', copyLog({ disk, source: from, target, others, uuid }))
  const formerLogId = Buffer.from(copied.uuid).toString('hex')
  const logId = Buffer.from(uuid ?? copied.uuid).toString('hex')
  const madeAt = manifest?.madeAt
  const restoredAt = new Date(env.clock.now()).toISOString()
  const { lsn } = copied
  const note = { formerLogId, logId, lsn, backupMadeAt: madeAt, restoredAt }
  writeDurably(disk, `${target}/restored.json`, encode(note))
  copied.seal()
  const report = yield* verbed('Verified', verifyDirectory(disk, target))
  return { directory: target, from, madeAt, lsn, formerLogId, logId, report }
}

export const encode = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, undefined, 1)}\n`)

/** Files that belong to the log besides its own: without its snapshots the state of a pipeline could not be made again. */
function belonging(disk: Disk, directory: string): string[] {
  const snapshots = snapshotFiles(disk, `${directory}/state`).map(
    ({ changelog, partition, name }) => `state/${changelog}/${partition}/${name}`,
  )
  const own = ['plans.json', 'paused.json'].filter((name) => disk.exists(`${directory}/${name}`))
  return [...snapshots, ...own]
}

export function* verbed<T>(
  verb: string,
  work: Generator<{ readonly done: number; readonly total: number }, T>,
): Generator<Step, T> {
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value
    yield { verb, done: step.value.done, total: step.value.total }
  }
}

function readManifest(disk: Disk, directory: string): Manifest | undefined {
  let value: unknown
  try {
    value = readJson({ disk }, directory, 'backup.json')
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'MR6016') throw error
    throw new MillraceError('MR2018', `${directory}/backup.json is not readable.`, { cause: error })
  }
  if (value === undefined) return undefined
  const manifest = value as Partial<Manifest> | null
  if (Number(manifest?.format) > FORMAT) {
    const what = `${directory}/backup.json has format ${manifest?.format}; this build knows format ${FORMAT}.`
    throw new MillraceError('MR2004', what)
  }
  if (isManifest(manifest)) return manifest
  throw new MillraceError('MR2018', `${directory}/backup.json is not that of a backup.`)
}

function isManifest(value: Partial<Manifest> | null): value is Manifest {
  if (value?.format !== FORMAT || typeof value.madeAt !== 'string') return false
  const files: unknown = value.files
  return Array.isArray(files) && (files as Partial<Manifest['files'][number]>[]).every(isFile)
}

const isFile = (file: Partial<Manifest['files'][number]> | null): boolean =>
  typeof file?.path === 'string' &&
  Number.isSafeInteger(file.bytes) &&
  Number.isSafeInteger(file.crc32)

/** Every byte as it was when the backup was made: a transfer that lost some shows here, by name. */
function* checkFiles(disk: Disk, directory: string, { files }: Manifest): Generator<Step> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const { path, bytes, crc32: expected } of files) {
    const wrong = (what: string): MillraceError =>
      new MillraceError('MR2018', `${directory}/${path} ${what}.`)
    if (!disk.exists(`${directory}/${path}`)) throw wrong('is missing')
    const file = disk.open(`${directory}/${path}`, 'read')
    try {
      if (file.size() !== bytes) throw wrong(`has ${file.size()} bytes where ${bytes} were written`)
      const chunk = new Uint8Array(1024 * 1024)
      let sum = 0
      for (let at = 0; at < bytes;) {
        const read = file.read(chunk, at)
        if (read === 0) break
        sum = crc32(chunk.subarray(0, read), sum)
        at += read
        yield { verb: 'Checked', done: done + at, total }
      }
      if (sum !== expected) throw wrong('has other bytes than were written')
    } finally {
      file.close()
    }
    done += bytes
  }
}

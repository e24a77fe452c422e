/**
 * Copies a log as it stands at one commit, whether an engine runs on it or not, into a directory that opens by itself.
 * All files are opened first and stay open: what retention removes or archives meanwhile is still there to be read.
 */
import { crc32 } from 'node:zlib'
import { DiskError } from '../../core/env/env.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { syncPath } from './create.ts'
import { decideLayout } from './decide.ts'
import { gatherLayout, refusal } from './facts.ts'
import type { Layout } from './facts.ts'
import {
  decodeMark,
  encodeMark,
  encodeSegmentHeader,
  encodeSuper,
  fileName,
  indexName,
  MARK_BYTES,
  MARK_SLOT,
  parseFileName,
  SEGMENT_HEADER,
} from './format.ts'
import { isMissing } from './segments.ts'
import { readUpTo, runSteps, writeAll } from './steps.ts'
import { bytesAt, openedMap } from './walk.ts'

export interface CopyOptions {
  readonly disk: Disk
  readonly source: string
  /** Does not exist, or is empty. */
  readonly target: string
  /** Paths of other files of the directory that belong to the log as it stands; they must be complete where they are named. */
  readonly others: () => readonly string[]
  /** The copy's own identity; undefined keeps that of the source. */
  readonly uuid: Uint8Array | undefined
}

export interface CopiedFile {
  readonly path: string
  readonly bytes: number
  readonly crc32: number
}

export interface Copied {
  /** Of the source. */
  readonly uuid: Uint8Array
  /** The last commit that is in the copy. */
  readonly lsn: number
  readonly files: readonly CopiedFile[]
  /** Makes the directory one that can be opened. Everything else that belongs to it must be durable by then. */
  seal(): void
}

interface Held {
  readonly path: string
  readonly file: DiskFile
  readonly bytes: number
}

interface Holding {
  readonly layout: Layout
  readonly held: readonly Held[]
  /** All that is to be closed. */
  readonly open: ReadonlyMap<string, DiskFile>
}

/** An engine at work may end a segment while we look. It takes it much longer than us. */
const ATTEMPTS = 50
const CHUNK = 1024 * 1024

/**
 * Runs to its end; every step copies at most a chunk. Throws MR2017 where the target holds something, MR2019 where the
 * source never stands still, what the source's own start would throw, or DiskError; then what was written is removed.
 */
export function* copyLog(
  options: CopyOptions,
): Generator<{ readonly done: number; readonly total: number }, Copied> {
  const { disk, target, uuid } = options
  checkTarget(disk, target)
  const { layout, held, open } = hold(options)
  const made: string[] = []
  try {
    const total = held.reduce((sum, { bytes }) => sum + bytes, 0)
    const files: CopiedFile[] = []
    let done = 0
    for (const one of held) {
      const path = `${target}/${one.path}`
      disk.mkdir(path.slice(0, path.lastIndexOf('/')))
      const file = disk.open(path, 'create')
      made.push(path)
      try {
        let sum = 0
        for (let at = 0; at < one.bytes; at += CHUNK) {
          const chunk = readUpTo(one.file, at, Math.min(CHUNK, one.bytes - at))
          runSteps(writeAll(file, chunk, at))
          sum = crc32(chunk, sum)
          yield { done: done + at, total }
        }
        for (const { at, bytes } of uuid === undefined ? [] : patches(one, layout, uuid))
          runSteps(writeAll(file, bytes, at))
        file.fdatasync()
        files.push({ path: one.path, bytes: one.bytes, crc32: sum })
      } finally {
        file.close()
      }
      done += one.bytes
    }
    const own = { ...layout, super: { ...layout.super, uuid: uuid ?? layout.super.uuid } }
    const { lsn } = layout.mark
    return { uuid: layout.super.uuid, lsn, files, seal: () => seal(disk, target, own) }
  } catch (error) {
    discard(disk, made)
    throw error
  } finally {
    for (const file of open.values()) file.close()
  }
}

export function checkTarget(disk: Disk, target: string): void {
  if (!disk.exists(target) || disk.list(target).length === 0) return
  throw new MillraceError('MR2017', `${target} exists and is not empty.`)
}

/** Opens everything, then looks at MARK: what is open by then is all that the log at that mark consists of. */
function hold(options: CopyOptions): Holding {
  const { source } = options
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const open = new Map<string, DiskFile>()
    const held = tryHold(options, open)
    if (held !== undefined) return held
    for (const file of open.values()) file.close()
  }
  throw new MillraceError('MR2019', `${source} changed ${ATTEMPTS} times while it was looked at.`)
}

function tryHold(
  { disk, source, others }: CopyOptions,
  open: Map<string, DiskFile>,
): Holding | undefined {
  try {
    const paths = [...listed(disk, source), ...others()]
    for (const path of paths) open.set(path, disk.open(`${source}/${path}`, 'read'))
    const layout = decideLayout(runSteps(gatherLayout(disk, source)))
    const again = [...listed(disk, source), ...others()]
    if (again.join('\n') !== paths.join('\n')) return undefined
    if (layout.decision === 'refuse') throw refusal(source, layout)
    if (layout.decision === 'create') throw new MillraceError('MR2015', `${source} holds no log.`)
    const held = inUse(disk, source, layout, open)
    return { layout, open, held: [...held, ...indexes(disk, source, layout, held, open)] }
  } catch (error) {
    if (isMissing(error)) return undefined
    for (const file of open.values()) file.close()
    open.clear()
    throw error
  }
}

const listed = (disk: Disk, source: string): string[] =>
  disk
    .list(`${source}/log`)
    .filter(({ name }) => parseFileName(name) !== undefined)
    .map(({ name }) => `log/${name}`)

/** Files that belong to the log at its mark, each as long as it was then; those that do not are closed. */
function inUse(
  disk: Disk,
  source: string,
  { segments, mark }: Layout,
  open: Map<string, DiskFile>,
): Held[] {
  const used = new Map(segments.map((fact) => [`log/${fileName(fact.id)}`, fact]))
  const cut = markIsWhole(disk, source)
  const held: Held[] = []
  for (const [path, file] of open) {
    const fact = used.get(path)
    const beyond = fact !== undefined && cut && fact.id.baseLsn > mark.segmentBase
    if (path.startsWith('log/') && (fact === undefined || beyond)) {
      file.close()
      open.delete(path)
      continue
    }
    const marked = cut && fact?.id.baseLsn === mark.segmentBase
    held.push({ path, file, bytes: marked ? Math.min(mark.end, file.size()) : file.size() })
  }
  return held
}

/** False where one slot is damaged: then the other may be one step behind, and what lies beyond it is copied as well. */
function markIsWhole(disk: Disk, source: string): boolean {
  return [0, MARK_SLOT].every((at) => {
    const bytes = bytesAt(disk, `${source}/MARK`, at, MARK_BYTES)
    if (typeof bytes === 'string') return false
    return bytes.every((byte) => byte === 0) || decodeMark(bytes).result === 'mark'
  })
}

/** Indexes only save time: those that are not there, or not finished, are made at the first start. */
function indexes(
  disk: Disk,
  source: string,
  layout: Layout,
  held: readonly Held[],
  open: Map<string, DiskFile>,
): Held[] {
  const found: Held[] = []
  for (const { path } of held) {
    const id = parseFileName(path.slice(4))
    if (id === undefined || id.toLsn !== undefined) continue
    const index = `log/${indexName(id)}`
    if (!disk.exists(`${source}/${index}`)) continue
    try {
      const file = disk.open(`${source}/${index}`, 'read')
      open.set(index, file)
      if (openedMap(file, 0, id, layout.super.uuid) === undefined) continue
      found.push({ path: index, file, bytes: file.size() })
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
    }
  }
  return found
}

/** What differs where the copy has an identity of its own: headers, and the indexes that name it. */
function patches(
  { path, file }: Held,
  layout: Layout,
  uuid: Uint8Array,
): { readonly at: number; readonly bytes: Uint8Array }[] {
  if (!path.startsWith('log/')) return []
  const index = path.endsWith('.idx')
  const name = index ? path.slice(4).replace(/\.idx$/, '.seg') : path.slice(4)
  const fact = layout.segments.find(({ id }) => fileName(id) === name)
  if (fact === undefined || fact.header.result === 'bad') return []
  const { id, header } = fact
  const archive = id.toLsn !== undefined
  const changed: { readonly at: number; readonly bytes: Uint8Array }[] = []
  if (!index)
    changed.push({
      at: 0,
      bytes: encodeSegmentHeader({ ...header, uuid }, archive ? 'archive' : 'segment'),
    })
  if (index || archive) {
    const at = index ? 0 : SEGMENT_HEADER
    const map = openedMap(file, at, id, header.uuid)
    if (map !== undefined) changed.push({ at, bytes: map.encode(uuid) })
  }
  return changed
}

/** MARK, then SUPER: without SUPER the directory counts as not finished. */
export function seal(
  disk: Disk,
  target: string,
  { super: s, mark }: Pick<Layout, 'super' | 'mark'>,
): void {
  const slots = new Uint8Array(2 * MARK_SLOT)
  slots.set(encodeMark({ ...mark, uuid: s.uuid }))
  disk.mkdir(`${target}/quarantine`)
  writeDurably(disk, `${target}/MARK`, slots)
  writeDurably(disk, `${target}/SUPER.1`, new Uint8Array(0))
  syncTree(disk, target)
  runSteps(syncPath(disk, target))
  writeDurably(disk, `${target}/SUPER.0`, encodeSuper(s))
  disk.fsyncDir(target)
}

export function writeDurably(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create')
  try {
    runSteps(writeAll(file, bytes, 0))
    file.fdatasync()
  } finally {
    file.close()
  }
}

/** Makes all names below a directory durable. */
function syncTree(disk: Disk, path: string): void {
  for (const { name, directory } of disk.list(path))
    if (directory) syncTree(disk, `${path}/${name}`)
  disk.fsyncDir(path)
}

/** Half a copy is of no use, and on a full disk its space is. */
export function discard(disk: Disk, paths: readonly string[]): void {
  for (const path of paths) {
    try {
      disk.unlink(path)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
    }
  }
}

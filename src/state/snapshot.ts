/**
 * Snapshots bound how much changelog a restart reads. Each is made from the one before and the changelog behind it, never
 * from live memory, so that making one stops nobody. The two newest are kept; one that cannot be read whole is passed
 * over for the older one and a longer changelog.
 */
import { Arena } from '../core/arena.ts'
import { must } from '../core/assert.ts'
import { makeDirectories } from '../core/directories.ts'
import { mark } from '../core/mark.ts'
import { DiskError } from '../core/env/env.ts'
import type { Disk, DiskFile, Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { unreached } from './changelog-source.ts'
import type { ChangelogCursor, ChangelogSource } from './changelog-source.ts'
import type { ChangelogEntry } from './changelog.ts'
import { ChangelogReader, keyOf } from './changelog.ts'
import type { SnapshotHeader, SnapshotPlace } from './snapshot-file.ts'
import type { Restorable } from './store.ts'
import {
  readChunks,
  readEntries,
  readHeader,
  readWhole,
  SnapshotFileWriter,
} from './snapshot-file.ts'

const kept = 2

export interface MadeSnapshot extends SnapshotPlace {
  readonly lsn: number
  /** The changelog up to here is no longer needed for restoring. */
  readonly offset: number
  readonly bytes: number
  readonly entries: number
  /** The changelog up to here is not needed even if the newest snapshot turns out damaged; 0 for the first one. */
  readonly spareOffset: number
  /** Changelog that was read for it, and in how many pieces. */
  readonly changelogBytes: number
  readonly pieces: number
}

/** The newest snapshot of a store after somebody asked for one. */
export interface StandingSnapshot extends SnapshotPlace {
  /** The commit it reaches to; undefined where the store has never held anything, and needs none. */
  readonly lsn: number | undefined
  readonly entries: number
  readonly bytes: number
  /** What making it took; 0 where it was there already. */
  readonly ms: number
}

/**
 * Fills a store from the newest snapshot that is whole. Returns the offset at which its changelog goes on. `end`: where the
 * changelog ends; a snapshot beyond it is of another log, and passed over.
 */
export function loadSnapshot(
  env: Env,
  dir: string,
  changelog: string,
  partition: number,
  store: Restorable,
  end = Infinity,
): number {
  const found = newestWhole(env.disk, dir, { changelog, partition }, end)
  if (found === undefined) return 0
  const { file, header } = found
  try {
    mark('restore: from a snapshot')
    for (const chunk of readWhole(file, header)) store.restore(chunk)
    return header.offset
  } finally {
    file.close()
  }
}

/**
 * Makes a snapshot of one store's partition from the newest one and the changelog up to its end, or about `mostBytes` of
 * it. Undefined when there is nothing new. Throws MR4011 when changelog and snapshots do not reach each other.
 */
export async function snapshotOnce(
  env: Env,
  log: ChangelogSource,
  changelog: string,
  partition: number,
  dir: string,
  mostBytes: number = 2 * limits.snapshotBytes,
): Promise<MadeSnapshot | undefined> {
  const place = { changelog, partition }
  const end = (await log.topics.offsets(changelog))[partition]?.next
  const previous = newestWhole(env.disk, dir, place, end)
  try {
    const from = previous?.header.offset ?? 0
    const reader = await log.reader([{ topic: changelog, partition, offset: from }])
    let delta: Delta
    try {
      delta = readDelta(reader, mostBytes)
    } finally {
      reader.close()
    }
    if (delta.offset <= from || delta.lsn === undefined) return undefined
    const header = write(env.disk, dir, place, previous, delta, delta.lsn)
    removeOld(env.disk, folderOf(dir, place), header.lsn)
    const { lsn, offset, bytes, entries } = header
    const { bytes: changelogBytes, pieces } = delta
    return { ...place, lsn, offset, bytes, entries, spareOffset: from, changelogBytes, pieces }
  } finally {
    previous?.file.close()
  }
}

/** Snapshots of less changelog than this cost more than they save. */
const leastBytes = 1024 * 1024

/** Looking up and verifying a piece of changelog takes a restart as long as so many bytes of it. */
const pieceBytes = 256

/**
 * Changelog bytes behind which a store's next snapshot is due, so that a restart reads about `snapshotBytes` of changelog for
 * all stores together; at least what the last snapshot has, so that large ones are not written again and again.
 */
export function dueAfter(snapshotBytes: number, stores: number, lastSnapshotBytes: number): number {
  const share = Math.max(snapshotBytes / stores, Math.min(leastBytes, snapshotBytes))
  return Math.max(share, lastSnapshotBytes)
}

/** Watches changelogs and makes snapshots where they are due: what the snapshot thread runs, round by round. */
export class SnapshotMaker {
  readonly #env: Env
  readonly #log: ChangelogSource
  readonly #dir: string
  readonly #snapshotBytes: number
  readonly #reader: ChangelogCursor
  readonly #arena = new Arena(limits.batchBytes)
  readonly #since: ReadonlyMap<string, Since>

  private constructor(
    env: Env,
    log: ChangelogSource,
    dir: string,
    snapshotBytes: number,
    since: ReadonlyMap<string, Since>,
    reader: ChangelogCursor,
  ) {
    this.#env = env
    this.#log = log
    this.#dir = dir
    this.#snapshotBytes = snapshotBytes
    this.#since = since
    this.#reader = reader
  }

  static async open(
    env: Env,
    log: ChangelogSource,
    dir: string,
    changelogs: readonly { readonly topic: string; readonly partitions: number }[],
    snapshotBytes: number = limits.snapshotBytes,
  ): Promise<SnapshotMaker> {
    const places = changelogs.flatMap(({ topic, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ changelog: topic, partition })),
    )
    const since = new Map<string, Since>()
    const from = places.map((place) => {
      const { changelog, partition } = place
      // How much has come since, the header says: reading all of every state would hold up the workers at a start. Whether it
      // is whole is seen when the next is made of it.
      const newest = newestWhole(env.disk, dir, place, Infinity, () => true)
      newest?.file.close()
      const { bytes: snapshot, offset } = newest?.header ?? { bytes: 0, offset: 0 }
      since.set(`${changelog}/${partition}`, { place, snapshot, cost: 0 })
      return { topic: changelog, partition, offset }
    })
    return new SnapshotMaker(env, log, dir, snapshotBytes, since, await log.reader(from))
  }

  /** Makes the snapshots that are due, and gives up the changelog that no restart needs any more. */
  async round(): Promise<readonly MadeSnapshot[]> {
    this.#measure()
    const made: MadeSnapshot[] = []
    for (const entry of this.#since.values()) {
      // One snapshot takes in so much changelog and no more: where more came meanwhile, another follows.
      while (entry.cost >= dueAfter(this.#snapshotBytes, this.#since.size, entry.snapshot)) {
        const snapshot = await this.#make(entry.place)
        if (snapshot === undefined) entry.cost = 0
        else {
          this.#took(entry, snapshot)
          made.push(snapshot)
        }
      }
    }
    return made
  }

  /** Brings the snapshots of these changelogs to where they end now. Throws DiskError, MR4011 or what the log throws. */
  async now(changelogs: ReadonlySet<string>): Promise<readonly StandingSnapshot[]> {
    this.#measure()
    const standing: StandingSnapshot[] = []
    for (const entry of this.#since.values())
      if (changelogs.has(entry.place.changelog)) standing.push(await this.#bringUp(entry))
    return standing
  }

  async #bringUp(entry: Since): Promise<StandingSnapshot> {
    const { place } = entry
    const { clock, disk } = this.#env
    const began = clock.monotonic()
    const end = (await this.#log.topics.offsets(place.changelog))[place.partition]?.next ?? 0
    let made: MadeSnapshot | undefined
    // One snapshot takes in so much changelog and no more, and what comes meanwhile is not waited for.
    while (made === undefined || made.offset < end) {
      const next = await this.#make(place)
      if (next === undefined) break
      made = next
      this.#took(entry, made)
    }
    if (made !== undefined) {
      const { lsn, entries, bytes } = made
      return { ...place, lsn, entries, bytes, ms: clock.monotonic() - began }
    }
    const there = newestWhole(disk, this.#dir, place, end)
    there?.file.close()
    const { lsn, entries = 0, bytes = 0 } = there?.header ?? {}
    return { ...place, lsn, entries, bytes, ms: 0 }
  }

  #took(entry: Since, { changelogBytes, pieces, bytes }: MadeSnapshot): void {
    entry.cost = Math.max(0, entry.cost - this.#cost(changelogBytes, pieces))
    entry.snapshot = bytes
  }

  /** As bytes: an engine that makes many small commits would else have hundreds of thousands of pieces to read. */
  #cost(bytes: number, pieces: number): number {
    return bytes + pieces * Math.min(pieceBytes, this.#snapshotBytes / 128)
  }

  async #make({ changelog, partition }: SnapshotPlace): Promise<MadeSnapshot | undefined> {
    const most = 2 * this.#snapshotBytes
    const made = await snapshotOnce(this.#env, this.#log, changelog, partition, this.#dir, most)
    // The older snapshot must stay useful, should the newest turn out damaged.
    if (made !== undefined && made.spareOffset > 0)
      await this.#log.topics.trim(changelog, partition, made.spareOffset)
    return made
  }

  /** Resolves when the next round may find something. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#reader.wait(signal)
  }

  close(): void {
    this.#reader.close()
  }

  #measure(): void {
    for (;;) {
      const next = this.#reader.next(this.#arena)
      if (next.result === 'caught-up') return
      if (next.result === 'arena-full') this.#arena.reset()
      else if (next.result === 'corrupt') throw next.error
      else if (next.result === 'gone') {
        const { topic, partition, earliest } = next
        this.#reader.seek({ topic, partition, offset: earliest })
      } else {
        const entry = this.#since.get(`${next.topic}/${next.partition}`)
        must(entry, 'only what is watched is read').cost += this.#cost(next.bytes.length, 1)
      }
    }
  }
}

interface Since {
  readonly place: SnapshotPlace
  /** Bytes of the last snapshot; 0 where there is none. */
  snapshot: number
  /** What reading the changelog since would cost. */
  cost: number
}

interface Whole {
  readonly file: DiskFile
  readonly header: SnapshotHeader
}

interface Delta {
  /** Last entry per key. */
  readonly entries: ReadonlyMap<string, ChangelogEntry>
  readonly offset: number
  readonly lsn: number | undefined
  readonly bytes: number
  readonly pieces: number
}

function folderOf(dir: string, place: SnapshotPlace): string {
  return `${dir}/${place.changelog}/${place.partition}`
}

/** Snapshot files, newest first. */
function snapshotFiles(disk: Disk, folder: string): string[] {
  if (!disk.exists(folder)) return []
  const named = disk
    .list(folder)
    .map(({ name }) => ({ name, lsn: Number(/^(\d+)\.snap$/.exec(name)?.[1] ?? NaN) }))
  return named
    .filter(({ lsn }) => !Number.isNaN(lsn))
    .toSorted((a, b) => b.lsn - a.lsn)
    .map(({ name }) => name)
}

/** The newest snapshot whose every byte is as it was written; its file is open. */
function newestWhole(
  disk: Disk,
  dir: string,
  place: SnapshotPlace,
  end: number = Infinity,
  isWhole: typeof readsWhole = readsWhole,
): Whole | undefined {
  const folder = folderOf(dir, place)
  for (const name of snapshotFiles(disk, folder)) {
    const whole = openWhole(disk, `${folder}/${name}`, place, end, isWhole)
    if (whole !== undefined) return whole
  }
  return undefined
}

function openWhole(
  disk: Disk,
  path: string,
  place: SnapshotPlace,
  end: number,
  isWhole: typeof readsWhole,
): Whole | undefined {
  let file: DiskFile | undefined
  let whole: Whole | undefined
  try {
    file = disk.open(path, 'read')
    const header = readHeader(file, place)
    if (header !== undefined && header.offset <= end && isWhole(file, header))
      return (whole = { file, header })
  } catch (error) {
    // Bytes that the disk does not give back are no better than damaged ones.
    if (!(error instanceof DiskError)) throw error
  } finally {
    if (whole === undefined) file?.close()
  }
  mark('snapshot: passed over')
  return undefined
}

function readsWhole(file: DiskFile, header: SnapshotHeader): boolean {
  for (const chunk of readChunks(file, header)) if (chunk === undefined) return false
  return true
}

function readDelta(reader: ChangelogCursor, mostBytes: number): Delta {
  const entries = new Map<string, ChangelogEntry>()
  const arena = new Arena(limits.batchBytes)
  let offset = 0
  let lsn: number | undefined
  let bytes = 0
  let pieces = 0
  while (bytes < mostBytes) {
    const next = reader.next(arena)
    if (next.result === 'caught-up') break
    if (next.result === 'arena-full') arena.reset()
    else if (next.result === 'corrupt') throw next.error
    else if (next.result === 'gone') throw unreached(next)
    else {
      // The arena is used again: what is kept must be a copy.
      const changes = new ChangelogReader(next.bytes.slice())
      for (let entry = changes.next(); entry !== undefined; entry = changes.next())
        entries.set(keyOf(entry), entry)
      offset = next.nextOffset
      lsn = next.lsn
      bytes += next.bytes.length
      pieces++
    }
  }
  return { entries, offset, lsn, bytes, pieces }
}

function write(
  disk: Disk,
  dir: string,
  place: SnapshotPlace,
  previous: Whole | undefined,
  delta: Delta,
  lsn: number,
): SnapshotHeader {
  const folder = folderOf(dir, place)
  // Each level is synced when it is made, so that what is there already is durable.
  makeDirectories(disk, folder)
  const temporary = `${folder}/snapshot.tmp`
  removeIfThere(disk, temporary)
  const file = disk.open(temporary, 'create')
  try {
    const writer = new SnapshotFileWriter(file, place)
    for (const entry of merged(previous, delta.entries)) writer.add(entry)
    const header = writer.finish(lsn, delta.offset)
    disk.rename(temporary, `${folder}/${lsn}.snap`)
    disk.fsyncDir(folder)
    return header
  } catch (error) {
    mark('snapshot: given up half-way')
    // Half a snapshot is of no use, and on a full disk its space is.
    if (error instanceof DiskError || error instanceof MillraceError) removeIfThere(disk, temporary)
    throw error
  } finally {
    file.close()
  }
}

function removeIfThere(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.unlink(path)
}

/** Entries of both in key order, the delta's where both have the key, tombstones left out. */
function* merged(
  previous: Whole | undefined,
  delta: ReadonlyMap<string, ChangelogEntry>,
): Generator<ChangelogEntry> {
  const keys = [...delta.keys()].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  let i = 0
  if (previous !== undefined) {
    for (const old of readEntries(previous.file, previous.header)) {
      const key = keyOf(old)
      for (; i < keys.length && keys[i]! < key; i++) yield* live(delta.get(keys[i]!))
      if (!delta.has(key)) yield old
    }
  }
  for (; i < keys.length; i++) yield* live(delta.get(keys[i]!))
}

function* live(entry: ChangelogEntry | undefined): Generator<ChangelogEntry> {
  if (must(entry, 'an entry per key').value !== undefined) yield entry!
}

/** Keeps the newest up to `lsn`; what claims to be newer is of another log. */
function removeOld(disk: Disk, folder: string, lsn: number): void {
  const names = snapshotFiles(disk, folder)
  const own = names.indexOf(`${lsn}.snap`)
  if (names.length > own + kept) mark('snapshot: old ones go')
  for (const name of [...names.slice(0, own), ...names.slice(own + kept)]) {
    disk.unlink(`${folder}/${name}`)
  }
  disk.fsyncDir(folder)
}

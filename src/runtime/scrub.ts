/**
 * Reads what was written long ago again, slowly, so that bytes that turned are known of before somebody needs them, and
 * while there is still a backup from before. It only reads, holds nobody up, and what it finds it says once.
 */
import { DiskError } from '../core/env/env.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { scrubUnit, sealedUnits } from '../log/embedded/inspect.ts'
import type { Damage } from '../log/embedded/inspect.ts'
import { lookAtSnapshot, snapshotFiles } from '../state/verify.ts'
import { readJson, saveJson } from './data-files.ts'

export interface ScrubOptions {
  readonly dataDir: string
  readonly bytesPerSecond: number
  /** From the end of one pass to the beginning of the next. */
  readonly everyMs: number
  /** How it stands: after every file, and every few seconds within one. */
  readonly onProgress: (status: ScrubStatus) => void
  /** A file that was not known to be damaged. */
  readonly onDamage: (damage: Damage) => void
}

export interface ScrubStatus {
  /** Of the pass under way, or of the last one. */
  readonly doneBytes: number
  readonly totalBytes: number
  /** When the last whole pass ended, wall clock (ms). */
  readonly lastPassAt: number | undefined
  /** The first damage of each damaged file, of at most 100 files. */
  readonly damaged: readonly Damage[]
}

/** Kept in the directory, so that a start goes on where the last engine was. */
interface Saved {
  readonly lastPassAt?: number
  /** The pass under way has read the log up to below this LSN. */
  readonly nextLsn?: number
  readonly damaged: readonly Damage[]
}

interface Piece {
  /** Within the directory. */
  readonly file: string
  readonly bytes: number
  /** Where a pass goes on that ended behind it; undefined behind a snapshot. */
  readonly nextLsn: number | undefined
  readonly read: () => Generator<{ readonly bytes: number; readonly damage: Damage | undefined }>
}

const fileName = 'scrub.json'
const mostDamaged = 100
/** At most so much is read between two pauses, unless one commit is larger; of a low rate, what is a quarter of a second. */
const stretchBytes = 256 * 1024
const saveEveryMs = 60_000
const againMs = 60_000
const sayEveryMs = 5_000

export class Scrub {
  readonly #env: Env
  readonly #options: ScrubOptions
  readonly #damaged = new Map<string, Damage>()
  #lastPassAt: number | undefined
  #nextLsn: number | undefined
  #doneBytes = 0
  #totalBytes = 0
  #unpaid = 0
  #said = -Infinity
  #saved: number

  constructor(env: Env, options: ScrubOptions) {
    this.#env = env
    this.#options = options
    this.#saved = env.clock.monotonic()
    const { lastPassAt, nextLsn, damaged } = this.#read()
    this.#lastPassAt = lastPassAt
    this.#nextLsn = nextLsn
    for (const one of damaged) this.#damaged.set(one.file, one)
  }

  /** Pass after pass, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#say(true)
      await this.#env.timers.sleep(this.#dueMs(), signal)
      if (signal.aborted) return
      try {
        await this.pass(signal)
      } catch (error) {
        // It cannot even look which files there are.
        if (!(error instanceof DiskError)) throw error
        await this.#env.timers.sleep(againMs, signal)
      }
    }
  }

  /** One pass, or what is left of it. */
  async pass(signal: AbortSignal): Promise<void> {
    const all = this.#pieces()
    this.#totalBytes = all.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#doneBytes = 0
    const from = this.#nextLsn ?? 0
    for (const piece of all) {
      if (piece.nextLsn === undefined || piece.nextLsn > from) await this.#scrub(piece, signal)
      if (signal.aborted) return
      this.#doneBytes = Math.min(this.#totalBytes, this.#doneBytes + piece.bytes)
      this.#nextLsn = piece.nextLsn ?? this.#nextLsn
      this.#say(false)
      this.#save(false)
    }
    const there = new Set(all.map(({ file }) => file))
    for (const file of this.#damaged.keys()) if (!there.has(file)) this.#damaged.delete(file)
    this.#nextLsn = undefined
    this.#lastPassAt = this.#env.clock.now()
    this.#save(true)
    this.#say(true)
  }

  #dueMs(): number {
    if (this.#nextLsn !== undefined || this.#lastPassAt === undefined) return 0
    const { everyMs } = this.#options
    const passed = this.#env.clock.now() - this.#lastPassAt
    // The clock may have jumped: never longer than agreed.
    return Math.max(0, everyMs - Math.max(0, passed))
  }

  #pieces(): Piece[] {
    const { disk } = this.#env
    const { dataDir } = this.#options
    const units = sealedUnits(disk, dataDir).map((unit) => ({
      file: `log/${unit.name}`,
      bytes: unit.size,
      nextLsn: unit.id.toLsn ?? unit.id.baseLsn + 1,
      read: () => scrubUnit(disk, unit),
    }))
    const state = `${dataDir}/state`
    const snapshots = snapshotFiles(disk, state).flatMap((one): Piece[] => {
      const file = `state/${one.changelog}/${one.partition}/${one.name}`
      const path = `${dataDir}/${file}`
      const bytes = this.#inode(path)?.size
      if (bytes === undefined) return []
      const lsn = Number.parseInt(one.name, 10)
      const read = function* (): ReturnType<Piece['read']> {
        let offset = 0
        const look = lookAtSnapshot(disk, state, one)
        for (let step = look.next(); ; step = look.next()) {
          if (step.done === true) {
            if (step.value === undefined || step.value.offset !== undefined) return
            const what = 'This snapshot of a store is damaged.'
            yield { bytes: 0, damage: { file, offset, lsn, what } }
            return
          }
          offset += step.value
          yield { bytes: step.value, damage: undefined }
        }
      }
      return [{ file, bytes, nextLsn: undefined, read }]
    })
    return [...units, ...snapshots]
  }

  /** Retention may remove the file, or put another in its place, at any moment: neither is damage. */
  async #scrub({ file, read }: Piece, signal: AbortSignal): Promise<void> {
    const path = `${this.#options.dataDir}/${file}`
    const { inode } = this.#inode(path) ?? {}
    const steps = read()
    const before = this.#doneBytes
    let first: Damage | undefined
    try {
      for (const { bytes, damage } of steps) {
        first ??= damage
        this.#doneBytes += bytes
        await this.#pace(bytes, signal)
        if (signal.aborted) return
        this.#say(false)
      }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      first ??= { file, offset: 0, lsn: 0, what: `It cannot be read: ${error.code}.` }
    }
    this.#doneBytes = before
    if (first === undefined) this.#damaged.delete(file)
    else if (inode !== undefined && this.#inode(path)?.inode === inode) this.#found(first)
  }

  #found(damage: Damage): void {
    const known = this.#damaged.has(damage.file)
    if (!known && this.#damaged.size >= mostDamaged) return
    this.#damaged.set(damage.file, damage)
    if (known) return
    this.#options.onDamage(damage)
    this.#say(true)
    this.#save(true)
  }

  #inode(path: string): { readonly inode: number; readonly size: number } | undefined {
    try {
      return this.#env.disk.stat(path)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      return undefined
    }
  }

  async #pace(bytes: number, signal: AbortSignal): Promise<void> {
    this.#unpaid += bytes
    const { bytesPerSecond } = this.#options
    if (this.#unpaid < Math.min(stretchBytes, bytesPerSecond / 4)) return
    const ms = (this.#unpaid / bytesPerSecond) * 1_000
    this.#unpaid = 0
    await this.#env.timers.sleep(ms, signal)
  }

  #say(now: boolean): void {
    const at = this.#env.clock.monotonic()
    if (!now && at - this.#said < sayEveryMs) return
    this.#said = at
    this.#options.onProgress({
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      lastPassAt: this.#lastPassAt,
      damaged: [...this.#damaged.values()],
    })
  }

  #read(): Saved {
    try {
      const saved = readJson(this.#env, this.#options.dataDir, fileName) as Saved | undefined
      if (Array.isArray(saved?.damaged)) return saved
    } catch (error) {
      // It only says where to go on: then from the beginning.
      if (!(error instanceof MillraceError)) throw error
    }
    return { damaged: [] }
  }

  #save(now: boolean): void {
    const at = this.#env.clock.monotonic()
    if (!now && at - this.#saved < saveEveryMs) return
    this.#saved = at
    const saved: Saved = {
      ...(this.#lastPassAt === undefined ? {} : { lastPassAt: this.#lastPassAt }),
      ...(this.#nextLsn === undefined ? {} : { nextLsn: this.#nextLsn }),
      damaged: [...this.#damaged.values()],
    }
    try {
      saveJson(this.#env, this.#options.dataDir, fileName, saved)
    } catch (error) {
      // On a full disk a restart begins the pass anew.
      if (!(error instanceof MillraceError)) throw error
    }
  }
}

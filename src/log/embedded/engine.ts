/**
 * The log's one writer: takes commits and changes of the catalog, makes frames of them, appends them in groups, and
 * publishes. Owned by one thread. Everything it does on disk is a step machine; everything else is plain computation.
 */
import { assert, must } from '../../core/assert.ts'
import { mark } from '../../core/mark.ts'
import { DiskError } from '../../core/env/env.ts'
import type { DiskLock, Env } from '../../core/env/env.ts'
import { xxh64 } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import type { DiskLog, Frame } from './disk-log.ts'
import { align8, newHead, putEntry, sectionKinds, stampHead } from './format.ts'
import type { FrameHead } from './format.ts'
import { LogClock } from './log-clock.ts'
import { encodeJson } from './payloads.ts'
import type { Change } from './payloads.ts'
import { planCommit } from './plan-commit.ts'
import type { CommitRequest, PlannedCommit } from './plan-commit.ts'
import { PublishedEnd } from './published.ts'
import type { LogState } from './state.ts'
import { spaceOf } from './steps.ts'
import type { Steps } from './steps.ts'

export interface EngineOptions {
  readonly env: Env
  readonly checkpointBytes: number
  /** Below `low` free bytes commits that append are refused, until `high` are free again. */
  readonly reserve: { readonly low: number; readonly high: number }
}

export type CommitAnswer =
  | {
      readonly outcome: 'committed'
      readonly lsn: number
      readonly commitNumber: number
      readonly offsets: readonly number[]
    }
  | { readonly outcome: 'refused' | 'unknown'; readonly error: MillraceError }

/** How often the free space is looked at while there is enough (ms, monotonic). */
const SPACE_CHECK_MS = 500

export class Engine {
  readonly end = new PublishedEnd()
  readonly log: DiskLog
  readonly state: LogState
  readonly clock: LogClock
  readonly #env: Env
  readonly #options: EngineOptions
  readonly #lock: DiskLock
  #failure: MillraceError | undefined
  #checkedAt = -Infinity

  constructor(
    options: EngineOptions,
    opened: { readonly log: DiskLog; readonly state: LogState; readonly lock: DiskLock },
  ) {
    this.#options = options
    this.#env = options.env
    this.log = opened.log
    this.state = opened.state
    this.#lock = opened.lock
    this.clock = new LogClock(this.#env.clock, this.state.logTime)
    this.end.write(this.log.published)
  }

  /** Set once the log can take nothing more: the disk failed, or it was closed. */
  get failure(): MillraceError | undefined {
    return this.#failure
  }

  /** Commits a group as far as each commit is acceptable. One answer per request, in order. Never throws DiskError. */
  *commit(requests: readonly CommitRequest[]): Steps<readonly CommitAnswer[]> {
    const failure = this.#failure
    if (failure !== undefined) return requests.map(() => ({ outcome: 'refused', error: failure }))
    this.checkSpace()
    const nexts = new Map<number, number>()
    const plans = requests.map((request) =>
      this.end.full && request.appends ? this.#fullError() : planCommit(this.state, nexts, request),
    )
    const planned = plans.filter((plan): plan is PlannedCommit => !(plan instanceof MillraceError))
    const group = this.state.group + 1
    let prevHash = this.log.lastHash
    const frames = planned.map(({ head, pieces, payloadBytes, ...by }, i): Frame => {
      const { writer, writerEpoch, commitNumber } = by
      const frame = { lsn: this.log.nextLsn + i, group, prevHash, payloadBytes, ...this.#stamp() }
      prevHash = stampHead(head, { writer, writerEpoch, commitNumber, ...frame })
      return { head, pieces, bytes: head.length + payloadBytes }
    })
    const heads = frames.length === 0 ? [] : yield* this.#append(frames)
    if (heads instanceof MillraceError) {
      mark('commit: written and not known to be durable')
      const refused = heads.code === 'MR2007'
      return plans.map((plan) => {
        if (plan instanceof MillraceError) return { outcome: 'refused', error: plan }
        return { outcome: refused ? 'refused' : 'unknown', error: heads }
      })
    }
    let i = 0
    const answers = plans.map((plan): CommitAnswer => {
      if (plan instanceof MillraceError) return { outcome: 'refused', error: plan }
      const head = must(heads[i++], 'one head per planned commit')
      assert(
        this.state.apply(head, () => plan.positions),
        'what the log encoded it decodes',
      )
      assert(head.lsn <= this.log.published.lsn, 'I1: what is acknowledged is durable')
      return {
        outcome: 'committed',
        lsn: head.lsn,
        commitNumber: plan.commitNumber,
        offsets: plan.offsets,
      }
    })
    if (heads.length > 0) this.end.write(this.log.published)
    return answers
  }

  /** Writes the first frame of this epoch. Without space the log opens all the same, read-only for now. */
  *announce(): Steps<void> {
    this.checkSpace()
    try {
      yield* this.change([{ type: 'epoch', epoch: this.log.epoch }])
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'MR2007') throw error
    }
  }

  /** Makes changes of the catalog durable and applies them. Throws MillraceError when they were not made. */
  *change(changes: readonly Change[]): Steps<void> {
    const bytes = encodeJson(changes)
    yield* this.#own(sectionKinds.changes, bytes)
  }

  /** Writes the state into the log when enough was written since the last time, or when forced. */
  *checkpoint(force = false): Steps<void> {
    if (this.#failure !== undefined || !this.log.dirty) return
    if (!force && this.log.sinceCheckpoint < this.#options.checkpointBytes) return
    const bytes = this.state.toCheckpoint()
    const head = yield* this.#own(sectionKinds.checkpoint, bytes)
    const { end, lsn } = this.log.published
    assert(head.lsn === lsn, 'nothing was appended after the checkpoint')
    try {
      yield* this.log.checkpointed(lsn, end - head.length)
    } catch (error) {
      throw this.#poison(error)
    }
  }

  /** Takes no more commits, and lets go of the directory. With `failure` the disk is not touched any more. */
  *close(): Steps<void> {
    if (this.#failure === undefined) {
      try {
        yield* this.checkpoint(true)
      } catch (error) {
        // A log that is not checkpointed opens as well, only slower.
        if (!(error instanceof MillraceError)) throw error
      }
    }
    this.#failure ??= new MillraceError('MR2009', 'It was closed.')
    this.log.close()
    this.#lock.release()
  }

  /** Runs disk work that is not an append (removing segments); an error of the disk is fatal all the same. */
  *guarded<T>(steps: Steps<T>): Steps<T> {
    try {
      return yield* steps
    } catch (error) {
      throw this.#poison(error)
    }
  }

  *#own(kind: number, bytes: Uint8Array): Steps<FrameHead> {
    if (this.#failure !== undefined) throw this.#failure
    const payload = new Uint8Array(align8(bytes.length))
    payload.set(bytes)
    const head = newHead(1)
    const section = {
      kind,
      topic: 0,
      partition: 0,
      count: 0,
      baseOffset: 0,
      nextOffset: 0,
      length: bytes.length,
    }
    putEntry(head, 0, { ...section, hash: xxh64(bytes) })
    const own = { writer: 0, writerEpoch: 0, commitNumber: 0, payloadBytes: payload.length }
    stampHead(head, {
      lsn: this.log.nextLsn,
      group: this.state.group + 1,
      prevHash: this.log.lastHash,
      ...own,
      ...this.#stamp(),
    })
    const heads = yield* this.#append([
      { head, pieces: [payload], bytes: head.length + payload.length },
    ])
    if (heads instanceof MillraceError) throw heads
    const made = must(heads[0], 'one frame, one head')
    assert(
      this.state.apply(made, () => bytes),
      'what the log encoded it decodes',
    )
    this.end.write(this.log.published)
    return made
  }

  *#append(frames: readonly Frame[]): Steps<readonly FrameHead[] | MillraceError> {
    try {
      const heads = yield* this.log.append(frames)
      if (heads !== 'full') return heads
      mark('log: no room for a commit')
      this.end.full = true
      return this.#fullError()
    } catch (error) {
      return this.#poison(error)
    }
  }

  #stamp(): { readonly epoch: number; readonly time: number; readonly logTime: number } {
    return { epoch: this.log.epoch, time: this.#env.clock.now(), logTime: this.clock.now() }
  }

  #poison(error: unknown): MillraceError {
    if (error instanceof MillraceError) return error
    if (!(error instanceof DiskError)) throw error
    mark('log: a failed disk ends it')
    const what = `${error.operation} on ${error.path} failed with ${error.code}.`
    this.#failure = new MillraceError('MR2008', what, { cause: error })
    return this.#failure
  }

  #fullError(): MillraceError {
    const { directory } = this.log
    const free = spaceOf(this.#env.disk, directory)?.free
    const needed = this.#options.reserve.high
    const what = `There are ${free ?? 'too few'} bytes free for ${directory}; the log takes records again from ${needed} on.`
    return new MillraceError('MR2007', what, { details: { directory, free, needed } })
  }

  /** Enters and leaves the state in which only positions are committed. Looks at the disk at most so often. */
  checkSpace(): void {
    const now = this.#env.clock.monotonic()
    if (!this.end.full && now - this.#checkedAt < SPACE_CHECK_MS) return
    this.#checkedAt = now
    const { low, high } = this.#options.reserve
    const free = spaceOf(this.#env.disk, this.log.directory)?.free
    // Not knowing it is no reason to stop: a write that finds no space says so.
    if (free === undefined) return
    if (free < low) this.end.full = true
    else if (free >= high) this.end.full = false
  }
}

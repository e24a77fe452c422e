/**
 * Push ingest: bodies that came over HTTP, from `engine.produce` or the command line become records of one topic. Its
 * tasks are buckets of producers. A request is answered after the commit that holds its events, its verdicts and, for an
 * idempotent producer, its session; it is stored as a whole or not at all.
 */
import { assert } from '../core/assert.ts'
import type { Env } from '../core/env/env.ts'
import { mark } from '../core/mark.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log, Writer } from '../log/log.ts'
import { MemoryStore } from '../state/memory.ts'
import { restoreStores } from '../state/restore.ts'
import type { RestoreTarget } from '../state/restore.ts'
import type { Store } from '../state/store.ts'
import { BodyReader } from './ingest-body.ts'
import type { EventRules } from './ingest-event.ts'
import { errorAnswer, outcomeAnswer, refusalAnswer } from './ingest-request.ts'
import type { IngestAnswer, IngestRequest } from './ingest-request.ts'
import { ProducerSessions, sessionStoreSpec } from './ingest-sessions.ts'
import type { Session } from './ingest-sessions.ts'
import { IngestStage } from './ingest-stage.ts'
import type { Runner, StepBudget, StepResult, TaskReport } from './runner.ts'

export interface PushIngestOptions {
  readonly env: Env
  readonly log: Log
  readonly topic: string
  readonly rules: EventRules
  /** `deadLetter` accepts invalid events and keeps them as dead letters. */
  readonly onInvalid: 'refuse' | 'deadLetter'
  readonly deadLetters: string
  readonly planHash: string
  /** The buckets that live on this worker, of `bucketCount` in all. */
  readonly buckets: readonly number[]
  readonly bucketCount: number
  /** Changelog topic of the sessions, one partition per bucket. */
  readonly sessions: string
  /** Shared by all push ingests of a worker. */
  readonly queue: IngestQueue
  /** Folder of snapshots; undefined restores from changelogs alone. */
  readonly snapshotDir?: string
  /** Bytes of producer sessions per bucket. */
  readonly sessionBytes?: number
}

/** Bounds what waits for its commit on one worker, in bytes. */
export class IngestQueue {
  readonly limit: number
  #used = 0

  constructor(limit: number = limits.ingestQueueBytes) {
    this.limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** False when it would not fit; an empty queue takes anything. */
  take(bytes: number): boolean {
    if (this.#used > 0 && this.#used + bytes > this.limit) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
    assert(this.#used >= 0, 'I10: no request gives room back twice')
  }
}

interface Waiting {
  readonly bucket: number
  readonly request: IngestRequest
  readonly bytes: number
  readonly resolve: (answer: IngestAnswer) => void
}

interface Bucket {
  readonly store: Store<Session>
  readonly sessions: ProducerSessions
}

/** What a request costs besides its body. */
const requestBytes = 1024

export class PushIngestRunner implements Runner {
  readonly id: string
  readonly tasks: readonly string[]
  readonly #options: PushIngestOptions
  readonly #stage: IngestStage
  readonly #bodies: BodyReader
  readonly #buckets = new Map<number, Bucket>()
  /** Kept through resets, and before the first `open`. */
  readonly #paused = new Set<number>()
  readonly #queue: Waiting[] = []
  /** Decided, and waiting for the commit. */
  readonly #decided: { readonly waiting: Waiting; readonly answer: IngestAnswer }[] = []
  #state: 'closed' | 'open' | 'resetting' = 'resetting'
  #cause: MillraceError | undefined
  #wake: (() => void) | undefined

  constructor(options: PushIngestOptions) {
    this.#options = options
    this.id = `ingest/${options.topic}`
    this.tasks = options.buckets.map((bucket) => `${this.id}/${bucket}`)
    this.#stage = new IngestStage({
      id: this.id,
      topic: options.topic,
      positionTopic: options.sessions,
      deadLetters: options.deadLetters,
      planHash: options.planHash,
      schemaVersion: options.rules.schema.version,
    })
    this.#bodies = new BodyReader(options.rules)
  }

  /**
   * Queues a request for one bucket; the same producer must always come to the same bucket. The answer comes after the
   * commit. Never rejects: what goes wrong is an answer too. Owns the body from here on.
   */
  submit(bucket: number, request: IngestRequest): Promise<IngestAnswer> {
    const found = this.#buckets.get(bucket)
    if (this.#state === 'closed') return this.#unavailable('does not run')
    if (this.#cause !== undefined) return Promise.resolve(errorAnswer(this.#cause))
    if (this.#state === 'open' && found === undefined)
      return this.#unavailable(`has no bucket ${bucket} here`)
    if (this.#paused.has(bucket)) return this.#unavailable('is paused')
    const bytes = request.body.length + requestBytes
    const { queue } = this.#options
    if (!queue.take(bytes)) {
      const what = `${queue.used} bytes of events wait; at most ${queue.limit} may.`
      return Promise.resolve(refusalAnswer('MR1039', what))
    }
    return new Promise((resolve) => {
      this.#queue.push({ bucket, request, bytes, resolve })
      this.#wake?.()
    })
  }

  async open(): Promise<void> {
    const { env, log, buckets, bucketCount, sessions, sessionBytes, snapshotDir } = this.#options
    this.#stage.open(buckets, await log.positions(this.id))
    this.#buckets.clear()
    const maxSessions = Math.ceil(limits.producerSessions / bucketCount)
    const targets: RestoreTarget[] = []
    for (const bucket of buckets) {
      const spec = sessionStoreSpec(sessionBytes ?? limits.stateBytes / bucketCount)
      const store = new MemoryStore<Session>(spec)
      targets.push({ changelog: sessions, partition: bucket, store })
      this.#buckets.set(bucket, { store, sessions: new ProducerSessions(store, maxSessions) })
    }
    await restoreStores(env, log, snapshotDir, targets)
    this.#state = 'open'
    this.#cause = undefined
  }

  step(budget: StepBudget): StepResult {
    let rows = 0
    let bytes = 0
    for (let waiting = this.#queue[0]; waiting !== undefined; waiting = this.#queue[0]) {
      if (rows >= budget.rows || bytes >= budget.bytes) return 'worked'
      if (!this.#fits(waiting.request.body.length)) return 'full'
      this.#queue.shift()
      rows += this.#handle(waiting)
      bytes += waiting.request.body.length
    }
    return 'idle'
  }

  get stagedBytes(): number {
    let bytes = this.#stage.bytes
    for (const bucket of this.#buckets.values()) bytes += bucket.store.stagedBytes
    return bytes
  }

  get wakeAt(): number | undefined {
    return undefined
  }

  stage(writer: Writer): void {
    this.#stage.stage(writer)
    for (const [bucket, { store }] of this.#buckets) {
      const changes = store.changes()
      if (changes !== undefined)
        writer.state(this.#options.sessions, bucket, changes.bytes, changes.count)
    }
  }

  committed(): void {
    this.#stage.committed()
    for (const { store } of this.#buckets.values()) store.committed()
    for (const { waiting, answer } of this.#decided.splice(0)) this.#answer(waiting, answer)
  }

  /** Requests that were not handled stay queued; those in the failed commit are told so. */
  reset(cause?: MillraceError): void {
    this.#stage.rollback()
    for (const { store } of this.#buckets.values()) store.rollback()
    this.#state = 'resetting'
    const full = cause?.code === 'MR2007'
    // Until there is space again, what comes is refused at once instead of waiting for nothing.
    this.#cause = full ? cause : undefined
    const error = full ? cause : unknownOutcome(this.id, cause)
    this.#refuseDecided(error)
    if (full) this.#refuseQueued(error)
  }

  wait(signal: AbortSignal): Promise<void> {
    if (this.#queue.length > 0) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done)
        this.#wake = undefined
        resolve()
      }
      this.#wake = done
      signal.addEventListener('abort', done, { once: true })
    })
  }

  pause(task: string): void {
    const bucket = this.#options.buckets[this.tasks.indexOf(task)]
    if (bucket !== undefined) this.#paused.add(bucket)
  }

  resume(task: string): boolean {
    const bucket = this.#options.buckets[this.tasks.indexOf(task)]
    return bucket !== undefined && this.#paused.delete(bucket)
  }

  report(): readonly TaskReport[] {
    return [...this.#buckets].map(([bucket, { store }]) => ({
      id: `${this.id}/${bucket}`,
      status: this.#paused.has(bucket) ? 'paused' : 'running',
      counters: this.#stage.committedCounters(bucket),
      lag: 0,
      watermark: undefined,
      stateKeys: store.size,
      stateBytes: store.bytes,
    }))
  }

  close(): Promise<void> {
    this.#state = 'closed'
    // What is decided and not answered is in a commit that did not end well.
    this.#refuseDecided(unknownOutcome(this.id, undefined))
    this.#refuseQueued(new MillraceError('MR1041', `${this.id} does not run any more.`))
    return Promise.resolve()
  }

  /** Handles one request; returns how many events it had. */
  #handle(waiting: Waiting): number {
    const { bucket, request } = waiting
    const now = this.#options.env.clock.now()
    const found = this.#buckets.get(bucket)
    if (found === undefined) {
      this.#answer(waiting, refusalAnswer('MR1041', `${this.id} has no bucket ${bucket} here.`))
      return 0
    }
    if (request.producer !== undefined) {
      const admission = found.sessions.admit(request.producer, now)
      if (admission.result === 'refused') {
        this.#answer(waiting, refusalAnswer(admission.refusal.code, admission.refusal.what))
        return 0
      }
      if (admission.result === 'repeat') {
        // The first one may be part of this very commit: then both wait for it.
        if (this.stagedBytes > 0) this.#decided.push({ waiting, answer: admission.answer })
        else this.#answer(waiting, admission.answer)
        return 0
      }
    }
    return this.#store(waiting, found, now)
  }

  #store(waiting: Waiting, bucket: Bucket, now: number): number {
    const { request } = waiting
    const outcome = this.#bodies.read(
      request,
      this.#stage,
      waiting.bucket,
      this.#options.onInvalid,
      now,
    )
    if ('refusal' in outcome) {
      const { refusal, verdicts } = outcome
      this.#answer(waiting, refusalAnswer(refusal.code, refusal.what, verdicts))
      return 0
    }
    const answer = outcomeAnswer(outcome)
    if (request.producer !== undefined) bucket.sessions.answered(request.producer, answer, now)
    this.#decided.push({ waiting, answer })
    return outcome.accepted + outcome.deadLettered + outcome.verdicts.length
  }

  /** Whether a body of this length can be staged beside what is staged already, at the worst. */
  #fits(bodyLength: number): boolean {
    const staged = this.stagedBytes
    if (staged === 0) return true
    if (staged >= limits.taskStageBytes) return false
    const events = Math.min(limits.bodyEvents, bodyLength / 2 + 1)
    const worst = 2 * bodyLength + 24 * events + limits.bodyLetterBytes + limits.bodyAnswerBytes
    return staged + worst <= limits.commitBytes
  }

  #answer(waiting: Waiting, answer: IngestAnswer): void {
    this.#options.queue.give(waiting.bytes)
    waiting.resolve(answer)
  }

  #refuseDecided(error: MillraceError): void {
    for (const { waiting } of this.#decided.splice(0)) this.#answer(waiting, errorAnswer(error))
  }

  #refuseQueued(error: MillraceError): void {
    for (const waiting of this.#queue.splice(0)) this.#answer(waiting, errorAnswer(error))
  }

  #unavailable(what: string): Promise<IngestAnswer> {
    return Promise.resolve(refusalAnswer('MR1041', `${this.id} ${what}.`))
  }
}

function unknownOutcome(id: string, cause: MillraceError | undefined): MillraceError {
  const why = cause === undefined ? '' : ` (${cause.code})`
  mark('ingest: a commit under it did not end well')
  return new MillraceError('MR1042', `The commit of ${id} did not end well${why}.`)
}

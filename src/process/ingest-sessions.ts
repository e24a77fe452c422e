/**
 * Sessions of idempotent producers (DESIGN section 7): the last answers per producer, stored in the same commit as the
 * events they answer for. A request that comes again gets the same answer, and its events are not stored again.
 *
 * A request that has no session behind it is refused unless it opens one (sequence 0). A late repetition of a first
 * request could open a second session when the first is forgotten; where the epoch is a time, that is seen and refused.
 */
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { mark } from '../core/mark.ts'
import type { Store, StoreSpec } from '../state/store.ts'
import type { IngestAnswer, ProducerRef, Refusal } from './ingest-request.ts'

export interface KeptAnswer {
  readonly sequence: number
  readonly status: number
  readonly body: Uint8Array
}

export interface Session {
  readonly epoch: number
  /** The sequence number that comes next. */
  readonly next: number
  /** Wall time of the last request, milliseconds. */
  readonly seen: number
  /** Oldest first; at least the last one. */
  readonly answers: readonly KeptAnswer[]
}

export type Admission =
  | { readonly result: 'new' }
  | { readonly result: 'repeat'; readonly answer: IngestAnswer }
  | { readonly result: 'refused'; readonly refusal: Refusal }

/** Epochs from here on are read as milliseconds since 1970 (the year 2001); smaller ones are plain counters. */
const timeEpochs = 1e12

/** Decides what a request of a producer is: the next one, one that was answered before, or one that must not be taken. */
export function admit(session: Session | undefined, ref: ProducerRef, now: number): Admission {
  const live =
    session !== undefined && now - session.seen <= limits.producerSessionMs ? session : undefined
  if (live !== undefined && ref.epoch < live.epoch) {
    return refused(
      'MR1045',
      `Producer ${ref.id} sent epoch ${ref.epoch}; epoch ${live.epoch} is open.`,
    )
  }
  if (live === undefined || ref.epoch > live.epoch) return admitFirst(ref, live, now)
  if (ref.sequence === live.next) return { result: 'new' }
  if (ref.sequence > live.next) {
    return refused(
      'MR1044',
      `Producer ${ref.id} sent sequence ${ref.sequence}; ${live.next} comes next.`,
    )
  }
  const kept = live.answers.find((answer) => answer.sequence === ref.sequence)
  if (kept !== undefined) mark('ingest: a request comes again')
  if (kept !== undefined)
    return { result: 'repeat', answer: { status: kept.status, body: kept.body } }
  return refused(
    'MR1047',
    `Producer ${ref.id} sent sequence ${ref.sequence} again; ${live.next} comes next.`,
  )
}

function admitFirst(ref: ProducerRef, live: Session | undefined, now: number): Admission {
  if (ref.sequence !== 0) {
    const what = `Producer ${ref.id} sent sequence ${ref.sequence} of epoch ${ref.epoch}`
    return live === undefined
      ? refused('MR1046', `${what}, and has no session here.`)
      : refused('MR1044', `${what}, which begins with 0.`)
  }
  if (live === undefined && ref.epoch >= timeEpochs && now - ref.epoch > limits.producerSessionMs) {
    return refused(
      'MR1046',
      `Producer ${ref.id} opened epoch ${ref.epoch} longer ago than sessions are kept.`,
    )
  }
  return { result: 'new' }
}

function refused(code: Refusal['code'], what: string): Admission {
  return { result: 'refused', refusal: { code, what } }
}

/** The session after a request was answered, with at most `keep` answers. */
export function answered(
  session: Session | undefined,
  ref: ProducerRef,
  answer: IngestAnswer,
  now: number,
  keep: number = limits.producerAnswers,
): Session {
  const before = session?.epoch === ref.epoch ? session.answers : []
  const answers: KeptAnswer[] = [
    { sequence: ref.sequence, status: answer.status, body: answer.body },
  ]
  let bytes = answer.body.length
  for (const kept of before.toReversed()) {
    bytes += kept.body.length
    if (answers.length === keep || bytes > limits.producerAnswerBytes) break
    answers.unshift(kept)
  }
  return { epoch: ref.epoch, next: ref.sequence + 1, seen: now, answers }
}

/** The sessions of one ingest bucket. */
export class ProducerSessions {
  readonly #store: Store<Session>
  readonly #maxSessions: number
  #sweptAt = -Infinity

  constructor(store: Store<Session>, maxSessions: number) {
    this.#store = store
    this.#maxSessions = maxSessions
  }

  admit(ref: ProducerRef, now: number): Admission {
    const session = this.#store.get(ref.id)
    const admission = admit(session, ref, now)
    if (admission.result !== 'new') return admission
    if (session === undefined) this.#sweep(now)
    const room =
      session === undefined
        ? this.#store.size < this.#maxSessions && this.#filled() < roomForNew
        : this.#filled() < roomForAll
    if (room) return admission
    const { maxBytes } = this.#store.spec
    const what = `${this.#store.size} producers have a session here, in ${this.#store.bytes} bytes`
    return refused('MR1049', `${what}; at most ${this.#maxSessions} may, in ${maxBytes} bytes.`)
  }

  answered(ref: ProducerRef, answer: IngestAnswer, now: number): void {
    const keep = this.#filled() < roomForNew ? limits.producerAnswers : 1
    this.#store.put(ref.id, answered(this.#store.get(ref.id), ref, answer, now, keep))
  }

  #filled(): number {
    return this.#store.bytes / this.#store.spec.maxBytes
  }

  /** Forgets sessions that are past their time: now and then, and not many at once, since each is part of a commit. */
  #sweep(now: number): void {
    const every = this.#store.size >= this.#maxSessions ? sweepWhenFullMs : sweepMs
    if (now - this.#sweptAt < every && now >= this.#sweptAt) return
    this.#sweptAt = now
    let left = sweepAtMost
    for (const [id, session] of this.#store.entries()) {
      if (now - session.seen <= limits.producerSessionMs) continue
      this.#store.delete(id)
      if (--left === 0) return
    }
  }
}

/** From here on no session is opened, and only the last answer of each producer is kept. */
const roomForNew = 0.8
/** From here on nobody's answer is kept: what is left holds the largest answer many times. */
const roomForAll = 0.95
const sweepMs = 60 * 60 * 1000
const sweepWhenFullMs = 10_000
const sweepAtMost = 10_000

/** Store of the sessions of one bucket; the producer id is the key. */
export function sessionStoreSpec(maxBytes: number): StoreSpec<Session> {
  return {
    name: 'sessions',
    codec: { encode: encodeSession, decode: decodeSession, clone: (session) => session },
    partitionKey: (id) => id,
    maxBytes,
  }
}

/** f64 epoch, next, seen; then per answer: f64 sequence, u32 status, u32 length, bytes. Little-endian. */
function encodeSession(session: Session): Uint8Array {
  let length = 24
  for (const answer of session.answers) length += 16 + answer.body.length
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, session.epoch, true)
  view.setFloat64(8, session.next, true)
  view.setFloat64(16, session.seen, true)
  let at = 24
  for (const answer of session.answers) {
    view.setFloat64(at, answer.sequence, true)
    view.setUint32(at + 8, answer.status, true)
    view.setUint32(at + 12, answer.body.length, true)
    bytes.set(answer.body, at + 16)
    at += 16 + answer.body.length
  }
  return bytes
}

/** Throws MR4011 where the bytes are no session: what a producer was told must not be guessed. */
function decodeSession(bytes: Uint8Array): Session {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const fail = (): never => {
    throw new MillraceError('MR4011', `A stored session of ${bytes.length} bytes is malformed.`)
  }
  const number = (at: number): number => {
    const value = at + 8 <= bytes.length ? view.getFloat64(at, true) : NaN
    return Number.isFinite(value) ? value : fail()
  }
  const [epoch, next, seen] = [number(0), number(8), number(16)]
  const answers: KeptAnswer[] = []
  for (let at = 24; at < bytes.length;) {
    const sequence = number(at)
    const start = at + 16
    const end = start <= bytes.length ? start + view.getUint32(at + 12, true) : Infinity
    if (end > bytes.length) fail()
    answers.push({ sequence, status: view.getUint32(at + 8, true), body: bytes.slice(start, end) })
    at = end
  }
  return { epoch, next, seen, answers }
}

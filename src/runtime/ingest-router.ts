import { murmur2 } from '../core/hash.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { errorAnswer, refusalAnswer } from '../process/ingest-request.ts'
import type {
  IngestAnswer,
  IngestRequest,
  ProducerRef,
  Refusal,
} from '../process/ingest-request.ts'
import { Admission } from './admission.ts'
import type { Assignment } from './assignment.ts'
import type { ToWorker } from './messages.ts'

interface Pending {
  readonly slot: number
  readonly bytes: number
  readonly resolve: (answer: IngestAnswer) => void
}

const encoder = new TextEncoder()

/**
 * Hands bodies to the worker that owns their bucket and gives its answers back. A producer always meets the same bucket,
 * which holds its session; whoever has none goes round. Every body is answered, also when its worker dies.
 */
export class IngestRouter {
  readonly #post: (slot: number, message: ToWorker, transfer: ArrayBuffer[]) => boolean
  /** Slot of each bucket, by ingest id. */
  readonly #buckets = new Map<string, number[]>()
  readonly #pending = new Map<number, Pending>()
  /** Bytes handed to each slot without an answer: what a worker that is held up could pile up. */
  readonly #bytes: number[]
  readonly #admissions: readonly Admission[]
  readonly #queueBytes: number
  #nextId = 0
  #nextBucket = 0

  /** `now` never goes back, milliseconds. `queueBytes`: of bodies that wait for one worker. */
  constructor(
    now: () => number,
    assignment: Assignment,
    post: (slot: number, message: ToWorker, transfer: ArrayBuffer[]) => boolean,
    queueBytes: number = limits.ingestQueueBytes,
  ) {
    this.#post = post
    this.#queueBytes = queueBytes
    this.#bytes = assignment.map(() => 0)
    const admission = { waitMs: limits.ingestWaitMs, least: limits.ingestWaiting }
    this.#admissions = assignment.map(() => new Admission(now, admission))
    for (const [slot, shares] of assignment.entries()) {
      for (const { kind, id, partitions } of shares) {
        if (kind !== 'ingest') continue
        const slots = this.#buckets.get(id) ?? []
        for (const bucket of partitions) slots[bucket] = slot
        this.#buckets.set(id, slots)
      }
    }
  }

  /** Why a request would not be taken now, whatever is in it: asked before its body is read. */
  refusal(ingest: string, producer: ProducerRef | undefined): Refusal | undefined {
    const slots = this.#buckets.get(ingest) ?? []
    const slot = slots[this.#bucketOf(producer, slots.length)]
    return slot === undefined ? undefined : this.#tooMany(slot)
  }

  /** Owns the body from here on. Never rejects: what goes wrong is an answer too. */
  submit(ingest: string, request: IngestRequest): Promise<IngestAnswer> {
    const slots = this.#buckets.get(ingest) ?? []
    const { producer, body } = request
    const bucket = this.#bucketOf(producer, slots.length)
    if (producer === undefined) this.#nextBucket++
    const slot = slots[bucket]
    if (slot === undefined)
      return Promise.resolve(
        refusalAnswer(
          'MR1035',
          `No running pipeline takes events for "${ingest.slice('ingest/'.length)}".`,
        ),
      )
    const tooMany = this.#tooMany(slot)
    if (tooMany !== undefined) return Promise.resolve(refusalAnswer(tooMany.code, tooMany.what))
    const waiting = this.#bytes[slot] ?? 0
    if (waiting > 0 && waiting + body.length > this.#queueBytes) {
      const what = `${waiting} bytes of events wait for worker ${slot}; at most ${this.#queueBytes} may.`
      return Promise.resolve(refusalAnswer('MR1039', what))
    }
    const id = this.#nextId++
    // A view of a larger buffer would take the rest of it along.
    const owned = ownBytes(body)
    const message: ToWorker = {
      type: 'ingest',
      id,
      ingest,
      bucket,
      request: { ...request, body: owned },
    }
    const { length } = owned
    if (!this.#post(slot, message, [owned.buffer])) {
      return Promise.resolve(
        errorAnswer(new MillraceError('MR6004', `Worker ${slot} is being started.`)),
      )
    }
    this.#bytes[slot] = waiting + length
    this.#admissions[slot]?.begin()
    return new Promise((resolve) => this.#pending.set(id, { slot, bytes: length, resolve }))
  }

  answered(id: number, answer: IngestAnswer): void {
    this.#end(id, answer, true)
  }

  /** The worker is gone: whether it had committed what it was given, nobody can say, so the same is to be sent again. */
  lost(slot: number): void {
    const gone = new MillraceError('MR6005', 'The worker that held these events is gone.')
    for (const [id, pending] of this.#pending) {
      if (pending.slot === slot) this.#end(id, errorAnswer(gone), false)
    }
  }

  #end(id: number, answer: IngestAnswer, byWorker: boolean): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    this.#bytes[pending.slot] = (this.#bytes[pending.slot] ?? 0) - pending.bytes
    this.#admissions[pending.slot]?.end(byWorker)
    pending.resolve(answer)
  }

  #bucketOf(producer: ProducerRef | undefined, buckets: number): number {
    if (producer === undefined) return this.#nextBucket % buckets
    return (murmur2(encoder.encode(producer.id)) & 0x7fffffff) % buckets
  }

  #tooMany(slot: number): Refusal | undefined {
    const admission = this.#admissions[slot]
    if (admission === undefined || admission.admits()) return undefined
    const { waiting, most } = admission
    const what = `${waiting} requests wait for worker ${slot}; at most ${most} may, as fast as it answers now.`
    return { code: 'MR1039', what }
  }
}

function ownBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body
  if (buffer instanceof ArrayBuffer && body.byteLength === buffer.byteLength)
    return new Uint8Array(buffer)
  return body.slice()
}

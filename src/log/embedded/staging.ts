/** The writer's side of a commit: stages blocks, lays out the frame, sends it, and tells how it ended. */
import { assert } from '../../core/assert.ts'
import { xxh64 } from '../../core/hash.ts'
import { MillraceError, reviveError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import { controlBytes } from '../block.ts'
import type { Appended, CommitResult, Position, Writer } from '../log.ts'
import { align8, ENTRY_BYTES, newHead, putEntry, sectionKinds } from './format.ts'
import type { CommitRequest, StagedPosition } from './plan-commit.ts'
import type { CommitReply } from './protocol.ts'

interface Staged {
  readonly kind: number
  readonly topic: number
  readonly partition: number
  readonly count: number
  readonly length: number
  readonly hash: bigint
}

/** How a writer reaches the log. `payload` comes back with the reply, to be used again. */
export type SendCommit = (
  request: CommitRequest,
) => Promise<{ readonly reply: CommitReply; readonly payload: Uint8Array }>

const FIRST_BUFFER = 256 * 1024
const NOTHING = new Uint8Array(0)

export class StagingWriter implements Writer {
  readonly owner: string
  readonly epoch: number
  readonly #id: number
  readonly #send: SendCommit
  readonly #limit: number
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BUFFER)
  #used = 0
  #staged: Staged[] = []
  #topics = new Map<string, number>()
  #positions: StagedPosition[] = []
  #positionBytes = 0
  #committing = false
  #closed: MillraceError | undefined
  #last = { lsn: 0, commitNumber: 0 }

  constructor(
    owner: string,
    opened: { readonly id: number; readonly epoch: number },
    send: SendCommit,
    limit: number,
  ) {
    this.owner = owner
    this.epoch = opened.epoch
    this.#id = opened.id
    this.#send = send
    this.#limit = limit
  }

  get stagedBytes(): number {
    return this.#used + this.#positionBytes + this.#staged.length * ENTRY_BYTES
  }

  get stagedSections(): number {
    return this.#staged.length
  }

  append(topic: string, partition: number, block: Uint8Array, count: number): void {
    this.#stage(sectionKinds.records, topic, partition, block, count)
  }

  control(topic: string, partition: number, upstream: number, watermark: number): void {
    this.#stage(sectionKinds.control, topic, partition, controlBytes(upstream, watermark), 1)
  }

  state(store: string, partition: number, changes: Uint8Array, count: number): void {
    this.#stage(sectionKinds.state, store, partition, changes, count)
  }

  position(group: string, position: Position): void {
    assert(!this.#committing, 'I5: nothing is staged while a commit is under way')
    this.#positions.push({ group, ...position })
    this.#positionBytes += 64 + group.length + position.topic.length + position.meta.length
  }

  async commit(): Promise<CommitResult> {
    assert(!this.#committing, 'I5: one commit at a time')
    if (this.#closed !== undefined) {
      this.#clear()
      return { outcome: 'refused', error: this.#closed }
    }
    if (this.#staged.length === 0 && this.#positions.length === 0)
      return { outcome: 'committed', ...this.#last, appended: [] }
    const bytes = this.stagedBytes
    const sections = this.#staged.length
    if (bytes > this.#limit || sections >= limits.commitSections) {
      const what = `It has ${bytes} bytes in ${sections} sections; the limits are ${this.#limit} and ${limits.commitSections - 1}.`
      this.#clear()
      return { outcome: 'refused', error: new MillraceError('MR2013', what) }
    }
    const staged = this.#staged
    const topics = [...this.#topics.keys()]
    const request = this.#request(topics)
    this.#clear()
    this.#committing = true
    const { reply, payload } = await this.#send(request)
    this.#committing = false
    if (payload.buffer.byteLength > this.#buffer.length && payload.buffer instanceof ArrayBuffer) {
      this.#buffer = new Uint8Array(payload.buffer)
    }
    return this.#ended(reply, staged, topics)
  }

  async close(): Promise<void> {
    this.#closed ??= new MillraceError('MR2009', 'The writer is closed.')
    this.#clear()
  }

  #ended(reply: CommitReply, staged: readonly Staged[], topics: readonly string[]): CommitResult {
    if (reply.outcome !== 'committed') {
      const error = reviveError(reply.error)
      if (reply.outcome === 'unknown' || error.kind === 'fenced') this.#closed = error
      return { outcome: reply.outcome, error }
    }
    const { lsn, commitNumber, offsets } = reply
    this.#last = { lsn, commitNumber }
    const appended = staged.map((s, i): Appended => {
      const [baseOffset, nextOffset] = [offsets[2 * i]!, offsets[2 * i + 1]!]
      return { topic: topics[s.topic]!, partition: s.partition, baseOffset, nextOffset }
    })
    return { outcome: 'committed', lsn, commitNumber, appended }
  }

  #request(topics: readonly string[]): CommitRequest {
    const sections = this.#staged.length + (this.#positions.length > 0 ? 1 : 0)
    const head = newHead(sections)
    for (const [i, staged] of this.#staged.entries())
      putEntry(head, i, { ...staged, baseOffset: 0, nextOffset: 0 })
    // Sending a view of no bytes would copy all of the memory behind it.
    const payload = this.#used === 0 ? NOTHING : this.#buffer.subarray(0, this.#used)
    const appends = this.#staged.length > 0
    return {
      writer: this.#id,
      epoch: this.epoch,
      head,
      payload,
      topics,
      positions: this.#positions,
      appends,
    }
  }

  #stage(kind: number, topic: string, partition: number, bytes: Uint8Array, count: number): void {
    assert(!this.#committing, 'I5: nothing is staged while a commit is under way')
    assert(count > 0 && Number.isSafeInteger(count), 'a block holds at least one record')
    const end = this.#used + align8(bytes.length)
    if (end > this.#buffer.length) this.#grow(end)
    this.#buffer.set(bytes, this.#used)
    this.#buffer.fill(0, this.#used + bytes.length, end)
    let index = this.#topics.get(topic)
    if (index === undefined) this.#topics.set(topic, (index = this.#topics.size))
    this.#staged.push({
      kind,
      topic: index,
      partition,
      count,
      length: bytes.length,
      hash: xxh64(bytes),
    })
    this.#used = end
  }

  #grow(atLeast: number): void {
    let size = Math.max(this.#buffer.length, FIRST_BUFFER)
    while (size < atLeast) size *= 2
    const grown = new Uint8Array(size)
    // What was sent and did not come back cannot even be looked at.
    if (this.#used > 0) grown.set(this.#buffer.subarray(0, this.#used))
    this.#buffer = grown
  }

  #clear(): void {
    this.#used = 0
    this.#staged = []
    this.#topics = new Map()
    this.#positions = []
    this.#positionBytes = 0
  }
}

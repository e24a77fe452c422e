/**
 * One partition on its way to a sink: reads blocks, decodes rows, holds the batch that is being delivered and the outcome
 * that waits for its commit. At most one delivery is ahead of the log's committed position: that is what makes a crash
 * in between decidable.
 */
import { Arena } from '../core/arena.ts'
import { must } from '../core/assert.ts'
import { mark } from '../core/mark.ts'
import { MillraceError } from '../errors.ts'
import { BlockView } from '../log/block.ts'
import type { Position, Reader } from '../log/log.ts'
import type { Rejected, SinkBatch, SinkRecord, StoredPosition } from '../sinks/sink.ts'
import { balanced, noCounters } from './counters.ts'
import type { Decode, DecodedRow, Origin } from './deliver-decode.ts'
import type { TaskCounters } from './runner.ts'

/** A record that was read and not yet delivered for good; `raw` lives as long as the batch. */
interface Pending {
  readonly batch: SinkBatch
  /** Where the records come from, one each. */
  readonly decoded: readonly DecodedRow[]
  /** Records that could not be decoded. */
  readonly bad: readonly Failure[]
  /** Records that retention removed although the sink has them already. */
  readonly skipped: number
  /** Append times of the records read. */
  readonly ages: readonly Age[]
}

interface Age {
  readonly appendTime: number
  readonly count: number
}

/** A record that becomes a dead letter. */
export interface Failure {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | undefined
  readonly raw: Uint8Array
  readonly code: string
  readonly message: string
  /** How often it was tried, this time included. */
  readonly attempts: number
  /** Where it was read first, if that was not here. */
  readonly origin: Origin | undefined
}

/** What a finished delivery adds to the next commit. */
export interface Outcome {
  readonly to: number
  readonly meta: string
  readonly counters: TaskCounters
  readonly failures: readonly Failure[]
  readonly gap: Gap | undefined
}

/** Records that an operator gave up: the sink stands at `from` (`nowhere`: it has no position) while the log goes on at the position. */
interface Gap {
  readonly from: number
}

/** A lane's own trouble; what the sink as a whole has is the link's. */
export interface LaneTrouble {
  readonly status: 'failed' | 'behind-retention'
  readonly error: MillraceError
}

export type Filled =
  | { readonly kind: 'deliver'; readonly batch: SinkBatch }
  | { readonly kind: 'follow' }
  | { readonly kind: 'none' }

export interface LaneOptions {
  readonly task: string
  readonly topic: string
  readonly partition: number
  readonly reader: Reader
  readonly position: Position | undefined
  /** The first offset that can be read; where a lane without a position begins. */
  readonly earliest: number
  readonly transactional: boolean
  readonly maxRows: number
  readonly maxBytes: number
  readonly decode: Decode
}

const nowhere = -1
const arenaBytes = 128 * 1024
/** Offsets that hold no records (watermarks) are passed over in memory until there are this many. */
const farAhead = 1_024
const lenient = new TextDecoder()

export class Lane {
  readonly task: string
  readonly partition: number
  readonly reader: Reader
  paused = false
  trouble: LaneTrouble | undefined
  counters: TaskCounters
  /** Finished and waiting for `stage`. */
  outcome: Outcome | undefined
  /** In the commit under way. */
  staged: Outcome | undefined
  inFlight = false
  readonly #options: LaneOptions
  readonly #arena = new Arena(arenaBytes)
  readonly #view = new BlockView()
  #committed: { readonly offset: number; readonly gap: Gap | undefined } | undefined
  #placed = false
  /** Where the next record is read. */
  #at = 0
  /** Where the last outcome ended. */
  #settled = 0
  /** What a transactional sink has stored. */
  #stored: number | undefined
  /** Below this the sink has everything; only the log's copy must follow. */
  #until = 0
  #rejectedBefore: StoredPosition['rejected'] = []
  #pending: Pending | undefined
  /** An operator said that what is gone is gone. */
  #mayLose = false
  /** The block being read, and the next record in it. */
  #block: { readonly base: number; readonly next: number; row: number } | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    this.task = options.task
    this.partition = options.partition
    this.reader = options.reader
    const { counters, gap } = parseMeta(options.position?.meta)
    this.counters = counters
    if (options.position !== undefined) this.#committed = { offset: options.position.offset, gap }
    // Where it begins is committed before anything else: from here on whatever retention takes is a loss.
    else this.#end(options.earliest, counters, [], { from: nowhere })
  }

  /** Stands still until what was delivered is committed. */
  get busy(): boolean {
    return this.inFlight || this.outcome !== undefined || this.staged !== undefined
  }

  get placed(): boolean {
    return this.#placed
  }

  /** After the sink opened again: a sink with a position of its own is asked where it stands; others get the batch again. */
  displace(): void {
    if (!this.#options.transactional && this.#placed) return
    mark('deliver: the sink opened again')
    this.#placed = false
    if (!this.inFlight) this.#pending = undefined
  }

  /** Where retention begins now: a sink that is away for too long is told so before it comes back. */
  noteEarliest(earliest: number): void {
    const at = this.#placed ? this.#at : (this.#committed?.offset ?? earliest)
    if (this.busy || this.#pending !== undefined || this.trouble !== undefined) return
    if (at < earliest) this.#fallBehind(at, earliest)
  }

  /** Records committed and not yet delivered; an upper bound. */
  get lag(): number {
    const here = this.#block === undefined ? 0 : this.#view.count - this.#block.row
    return this.reader.lag() + here + (this.#pending?.batch.records.length ?? 0)
  }

  /** Nothing ever came, or the sink has all of it: no need to talk to the sink. */
  get quiet(): boolean {
    return this.lag === 0 && !this.inFlight && this.trouble === undefined
  }

  /** Before it is placed: lets `reader.wait` know what was seen, so that it waits for more. */
  glance(): void {
    this.#arena.reset()
    this.reader.next(this.#arena)
  }

  /** After an operator's word: what stood in the way may be gone. */
  retry(): void {
    this.trouble = undefined
    this.#placed = false
    this.#pending = undefined
  }

  /** Decides where to go on: a transactional sink's own position is the true one. */
  place(stored: StoredPosition | undefined, next: number): void {
    const log = must(this.#committed, 'a lane is placed after its position is known')
    const gaveUp = log.gap !== undefined && log.gap.from === (stored?.offset ?? nowhere)
    this.#placed = true
    this.#stored = stored?.offset
    this.#rejectedBefore = stored?.rejected ?? []
    this.#until = stored !== undefined && !gaveUp && stored.offset > log.offset ? stored.offset : 0
    if (gaveUp || !this.#options.transactional) this.#seek(log.offset)
    // A sink that lost what it had gets it again, from the start of the topic where it knows nothing at all.
    else this.#seek(Math.min(log.offset, stored?.offset ?? 0))
    if (stored !== undefined && this.#until > next) this.#fail(this.#outside(stored, next))
  }

  /**
   * Reads the next batch. `deliver`: hand `batch` over. `follow`: nothing to hand over, the outcome is there.
   * `none`: nothing to read, or trouble.
   */
  fill(rows: number): Filled {
    if (this.#pending !== undefined) return { kind: 'deliver', batch: this.#pending.batch }
    const following = this.#at < this.#until
    const pending = this.#read(Math.min(rows, this.#options.maxRows))
    if (this.outcome !== undefined) return { kind: 'follow' }
    const { records } = pending.batch
    const something = records.length + pending.bad.length + pending.skipped > 0
    const arrived = following && this.#at >= this.#until
    if (!something && !arrived && this.#at - this.#settled < farAhead) return { kind: 'none' }
    this.#pending = pending
    if (following) mark('deliver: the sink is ahead of the log')
    if (following) {
      this.#finish(rejectedIn(records, this.#rejectedBefore))
      return { kind: 'follow' }
    }
    if (records.length > 0 || this.#options.transactional)
      return { kind: 'deliver', batch: pending.batch }
    this.#finish([])
    return { kind: 'follow' }
  }

  /** The sink has the batch; `observe` gets the append times of its records. */
  delivered(
    rejected: readonly Rejected[],
    observe: (appendTime: number, count: number) => void,
  ): void {
    const pending = must(this.#pending, 'a delivered batch is pending')
    for (const { appendTime, count } of pending.ages) observe(appendTime, count)
    if (this.#options.transactional) this.#stored = pending.batch.to
    this.#finish(rejected)
  }

  stage(): Outcome | undefined {
    if (this.outcome === undefined) return undefined
    this.staged = this.outcome
    this.outcome = undefined
    return this.staged
  }

  committed(): void {
    if (this.staged === undefined) return
    this.#committed = { offset: this.staged.to, gap: this.staged.gap }
    this.counters = this.staged.counters
    this.staged = undefined
  }

  /** The operator gives up what retention removed: it is counted, and the sink goes on behind it. */
  giveUp(): void {
    if (this.trouble?.status !== 'behind-retention' || this.busy) return
    this.trouble = undefined
    this.#mayLose = true
    // Retention went on meanwhile: only the reader knows what is the earliest now.
    if (this.#placed) this.#seek(this.#at)
  }

  #read(rows: number): Pending {
    const from = this.#stored ?? this.#at
    const records: SinkRecord[] = []
    const decoded: DecodedRow[] = []
    const bad: Failure[] = []
    const ages: Age[] = []
    const limit = this.#at < this.#until ? this.#until : Infinity
    let left = this.#options.maxBytes
    let skipped = 0
    // Rows of the batch before are gone; a block that is still being read keeps its bytes.
    if (this.#block === undefined) this.#arena.reset()
    while (records.length + bad.length < rows && left > 0 && this.#at < limit) {
      const block = this.#block ?? this.#nextBlock(records.length + bad.length === 0)
      if (block === 'none') break
      if (block === 'end') {
        if (limit < Infinity) this.#at = limit
        break
      }
      if (typeof block === 'number') {
        skipped += block
        continue
      }
      const before = records.length + bad.length
      while (block.row < this.#view.count && records.length + bad.length < rows && left > 0) {
        const offset = block.base + block.row
        if (offset >= limit) break
        if (offset >= this.#at) left -= this.#take(block.row, offset, records, decoded, bad)
        block.row++
        this.#at = Math.max(this.#at, offset + 1)
      }
      const count = records.length + bad.length - before
      if (count > 0) ages.push({ appendTime: this.#view.appendTime, count })
      if (block.row === this.#view.count) {
        this.#at = Math.max(this.#at, Math.min(block.next, limit))
        this.#block = undefined
      } else if (block.base + block.row >= limit) {
        this.#at = limit
      }
    }
    return {
      batch: { partition: this.partition, from, to: this.#at, records },
      decoded,
      bad,
      skipped,
      ages,
    }
  }

  /**
   * The next block of records; `end` where nothing newer is committed; `none` where the arena is full or in trouble; a
   * number where that many records are gone that the sink has.
   */
  #nextBlock(
    empty: boolean,
  ): { readonly base: number; readonly next: number; row: number } | 'end' | 'none' | number {
    for (;;) {
      const read = this.reader.next(this.#arena)
      switch (read.result) {
        case 'caught-up':
          return 'end'
        case 'arena-full':
          if (!empty) return 'none'
          this.#arena.reset()
          break
        case 'corrupt':
          this.#fail(read.error)
          return 'none'
        case 'gone':
          return this.#gone(read.earliest)
        case 'block':
          this.#mayLose = false
          if (read.kind === 'records') {
            if (this.#view.read(read.bytes)) {
              this.#block = { base: read.baseOffset, next: read.nextOffset, row: 0 }
              return this.#block
            }
            const { topic, partition } = this.#options
            this.#fail(
              new MillraceError(
                'MR2005',
                `The block at offset ${read.baseOffset} of ${topic}/${partition} is malformed.`,
              ),
            )
            return 'none'
          }
          this.#at = Math.max(this.#at, read.nextOffset)
      }
    }
  }

  #gone(earliest: number): 'none' | number {
    if (this.#at < this.#until) {
      const to = Math.min(earliest, this.#until)
      const skipped = to - this.#at
      this.#seek(to)
      return skipped
    }
    if (this.#mayLose) {
      this.#lose(earliest)
      return 'none'
    }
    this.#fallBehind(this.#at, earliest)
    return 'none'
  }

  #fallBehind(at: number, earliest: number): void {
    const { topic, partition } = this.#options
    const error = new MillraceError(
      'MR5008',
      `${earliest - at} records of ${topic}/${partition} (offsets ${at} to ${earliest - 1}) were not delivered.`,
    )
    this.trouble = { status: 'behind-retention', error }
  }

  #lose(earliest: number): void {
    const lost = earliest - this.#at
    const { counters } = this
    this.#mayLose = false
    this.#seek(earliest)
    const after = { ...counters, read: counters.read + lost, expired: counters.expired + lost }
    this.#end(earliest, after, [], { from: this.#stored ?? nowhere })
  }

  /** Decodes record `row` of the block. Returns the bytes it counts for. */
  #take(
    row: number,
    offset: number,
    records: SinkRecord[],
    decoded: DecodedRow[],
    bad: Failure[],
  ): number {
    const keyBytes = this.#view.key(row)
    const value = this.#view.value(row)
    const time = must(this.#view.timestamps[row], 'every record has a timestamp')
    const key = keyBytes === undefined ? undefined : lenient.decode(keyBytes)
    const one = this.#options.decode(time, key, value)
    if (typeof one.row === 'string') {
      bad.push(failureOf(one, offset, { code: 'MR5001', message: one.row }))
    } else {
      records.push({ offset, timestamp: one.timestamp, key: one.key, value: one.row })
      decoded.push(one)
    }
    return (value?.length ?? 0) + (keyBytes?.length ?? 0) + 64
  }

  #finish(rejected: readonly Rejected[]): void {
    const pending = must(this.#pending, 'an outcome has its batch')
    const failures = [...pending.bad]
    for (const { index, code, message } of rejected) {
      const record = must(pending.batch.records[index], 'a rejected record is one of the batch')
      const one = must(pending.decoded[index], 'every record was decoded')
      failures.push(failureOf(one, record.offset, { code, message }))
    }
    failures.sort((a, b) => a.offset - b.offset)
    const taken = pending.batch.records.length - rejected.length + pending.skipped
    const { counters } = this
    this.#pending = undefined
    this.#end(
      pending.batch.to,
      {
        ...counters,
        read: counters.read + taken + failures.length,
        processed: counters.processed + taken,
        deadLettered: counters.deadLettered + failures.length,
      },
      failures,
      undefined,
    )
  }

  #end(
    to: number,
    counters: TaskCounters,
    failures: readonly Failure[],
    gap: Gap | undefined,
  ): void {
    this.#settled = to
    this.outcome = {
      to,
      counters,
      failures,
      gap,
      meta: JSON.stringify({ counters: balanced(counters), gap }),
    }
  }

  #seek(offset: number): void {
    const { topic, partition } = this.#options
    this.#at = offset
    this.#settled = offset
    this.#block = undefined
    this.#pending = undefined
    this.reader.seek({ topic, partition, offset })
  }

  #fail(error: MillraceError): void {
    this.trouble = { status: 'failed', error }
  }

  #outside({ offset, forget = '' }: StoredPosition, next: number): MillraceError {
    const { topic, partition } = this.#options
    const what = `The sink stands at offset ${offset} of ${topic}/${partition}, which ends at ${next}.`
    return new MillraceError('MR5004', `${what} ${forget}`.trimEnd())
  }
}

const noBytes = new Uint8Array(0)

function failureOf(
  { timestamp, key, raw, attempts, origin }: DecodedRow,
  offset: number,
  why: { readonly code: string; readonly message: string },
): Failure {
  return { offset, timestamp, key, raw: raw ?? noBytes, attempts, origin, ...why }
}

function rejectedIn(
  records: readonly SinkRecord[],
  before: StoredPosition['rejected'],
): Rejected[] {
  const found: Rejected[] = []
  for (const { offset, code, message } of before) {
    const index = records.findIndex((record) => record.offset === offset)
    if (index >= 0) found.push({ index, code, message })
  }
  return found
}

function parseMeta(meta: string | undefined): { counters: TaskCounters; gap: Gap | undefined } {
  if (meta === undefined || meta === '') return { counters: noCounters(), gap: undefined }
  const value = JSON.parse(meta) as { counters?: Partial<TaskCounters>; gap?: Gap }
  return { counters: { ...noCounters(), ...value.counters }, gap: value.gap }
}

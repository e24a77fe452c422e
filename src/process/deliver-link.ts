/**
 * The way to a sink: opens its writer, counts what is under way, and after a failure closes it, waits and opens it
 * again, for ever. A sink may hang or be away for days; nothing here ever makes a worker wait.
 */
import { backoff } from '../core/backoff.ts'
import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { PartitionOffsets } from '../log/log.ts'
import type {
  Rejected,
  Sink,
  SinkBatch,
  SinkContext,
  SinkWriter,
  StoredPosition,
} from '../sinks/sink.ts'

/** What is known when the sink's writer opened. */
export interface Opened {
  /** By partition; partitions the sink knows nothing of are not in it. */
  readonly stored: ReadonlyMap<number, StoredPosition>
  /** Of the topic, asked after the sink: what the sink stands behind must be in the log by then. */
  readonly offsets: readonly PartitionOffsets[]
}

type LinkState =
  | { readonly kind: 'closed'; readonly openAt: number }
  | { readonly kind: 'opening' }
  | { readonly kind: 'open'; readonly writer: SinkWriter }
  /** Trying again cannot help: stays so until `retry`. */
  | { readonly kind: 'refused' }

export class SinkLink {
  readonly #env: Env
  readonly #sink: Sink
  readonly #context: SinkContext
  readonly #offsets: () => Promise<readonly PartitionOffsets[]>
  readonly #onChange: () => void
  #state: LinkState = { kind: 'closed', openAt: 0 }
  #writer: SinkWriter | undefined
  /** Rises with every opening and failure: one writer fails once, however many deliveries fail with it. */
  #generation = 0
  /** Rises with `close`: what was under way then is nobody's any more. */
  #closes = 0
  #underWay = 0
  /** Closing of the writer before this one; the next opening waits for it. */
  #closing: Promise<void> = Promise.resolve()
  #settled: (() => void) | undefined
  #opened: Opened | undefined
  /** Failures in a row. */
  #attempts = 0
  failures = 0
  #error: MillraceError | undefined
  /** Openings and deliveries that have no answer yet, the oldest first: when they began. */
  readonly #asked = new Set<{ readonly monotonic: number; readonly wall: number }>()

  constructor(
    env: Env,
    sink: Sink,
    context: SinkContext,
    offsets: () => Promise<readonly PartitionOffsets[]>,
    onChange: () => void,
  ) {
    this.#env = env
    this.#sink = sink
    this.#context = context
    this.#offsets = offsets
    this.#onChange = onChange
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open'
  }

  /** `retrying` after the first failure until the next delivery that goes well, and while there is no answer. */
  get status(): 'running' | 'retrying' | 'failed' {
    if (this.#state.kind === 'refused') return 'failed'
    return this.error === undefined ? 'running' : 'retrying'
  }

  get error(): MillraceError | undefined {
    const [oldest] = this.#asked
    const { clock } = this.#env
    if (oldest === undefined || clock.monotonic() - oldest.monotonic < limits.deliverSilenceMs)
      return this.#error
    const since = new Date(oldest.wall).toISOString()
    return new MillraceError('MR5012', `It was asked at ${since} and has not answered since.`)
  }

  /** Something is in its way that `retry` may get out of it. */
  get stands(): boolean {
    return (
      this.#state.kind === 'refused' || (this.#state.kind === 'closed' && this.#error !== undefined)
    )
  }

  get underWay(): number {
    return this.#underWay
  }

  get wakeAt(): number | undefined {
    return this.#state.kind === 'closed' ? this.#state.openAt : undefined
  }

  /** Starts opening when it is time. Returns what a fresh opening found, once. */
  step(): Opened | undefined {
    if (this.#state.kind === 'closed' && this.#env.clock.monotonic() >= this.#state.openAt) {
      this.#state = { kind: 'opening' }
      void this.#open(++this.#generation)
    }
    const opened = this.#opened
    this.#opened = undefined
    return opened
  }

  /**
   * Hands a batch over. Resolves with what was rejected; `undefined` when the delivery failed or the link was closed in
   * the meantime, in which case it is unknown what arrived. One delivery's failure says nothing about its neighbours'.
   */
  async deliver(batch: SinkBatch): Promise<readonly Rejected[] | undefined> {
    if (this.#state.kind !== 'open') return undefined
    const generation = this.#generation
    const closes = this.#closes
    const { writer } = this.#state
    const asked = this.#ask()
    this.#underWay++
    try {
      const rejected = await writer.deliver(batch)
      if (closes !== this.#closes) return undefined
      if (generation === this.#generation) {
        this.#attempts = 0
        this.#error = undefined
      }
      return rejected
    } catch (error) {
      if (generation === this.#generation) this.#fail(asMillraceError(error))
      return undefined
    } finally {
      this.#asked.delete(asked)
      this.#underWay--
      if (this.#underWay === 0) this.#settled?.()
      this.#onChange()
    }
  }

  /** After `refused`: the operator says that it may work now. */
  retry(): void {
    if (this.#state.kind !== 'refused' && this.#state.kind !== 'closed') return
    this.#attempts = 0
    this.#state = { kind: 'closed', openAt: 0 }
    this.#onChange()
  }

  /** Asks the sink anew where it stands: what it said when it opened is old by now. Deliveries under way go on. */
  reopen(): void {
    if (this.#state.kind !== 'open') return
    this.#generation++
    this.#opened = undefined
    this.#state = { kind: 'closed', openAt: 0 }
    this.#closeWriter()
    this.#onChange()
  }

  /** Forgets the writer; a later `step` opens another one. Resolves when nothing is under way and it is closed. */
  close(): Promise<void> {
    this.#generation++
    this.#closes++
    this.#opened = undefined
    this.#state = { kind: 'closed', openAt: 0 }
    this.#attempts = 0
    this.#error = undefined
    this.#closeWriter()
    return this.#closing
  }

  async #open(generation: number): Promise<void> {
    await this.#closing
    const asked = this.#ask()
    let writer: SinkWriter | undefined
    try {
      if (this.#sink.open === undefined)
        throw new MillraceError('MR5009', `The sink ${this.#sink.kind} takes no deliveries.`)
      writer = await this.#sink.open(this.#context)
      const stored = new Map<number, StoredPosition>()
      for (const partition of this.#context.partitions) {
        const position = await writer.stored?.(partition)
        if (position !== undefined) stored.set(partition, position)
      }
      const offsets = await this.#offsets()
      if (generation === this.#generation) {
        this.#writer = writer
        this.#opened = { stored, offsets }
        this.#state = { kind: 'open', writer }
      } else {
        await writer.close()
      }
    } catch (error) {
      if (writer !== undefined) await closeQuietly(writer)
      if (generation === this.#generation) this.#fail(asMillraceError(error))
    }
    this.#asked.delete(asked)
    this.#onChange()
  }

  #ask(): { readonly monotonic: number; readonly wall: number } {
    const { clock } = this.#env
    const asked = { monotonic: clock.monotonic(), wall: clock.now() }
    this.#asked.add(asked)
    return asked
  }

  #fail(error: MillraceError): void {
    this.failures++
    this.#error = error
    const refused = error.kind !== 'unavailable'
    const bounds = { baseMs: limits.deliverBackoffMs, maxMs: limits.deliverBackoffMaxMs }
    const asked = error.details['retryAfterMs']
    const wait = Math.max(
      backoff(bounds, ++this.#attempts, this.#env.random),
      typeof asked === 'number' ? asked : 0,
    )
    this.#generation++
    this.#opened = undefined
    this.#state = refused
      ? { kind: 'refused' }
      : { kind: 'closed', openAt: this.#env.clock.monotonic() + wait }
    this.#closeWriter()
  }

  #closeWriter(): void {
    const writer = this.#writer
    this.#writer = undefined
    if (writer === undefined) return
    this.#closing = this.#closing.then(async () => {
      await this.#quiet()
      await closeQuietly(writer)
    })
  }

  /** Resolves when nothing is under way; a delivery that never ends is not waited for for ever. */
  async #quiet(): Promise<void> {
    if (this.#underWay === 0) return
    const stop = new AbortController()
    this.#settled = () => stop.abort()
    await this.#env.timers.sleep(limits.deliverCloseMs, stop.signal)
    this.#settled = undefined
  }
}

/** What a writer acknowledged is safe already; that it cannot be closed changes nothing. */
async function closeQuietly(writer: SinkWriter): Promise<void> {
  try {
    await writer.close()
  } catch {
    // See above.
  }
}

function asMillraceError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new MillraceError('MR5007', `${text}.`, { cause: error })
}

/**
 * Deliver tasks: all partitions of one sink on one worker. Each lane reads on its own, hands one batch at a time to
 * the sink without waiting for it, and commits its position (with the dead letters of that batch) when the sink has it.
 * A sink that hangs, fails or refuses holds up nothing but itself.
 */
import type { Env } from '../core/env/env.ts'
import { messageOf } from '../errors.ts'
import { limits } from '../limits.ts'
import { BlockBuilder } from '../log/block.ts'
import type { Log, Writer } from '../log/log.ts'
import type { DeliverPlan } from '../plan/plan.ts'
import type { Sink, SinkBatch, SinkContext } from '../sinks/sink.ts'
import { encodeLetter, letterId } from './dead-letters.ts'
import { decodeRecord, decodeReplayed } from './deliver-decode.ts'
import { Lane } from './deliver-lane.ts'
import type { Failure } from './deliver-lane.ts'
import { SinkLink } from './deliver-link.ts'
import type { Opened } from './deliver-link.ts'
import type {
  DeliveryReport,
  Runner,
  StepBudget,
  StepResult,
  TaskReport,
  TaskStatus,
} from './runner.ts'

export interface DeliverOptions {
  readonly env: Env
  readonly log: Log
  readonly plan: DeliverPlan
  readonly sink: Sink
  readonly pipeline: string
  readonly planHash: string
  /** Identity of the data directory. */
  readonly logId: string
  /** Rises with every worker that is given these partitions, in this process or a later one: the fence of the sink. */
  readonly epoch: number
  /** Topic of the pipeline's dead letters. */
  readonly deadLetters: string
  /** The partitions that this worker delivers. */
  readonly partitions: readonly number[]
  /** The records are dead letters on their way back: see `replayOf`. */
  readonly replays?: boolean
}

/**
 * The same sink fed from its replay topic, as a runner of its own: with its own position in the sink, since replayed rows
 * come beside those of the topic. Undefined where the plan has no such topic. One worker runs it, for all partitions.
 */
export function replayOf(options: DeliverOptions): DeliverRunner | undefined {
  const { plan } = options
  if (plan.replay === undefined || !options.partitions.includes(0)) return undefined
  const replay = { ...plan, id: `${plan.id}.replay`, topic: plan.replay, partitions: 1 }
  return new DeliverRunner({ ...options, plan: replay, partitions: [0], replays: true })
}

/** What one lane adds to a commit besides its dead letters, roughly. */
const positionBytes = 512
const boundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000]
/** Why a wait ends: an abort without a reason makes an error with a stack, each time. */
const over = 'the wait is over'
const encoder = new TextEncoder()

export class DeliverRunner implements Runner {
  readonly id: string
  readonly tasks: readonly string[]
  readonly #options: DeliverOptions
  readonly #counts: number[] = new Array<number>(boundsMs.length + 1).fill(0)
  #sumMs = 0
  #link: SinkLink | undefined
  #lanes: Lane[] = []
  #opened: Opened = { stored: new Map(), offsets: [] }
  readonly #paused = new Set<string>()
  /** Tasks that an operator wants to go on. */
  readonly #goOn = new Set<string>()
  #first = 0
  /** Failures of the link after which retention was looked at. */
  #checkedFailures = 0
  #awake = false
  #woken = false
  #wake: (() => void) | undefined

  constructor(options: DeliverOptions) {
    this.#options = options
    this.id = options.plan.id
    this.tasks = options.partitions.map((partition) => `${this.id}/${partition}`)
  }

  async open(): Promise<void> {
    const { log, plan, partitions, sink } = this.#options
    await log.topics.hold(plan.id, plan.topic, plan.hold.ms, plan.hold.bytes)
    const positions = await log.positions(plan.id)
    const offsets = await log.topics.offsets(plan.topic)
    const [topic] = await log.topics.list(plan.topic)
    // Each is where `close` finds it, should opening end half way.
    const lanes: Lane[] = []
    this.#lanes = lanes
    for (const partition of partitions) {
      const position = positions.find((p) => p.topic === plan.topic && p.partition === partition)
      const earliest = offsets[partition]?.earliest ?? 0
      const from = { topic: plan.topic, partition, offset: position?.offset ?? earliest }
      const lane = new Lane({
        task: `${plan.id}/${partition}`,
        topic: plan.topic,
        partition,
        reader: await log.reader([from]),
        position,
        earliest,
        transactional: sink.guarantee === 'transactional',
        maxRows: Math.min(sink.batch?.rows ?? limits.deliverRows, limits.deliverRows),
        maxBytes: Math.min(sink.batch?.bytes ?? limits.deliverBytes, limits.deliverBytes),
        decode: this.#options.replays === true ? decodeReplayed : decodeRecord,
      })
      // Reports are made while the others open.
      lane.paused = this.#paused.has(lane.task)
      lanes.push(lane)
    }
    this.#link ??= new SinkLink(
      this.#options.env,
      sink,
      this.#sinkContext(topic?.id ?? 0),
      () => log.topics.offsets(plan.topic),
      () => this.#notify(),
    )
  }

  step(budget: StepBudget): StepResult {
    const link = this.#link
    if (link === undefined) return 'idle'
    if (this.#asleep()) {
      for (const lane of this.#lanes) lane.glance()
      if (this.#asleep()) return 'idle'
    }
    this.#awake = true
    let worked = this.#heed(link)
    const opened = link.step()
    if (opened !== undefined) {
      this.#opened = opened
      for (const lane of this.#lanes) lane.displace()
      worked = true
    }
    if (link.failures !== this.#checkedFailures) {
      this.#checkedFailures = link.failures
      void this.#checkRetention()
    }
    let rows = budget.rows
    this.#first++
    for (const lane of this.#inTurn()) {
      if (rows <= 0 || !link.isOpen || link.underWay >= limits.deliverInFlight) break
      if (lane.busy || lane.paused || lane.trouble !== undefined) continue
      if (!lane.placed) this.#place(lane)
      if (lane.trouble !== undefined) continue
      const filled = lane.fill(rows)
      if (filled.kind === 'none') continue
      worked = true
      if (filled.kind === 'follow') continue
      rows -= filled.batch.records.length
      void this.#deliver(link, lane, filled.batch)
    }
    return worked ? 'worked' : 'idle'
  }

  get stagedBytes(): number {
    let bytes = 0
    for (const lane of this.#due()) bytes += outcomeBytes(lane)
    return bytes
  }

  get wakeAt(): number | undefined {
    return this.#asleep() ? undefined : this.#link?.wakeAt
  }

  stage(writer: Writer): void {
    const { plan, deadLetters, env } = this.#options
    const letters = new BlockBuilder()
    for (const lane of this.#due()) {
      const outcome = lane.stage()
      if (outcome === undefined) continue
      const { to, meta, failures } = outcome
      for (const failure of failures) {
        letters.add(failure.timestamp, this.#keyOf(failure), this.#letter(lane.partition, failure))
      }
      writer.position(plan.id, { topic: plan.topic, partition: lane.partition, offset: to, meta })
    }
    const { count } = letters
    if (count > 0) writer.append(deadLetters, 0, letters.finish(env.clock.now()), count)
  }

  committed(): void {
    for (const lane of this.#lanes) lane.committed()
  }

  reset(): void {
    void this.#link?.close()
    this.#awake = false
    for (const lane of this.#lanes) lane.reader.close()
    this.#lanes = []
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#woken) {
      this.#woken = false
      return
    }
    const stop = new AbortController()
    const onAbort = (): void => stop.abort(over)
    signal.addEventListener('abort', onAbort, { once: true })
    const news = [
      new Promise<void>((resolve) => {
        this.#wake = resolve
        stop.signal.addEventListener('abort', () => resolve(), { once: true })
      }),
    ]
    const link = this.#link
    // With all hands full only a delivery that ends makes a difference, whatever there is to read.
    const free = link?.isOpen === true && link.underWay < limits.deliverInFlight
    if (free || this.#asleep()) {
      for (const lane of this.#lanes) {
        if (!lane.busy && !lane.paused && lane.trouble === undefined)
          news.push(lane.reader.wait(stop.signal))
      }
    }
    await Promise.race(news)
    this.#wake = undefined
    this.#woken = false
    stop.abort(over)
    signal.removeEventListener('abort', onAbort)
  }

  pause(task: string): void {
    if (!this.tasks.includes(task)) return
    this.#paused.add(task)
    for (const lane of this.#lanes) if (lane.task === task) lane.paused = true
  }

  /** Ends a pause; a task that stopped tries again, and one behind retention goes on from the earliest record. */
  resume(task: string): boolean {
    const paused = this.#paused.delete(task)
    const lane = this.#lanes.find((each) => each.task === task)
    if (lane === undefined) return paused
    lane.paused = false
    const stands = lane.trouble !== undefined || this.#link?.stands === true
    if (stands) this.#goOn.add(task)
    this.#notify()
    return paused || stands
  }

  report(): readonly TaskReport[] {
    const delivery: DeliveryReport = {
      boundsMs,
      counts: [...this.#counts],
      sumMs: this.#sumMs,
      failures: this.#link?.failures ?? 0,
    }
    return this.#lanes.map((lane) => {
      const error = lane.trouble?.error ?? this.#link?.error
      return {
        id: lane.task,
        status: this.#status(lane),
        counters: { ...lane.counters },
        lag: lane.lag,
        watermark: undefined,
        stateKeys: 0,
        stateBytes: 0,
        delivery,
        ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      }
    })
  }

  async close(): Promise<void> {
    const closing = this.#link?.close()
    this.#link = undefined
    for (const lane of this.#lanes) lane.reader.close()
    this.#lanes = []
    await closing
  }

  async #deliver(link: SinkLink, lane: Lane, batch: SinkBatch): Promise<void> {
    const { clock } = this.#options.env
    lane.inFlight = true
    const rejected = await link.deliver(batch)
    lane.inFlight = false
    if (rejected === undefined) return
    const now = clock.now()
    lane.delivered(rejected, (appendTime, count) =>
      this.#observe(Math.max(0, now - appendTime), count),
    )
    this.#notify()
  }

  /** Lanes whose outcomes the next commit takes, by turns: where a sink refuses all it gets, not those of all of them. */
  #due(): readonly Lane[] {
    const due: Lane[] = []
    let bytes = 0
    for (const lane of this.#inTurn()) {
      const own = outcomeBytes(lane)
      if (own === 0 || (bytes > 0 && bytes + own > limits.taskStageBytes)) continue
      bytes += own
      due.push(lane)
    }
    return due
  }

  #inTurn(): readonly Lane[] {
    const first = this.#lanes.length === 0 ? 0 : this.#first % this.#lanes.length
    return [...this.#lanes.slice(first), ...this.#lanes.slice(0, first)]
  }

  /** Most sinks never get a letter back: they need no second connection until they do. */
  #asleep(): boolean {
    return this.#options.replays === true && !this.#awake && this.#lanes.every((lane) => lane.quiet)
  }

  #place(lane: Lane): void {
    const { stored, offsets } = this.#opened
    lane.place(stored.get(lane.partition), offsets[lane.partition]?.next ?? 0)
  }

  /** A sink that cannot be reached reads nothing, so nothing else would tell that retention went past it. */
  async #checkRetention(): Promise<void> {
    const { log, plan } = this.#options
    // When the log cannot answer, the worker that uses it finds out by itself.
    const offsets = await log.topics.offsets(plan.topic).catch(() => [])
    for (const lane of this.#lanes) lane.noteEarliest(offsets[lane.partition]?.earliest ?? 0)
  }

  /** Does what operators asked for, where the lane stands still. */
  #heed(link: SinkLink): boolean {
    if (this.#goOn.size === 0) return false
    let heeded = false
    for (const lane of this.#lanes) {
      if (!this.#goOn.has(lane.task) || lane.busy) continue
      heeded = true
      this.#goOn.delete(lane.task)
      if (lane.trouble?.status === 'behind-retention') lane.giveUp()
      else if (lane.trouble !== undefined) {
        lane.retry()
        link.reopen()
      }
      link.retry()
    }
    return heeded
  }

  #status(lane: Lane): TaskStatus {
    if (lane.trouble !== undefined) return lane.trouble.status
    if (lane.paused) return 'paused'
    return this.#link?.status ?? 'running'
  }

  #observe(ms: number, count: number): void {
    const at = boundsMs.findIndex((bound) => ms <= bound)
    const bucket = at < 0 ? boundsMs.length : at
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count
    this.#sumMs += ms * count
  }

  #letter(here: number, failure: Failure): Uint8Array {
    const { plan, planHash, env, replays } = this.#options
    const { origin, offset: at, code, message, attempts, timestamp, key, raw } = failure
    // A letter that fails again goes back to the same sink.
    const stage = replays === true ? plan.id.slice(0, -'.replay'.length) : plan.id
    const { topic, partition, offset } = origin ?? {
      topic: plan.topic,
      partition: here,
      offset: at,
    }
    return encodeLetter({
      id: letterId(stage, plan.kind, topic, partition, offset),
      stage,
      operator: plan.kind,
      node: plan.node,
      code,
      message: messageOf(code, message),
      attempts,
      planHash,
      topic,
      partition,
      offset,
      timestamp,
      watermark: undefined,
      upstream: undefined,
      key,
      raw,
      at: env.clock.now(),
    })
  }

  #keyOf(failure: Failure): Uint8Array | undefined {
    return failure.key === undefined ? undefined : encoder.encode(failure.key)
  }

  #notify(): void {
    this.#woken = true
    this.#wake?.()
  }

  #sinkContext(topicId: number): SinkContext {
    const { env, logId, pipeline, plan, epoch, partitions } = this.#options
    // A topic that was deleted and made again is another one, although its offsets look the same.
    return { env, logId: `${logId}/${topicId}`, pipeline, name: nameOf(plan.id), epoch, partitions }
  }
}

function outcomeBytes({ outcome }: Lane): number {
  if (outcome === undefined) return 0
  let bytes = positionBytes
  for (const { raw } of outcome.failures) bytes += raw.length * 2 + positionBytes
  return bytes
}

function nameOf(id: string): string {
  return id.slice(id.indexOf('/') + 1)
}

/** Takes records off the queue, judges them, makes rows of them, and sends the rows through the operators. */
import { must } from '../core/assert.ts'
import { MillraceError } from '../errors.ts'
import type { BlockView } from '../log/block.ts'
import type { Reader } from '../log/log.ts'
import type { BlockQueue, QueuedBlock } from './block-queue.ts'
import { earliestTime, latestTime } from './ingest-time.ts'
import { JsonRows } from './json-rows.ts'
import type { BuiltStage } from './operators/build.ts'
import { TableUpdate } from './operators/enrich.ts'
import type { Operator } from './operators/operator.ts'
import { Fanout } from './operators/operator.ts'
import type { ProcessRunnerOptions } from './process-runner.ts'
import { neededPaths } from './operators/projection.ts'
import { decodeReplay } from './dead-letters.ts'
import type { ReplayRecord } from './dead-letters.ts'
import { fromKeyJson } from './keys.ts'
import type { GroupKey } from './keys.ts'
import { decodePartial } from './windows/partials.ts'
import { readsOf } from './reads.ts'
import { Replays } from './replays.ts'
import type { ReplayInput } from './replays.ts'
import type { Refused, RowPlace, RowReader } from './row-reader.ts'
import type { RowBatch } from './rows.ts'
import { RowList } from './rows.ts'
import { theScanner } from './the-scanner.ts'
import { ScannedRows } from './scanned-rows.ts'
import { shapeAt } from './shape.ts'
import { Shedding } from './shedding.ts'
import { placeName } from './stage-fates.ts'
import type { StageFates } from './stage-fates.ts'
import type { Task } from './task.ts'

interface InputState extends ReplayInput {
  readonly index: number
  readonly topic: string
  readonly node: number
  readonly rows: RowReader
  /** Watermark bound and bound on the future; streams only. */
  readonly boundMs: number
  readonly futureMs: number
  readonly shedding: Shedding | undefined
}

export class StageInputs {
  readonly #options: ProcessRunnerOptions
  readonly #tasks: readonly (Task | undefined)[]
  readonly #built: BuiltStage
  readonly #fates: StageFates
  readonly #queue: BlockQueue
  readonly #reader: Reader
  readonly #inputs: readonly InputState[]
  /** Tables first: their rows are applied before the streams' within a step. */
  readonly #order: readonly InputState[]
  readonly #byTopic = new Map<string, InputState>()
  readonly #selection = new RowList()
  readonly #place: RowPlace = { task: 0, baseOffset: 0 }
  /** Records of a block that became no rows, as they are read. */
  #refusals: { readonly i: number; readonly error: MillraceError }[] = []
  readonly #refuse: Refused = (i, error) => void this.#refusals.push({ i, error })
  /** Records that become dead letters unseen: they hold up a worker, or make more than a commit holds. */
  readonly #refused = new Map<string, 'MR4009' | 'MR4013'>()
  /** The record last begun with, as `#refused` names it. */
  #last: string | undefined
  readonly #replays: Replays
  #announced: {
    readonly task: Task
    readonly input: number
    readonly upstream: number
    readonly watermark: number
  }[] = []
  /** When the block was appended that was worked on last; wall clock. */
  appendTime = Infinity
  /** Where retention lets an input begin again, by task and input. */
  readonly #lost = new Map<Task, Map<number, number>>()

  constructor(
    options: ProcessRunnerOptions,
    tasks: readonly (Task | undefined)[],
    built: BuiltStage,
    fates: StageFates,
    queue: BlockQueue,
    reader: Reader,
  ) {
    this.#reader = reader
    this.#options = options
    this.#tasks = tasks
    this.#built = built
    this.#fates = fates
    this.#queue = queue
    for (const { task, offset } of options.skip ?? [])
      this.#refused.set(recordName(task, offset), 'MR4009')
    this.#inputs = options.stage.inputs.map((_, index) => this.#inputState(index))
    this.#order = this.#inputs.toSorted((a, b) => rank(a) - rank(b))
    for (const input of this.#inputs) this.#byTopic.set(input.topic, input)
    const read = this.#inputs.filter(({ role }) => role !== 'replay')
    const byNode = new Map(read.map((input) => [input.node, input]))
    this.#replays = new Replays(options.definition, built, byNode)
  }

  /** Works on at most `rows` queued records; returns how many records and control blocks it took. */
  work(rows: number): number {
    for (const input of this.#inputs) input.rows.start()
    let taken = 0
    for (
      let block = this.#queue.peek();
      block !== undefined && taken < rows;
      block = this.#queue.peek()
    ) {
      taken += this.#take(block, rows - taken)
      if (!exhausted(block)) break
      this.#queue.shift()
    }
    if (taken === 0) return 0
    for (const input of this.#order) {
      if (input.rows.count > 0) this.#run(input.rows.batch(), input.target)
    }
    this.#replays.run(({ batch, target, record }) => this.#run(batch, target, record))
    // What upstream tasks announced was said behind their records: it counts once these are worked on.
    for (const { task, input, upstream, watermark } of this.#announced) {
      if (task.running) task.time.announced(input, upstream, watermark)
    }
    this.#announced = []
    return taken
  }

  /** Records committed upstream that a task has not worked on; an upper bound. */
  lag(task: Task): number {
    let lag = 0
    for (const { index } of this.#inputs) lag += this.unread(task, index)
    return lag
  }

  /** The same of one input. */
  readonly unread = (task: Task, input: number): number => {
    const { topic } = must(this.#inputs[input], 'an input of the stage')
    return Math.max(0, this.#reader.end(topic, task.partition) - task.positions[input]!)
  }

  /** The record last begun with makes too much: when it comes again, it becomes a dead letter. */
  refuseLast(): void {
    if (this.#last !== undefined) this.#refused.set(this.#last, 'MR4013')
  }

  lostUpTo(task: Task, input: number, earliest: number): void {
    const lost = this.#lost.get(task) ?? new Map<number, number>()
    lost.set(input, earliest)
    this.#lost.set(task, lost)
  }

  /** A task that goes on behind what retention removed counts it as expired. */
  resumed(task: Task): void {
    for (const [input, earliest] of this.#lost.get(task) ?? []) {
      const gap = earliest - task.positions[input]!
      if (gap <= 0) continue
      task.counters.read += gap
      task.counters.expired += gap
      task.positions[input] = earliest
      task.moved = true
    }
    this.#lost.delete(task)
  }

  #inputState(index: number): InputState {
    const { plan, stage, definition, reader } = this.#options
    const { topic, role, node, shed } = must(stage.inputs[index], 'an input of the plan')
    const source = definition.nodes[node]
    const rules = source?.kind === 'stream' || source?.kind === 'table' ? source : undefined
    // Of a projected topic some fields are missing because nobody reads them.
    const whole = role !== 'repartition' || neededPaths(plan, definition, topic) === undefined
    const shape = whole ? shapeAt(definition, node) : undefined
    const own = role === 'repartition' ? undefined : rules
    const newReader = (): RowReader => new JsonRows(index, role, own, shape)
    const reads = readsOf(stage, definition, node)
    const scanner = role === 'table' || role === 'replay' ? undefined : theScanner(reader)
    const input = { index, role, rules: own, shape, reads }
    const rows = scanner === undefined ? undefined : ScannedRows.of(scanner, input)
    return {
      index,
      topic,
      role,
      node,
      newReader,
      rows: rows ?? newReader(),
      target: this.#targetOf(role, node),
      boundMs: rules?.boundMs ?? 0,
      futureMs: rules?.futureMs ?? Infinity,
      shedding: shed === undefined ? undefined : new Shedding(shed),
    }
  }

  #targetOf(role: InputState['role'], node: number): Operator {
    if (role !== 'table') return this.#built.after.get(node) ?? new Fanout()
    return new TableUpdate(this.#built.tables.get(node) ?? [], (task, error) => {
      if (!(error instanceof MillraceError)) throw error
      this.#fates.fail(task, error)
    })
  }

  /** Takes up to `most` records of a block; a control block counts as one. */
  #take(block: QueuedBlock, most: number): number {
    const input = this.#byTopic.get(block.topic)
    const task = this.#tasks[block.partition]
    const { content } = block
    if (input === undefined || task === undefined || !task.running) {
      if (content.kind === 'records') block.row = content.view.count
      return 0
    }
    if (content.kind === 'control') {
      if (block.nextOffset <= task.positions[input.index]!) return 0
      this.#announced.push({ task, input: input.index, ...content.control })
      task.positions[input.index] = block.nextOffset
      task.moved = true
      return 1
    }
    const { careful, mark } = this.#options
    const { view } = content
    this.appendTime = view.appendTime
    const surplusTo = this.#surplusTo(input, task.partition)
    const left = input.shedding?.unread === true && this.#leaveOut(input, task, surplusTo)
    if (block.nextOffset <= task.positions[input.index]!) {
      block.row = view.count
      return left ? 1 : 0
    }
    // A block may begin before the position: the position stands inside it.
    const done = task.positions[input.index]! - block.baseOffset
    if (done > block.row) block.row = Math.min(done, view.count)
    const from = block.row
    const to = Math.min(view.count, from + most)
    const place = placeName(task.id, input.role === 'replay')
    this.#last = recordName(place, block.baseOffset + from)
    mark?.(place, careful === true ? block.baseOffset + from : undefined)
    const { baseOffset } = block
    this.#place.task = task.partition
    this.#place.baseOffset = baseOffset
    if (view.partial) this.#partials(input, task, view, from, to)
    else if (this.#isPlain(input, view, from, to) && baseOffset + from >= surplusTo) {
      this.#records(input, task, view, from, to)
    } else {
      for (let i = from; i < to; i++) {
        this.#record(input, task, view, i, baseOffset + i < surplusTo)
      }
    }
    block.row = to
    task.counters.read += to - from
    task.positions[input.index] = to === view.count ? block.nextOffset : block.baseOffset + to
    task.moved = true
    return Math.max(1, to - from)
  }

  /** Records of a stream below this offset are more than a task that sheds would have to read. */
  #surplusTo({ topic, shedding }: InputState, partition: number): number {
    if (shedding === undefined) return -Infinity
    return this.#reader.end(topic, partition) - shedding.maxLag
  }

  /** The task goes on at this offset, and what lies between is shed, read or not. False where it is there already. */
  #leaveOut({ topic, index }: InputState, task: Task, offset: number): boolean {
    const { partition, counters } = task
    const between = offset - task.positions[index]!
    if (between <= 0) return false
    counters.read += between
    counters.shed += between
    task.positions[index] = offset
    task.moved = true
    if (!this.#queue.reaches(topic, partition, offset))
      this.#reader.seek({ topic, partition, offset })
    return true
  }

  /** What the stage before added up goes to its aggregate, record by record; one that is none of its stops the task. */
  #partials(input: InputState, task: Task, view: BlockView, from: number, to: number): void {
    const found = this.#built.aggregates.find(
      ({ operator }) => operator.partials === view.schemaVersion,
    )
    for (let i = from; i < to; i++) {
      const key = keyIn(view, i, input.role)
      const value = view.value(i)
      const partial =
        found === undefined || value === undefined
          ? undefined
          : decodePartial(value, found.operator.partialLength)
      if (found === undefined || key === undefined || partial === undefined) {
        const place = `offset ${this.#place.baseOffset + i} of partition ${task.partition} of topic ${input.topic}`
        const what = `${task.id} met a partial aggregate at ${place} that none of its aggregates made.`
        this.#fates.fail(task.partition, new MillraceError('MR4016', what))
        return
      }
      found.operator.merge(task.partition, view.timestamps[i]!, key, partial)
      task.counters.processed++
    }
  }

  /** Whether nothing is to be said about single records before they are read. */
  #isPlain(input: InputState, view: BlockView, from: number, to: number): boolean {
    if (input.role === 'replay' || this.#refused.size > 0) return false
    if (input.role !== 'stream') return true
    const latest = Math.min(latestTime, view.appendTime + input.futureMs)
    const { timestamps } = view
    for (let i = from; i < to; i++) {
      const timestamp = timestamps[i]!
      if (!(timestamp >= earliestTime && timestamp <= latest)) return false
    }
    return true
  }

  /** Reads records together, then lets time pass over them one by one. */
  #records(input: InputState, task: Task, view: BlockView, from: number, to: number): void {
    const { rows } = input
    let row = rows.count
    rows.read(view, from, to, this.#place, this.#refuse)
    const { watermark } = rows.columns
    const isStream = input.role === 'stream'
    const { timestamps, watermarks } = view
    let source = task.time.source(input.index)
    let next = 0
    for (let i = from; i < to; i++) {
      const before = isStream ? source : (watermarks?.[i] ?? -Infinity)
      if (this.#refusals[next]?.i === i) {
        this.#unreadable(input, task, view, i, before, this.#refusals[next++]!.error)
        continue
      }
      watermark[row++] = before
      const after = timestamps[i]! - input.boundMs
      if (isStream && after > source) source = after
    }
    if (isStream) task.time.raiseSource(input.index, source)
    this.#refusals.length = 0
  }

  #record(input: InputState, task: Task, view: BlockView, i: number, surplus: boolean): void {
    const { role } = input
    const offset = this.#place.baseOffset + i
    const source = task.time.source(input.index)
    const watermark = role === 'stream' ? source : (view.watermarks?.[i] ?? -Infinity)
    const value = role === 'replay' ? view.value(i) : undefined
    const replayed = value === undefined ? undefined : this.#replays.here(decodeReplay(value))
    const timestamp = replayed?.timestamp ?? view.timestamps[i]!
    const refused =
      this.#blamed(input, task, offset) ??
      (role === 'replay'
        ? this.#replay(input, task, replayed, { offset, timestamp, appendTime: view.appendTime })
        : (outOfBounds(input, timestamp, view.appendTime) ??
          this.#read(input, view, i, watermark, surplus)))
    if (refused === 'unwanted') task.counters.shed++
    else if (refused !== undefined) {
      this.#unreadable(input, task, view, i, watermark, refused, replayed)
      return
    }
    // Also past a record that is shed: whether another one is late does not depend on what became of its neighbours.
    if (role === 'stream') task.time.raiseSource(input.index, timestamp - input.boundMs)
  }

  #unreadable(
    input: InputState,
    task: Task,
    view: BlockView,
    i: number,
    watermark: number,
    refused: MillraceError,
    replayed?: ReplayRecord,
  ): void {
    const offset = this.#place.baseOffset + i
    const timestamp = replayed?.timestamp ?? view.timestamps[i]!
    const raw = view.value(i) ?? new Uint8Array(0)
    const record = { offset, timestamp, watermark, key: keyIn(view, i, input.role), raw }
    this.#fates.unreadable(task, input.index, refused, record, replayed)
  }

  #read(
    { rows, shedding }: InputState,
    view: BlockView,
    i: number,
    watermark: number,
    surplus: boolean,
  ): MillraceError | 'unwanted' | undefined {
    const { task, baseOffset } = this.#place
    const sheds = surplus ? shedding : undefined
    if (sheds?.inSample(task, baseOffset + i) === false) return 'unwanted'
    const row = rows.count
    rows.read(view, i, i + 1, this.#place, this.#refuse, sheds?.wanted)
    const refused = this.#refusals.pop()?.error
    if (refused !== undefined) return refused
    if (rows.count === row) return 'unwanted'
    rows.columns.watermark[row] = watermark
    return undefined
  }

  #replay(
    input: InputState,
    task: Task,
    record: ReplayRecord | undefined,
    place: { readonly offset: number; readonly timestamp: number; readonly appendTime: number },
  ): MillraceError | undefined {
    if (record === undefined) {
      const what = `The record at offset ${place.offset} of ${input.topic} is no replayed letter.`
      return new MillraceError('MR4014', what)
    }
    const read = this.#inputs.find(({ role, node }) => role !== 'replay' && node === record.node)
    const wrong =
      read === undefined ? undefined : outOfBounds(read, place.timestamp, place.appendTime)
    return wrong ?? this.#replays.take(task, input.index, record, place)
  }

  /** Why a record is not even looked at. */
  #blamed(input: InputState, task: Task, offset: number): MillraceError | undefined {
    if (this.#refused.size === 0 || input.role === 'table') return undefined
    const code = this.#refused.get(recordName(placeName(task.id, input.role === 'replay'), offset))
    if (code === undefined) return undefined
    const { id } = this.#options.stage
    const record = `offset ${offset} of partition ${task.partition} of topic ${input.topic}`
    const what =
      code === 'MR4009'
        ? `The functions of ${id} did not return for ${record}.`
        : `What ${id} makes of ${record} is more than a commit holds.`
    return new MillraceError(code, what)
  }

  #run(batch: RowBatch, target: Operator, replayed?: ReplayRecord): void {
    this.#fates.begin(batch, replayed)
    target.process(batch, batch.selected ?? this.#selection.all(batch.rows))
    this.#fates.count(batch)
  }
}

/** Streams alone: other times were looked at where they came from. */
function outOfBounds(
  { role, futureMs }: InputState,
  timestamp: number,
  appendTime: number,
): MillraceError | undefined {
  if (role !== 'stream') return undefined
  const latest = appendTime + futureMs
  if (timestamp <= latest && timestamp >= earliestTime && timestamp <= latestTime) return undefined
  const what =
    timestamp > latest
      ? `The time of the record is ${timestamp - appendTime} ms ahead of the clock here; at most ${futureMs} ms are taken.`
      : `The time of the record is ${timestamp}; the years 1 to 9999 are taken.`
  return new MillraceError('MR4008', what)
}

function recordName(place: string, offset: number): string {
  return `${place}@${offset}`
}

function keyIn(view: BlockView, i: number, role: InputState['role']): GroupKey | undefined {
  const key = view.key(i)
  if (key === undefined) return undefined
  const text = Buffer.from(key).toString('utf8')
  return role === 'repartition' ? fromKeyJson(text) : text
}

function rank(input: InputState): number {
  return input.role === 'table' ? 0 : 1
}

function exhausted(block: QueuedBlock): boolean {
  return block.content.kind === 'control' || block.row >= block.content.view.count
}

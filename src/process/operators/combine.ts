/**
 * The first phase of an aggregate whose rows would cross the log: rows are added up by window and key where they are, and
 * what crosses with each commit are the sums. A row that the aggregate would not add up (a late one, one without a key or
 * with something else than a number) crosses as it is, and is judged there.
 */
import { limits } from '../../limits.ts'
import type { Writer } from '../../log/log.ts'
import type { Selection } from '../batch.ts'
import type { GroupKey } from '../keys.ts'
import { keyJson, storeKeyOf, textOf } from '../keys.ts'
import type { RowBatch } from '../rows.ts'
import { RowList } from '../rows.ts'
import type { StagedOutput } from '../staging.ts'
import { StagedTopic } from '../staging.ts'
import { Accumulators } from '../windows/accumulators.ts'
import type { AggregateNode } from '../windows/aggregate.ts'
import { encodePartial, partialVersion } from '../windows/partials.ts'
import type { Operator } from './operator.ts'
import type { OutputFates } from './output.ts'
import { placedKey } from './output.ts'

interface Group {
  readonly key: GroupKey
  readonly accumulator: Float64Array
}

/** The groups of one window: by text, and by type and text where the key is something else. */
interface Groups {
  readonly start: number
  readonly texts: Map<string, Group>
  readonly others: Map<string, Group>
  /** By the number of the key, under one dictionary. */
  dictionary: object | undefined
  byCode: (Group | undefined)[]
}

/** What a group adds to a commit besides its accumulator and key, about. */
const groupBytes = 64

export class Combine implements Operator, StagedOutput {
  readonly #node: AggregateNode
  readonly #accumulators: Accumulators
  readonly #paths: readonly (string | undefined)[]
  readonly #values: Float64Array
  readonly #topic: StagedTopic
  readonly #fates: OutputFates
  /** Where rows go that cross as they are. */
  readonly #whole: Operator
  readonly #wholeRows = new RowList()
  /** By task, then by start of the window. */
  readonly #tasks: (Map<number, Groups> | undefined)[] = []
  #bytes = 0

  constructor(node: AggregateNode, topic: StagedTopic, fates: OutputFates, whole: Operator) {
    this.#node = node
    this.#accumulators = new Accumulators(node.fields)
    this.#paths = Object.values(node.fields).map(({ of }) =>
      of === undefined || !('path' in of) ? undefined : of.path,
    )
    this.#values = new Float64Array(this.#accumulators.fields.length)
    this.#topic = new StagedTopic(topic.topic, topic.partitions, partialVersion(node))
    this.#fates = fates
    this.#whole = whole
  }

  get bytes(): number {
    return this.#bytes
  }

  process(batch: RowBatch, selection: Selection): void {
    const { sizeMs, latenessMs } = this.#node.window
    const whole = this.#wholeRows
    whole.start(selection.count)
    const columns = this.#paths.map((path) => (path === undefined ? path : batch.column(path)))
    let groups: Groups | undefined
    let of = -1
    let start = Number.NaN
    for (let i = 0; i < selection.count; i++) {
      const row = selection.rows[i]!
      const time = batch.timestamp[row]!
      // Most rows are of the window of the row before.
      if (!(time >= start && time < start + sizeMs)) start = Math.floor(time / sizeMs) * sizeMs
      const late = batch.watermark[row]! >= start + sizeMs + latenessMs
      if (late || !this.#read(row, columns)) {
        whole.add(row)
        continue
      }
      const task = batch.partition[row]!
      if (groups?.start !== start || task !== of) groups = this.#groups((of = task), start)
      const group = this.#group(groups, batch, row)
      if (group === undefined) whole.add(row)
      else this.#accumulators.add(group.accumulator, this.#values)
    }
    if (whole.count > 0) this.#whole.process(batch, whole)
  }

  drop(task: number): void {
    this.#tasks[task] = undefined
    this.#bytes = 0
    for (const windows of this.#tasks)
      for (const groups of windows?.values() ?? [])
        for (const { key } of groupsIn(groups)) this.#bytes += this.#cost(key)
  }

  stage(writer: Writer, now: number): void {
    const { partitions } = this.#topic
    for (const [task, windows] of this.#tasks.entries()) {
      for (const groups of windows?.values() ?? []) {
        for (const { key, accumulator } of groupsIn(groups)) {
          const { bytes, partition } = placedKey(key, partitions)
          const value = encodePartial(accumulator)
          this.#topic.add(task, partition, groups.start, bytes, value, -Infinity)
          this.#fates.emitted(task)
        }
      }
    }
    this.#topic.stage(writer, now)
    this.#tasks.length = 0
    this.#bytes = 0
  }

  /** Leaves the row's numbers in `#values`; false where the aggregate would refuse one. */
  #read(row: number, columns: readonly ({ get(row: number): unknown } | undefined)[]): boolean {
    for (let i = 0; i < columns.length; i++) {
      const value = columns[i]?.get(row)
      if (value === undefined || value === null) this.#values[i] = Number.NaN
      else if (typeof value === 'number' && Number.isFinite(value)) this.#values[i] = value
      else return false
    }
    return true
  }

  #groups(task: number, start: number): Groups {
    const windows = (this.#tasks[task] ??= new Map())
    let groups = windows.get(start)
    if (groups === undefined) windows.set(start, (groups = newGroups(start)))
    return groups
  }

  /** Undefined for a row without a key that a topic takes. */
  #group(groups: Groups, batch: RowBatch, row: number): Group | undefined {
    const { keyCodes } = batch
    const code = keyCodes?.of[row] ?? -1
    if (keyCodes === undefined || code < 0) return this.#find(groups, batch.groupKey(row))
    if (groups.dictionary !== keyCodes.dictionary) {
      groups.dictionary = keyCodes.dictionary
      groups.byCode = []
    }
    return (groups.byCode[code] ??= this.#find(groups, batch.groupKey(row)))
  }

  #find(groups: Groups, key: GroupKey | undefined): Group | undefined {
    if (key === undefined) return undefined
    const isText = typeof key === 'string'
    const among = isText ? groups.texts : groups.others
    const id = isText ? key : storeKeyOf(key)
    let group = among.get(id)
    if (group === undefined && Buffer.byteLength(textOf(key)) <= limits.keyBytes) {
      group = { key, accumulator: this.#accumulators.empty() }
      among.set(id, group)
      this.#bytes += this.#cost(key)
    }
    return group
  }

  #cost(key: GroupKey): number {
    return groupBytes + 3 * keyJson(key).length + 8 * this.#accumulators.length
  }
}

function newGroups(start: number): Groups {
  return { start, texts: new Map(), others: new Map(), dictionary: undefined, byCode: [] }
}

function* groupsIn({ texts, others }: Groups): Generator<Group> {
  yield* texts.values()
  yield* others.values()
}

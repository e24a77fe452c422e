/**
 * Stream time of one task. Per stream input the watermark of the task's own source partition; per repartition input the
 * vector of its upstream tasks' watermarks. Their minimum, the merged watermark, closes windows and judges nothing.
 * All of it is state, committed with the positions it belongs to.
 */
import type { StageInput } from '../../plan/plan.ts'
import type { Store } from '../../state/store.ts'

/** What the store keeps, by names that outlive a change of the pipeline. */
export interface TimeRecord {
  /** By topic; none where there is none yet. */
  readonly sources: Readonly<Record<string, number>>
  readonly vectors: Readonly<Record<string, readonly (number | null)[]>>
  readonly applied: number | null
  readonly cursor: Cursor | null
  /** What the windows of each aggregate hold, by its name: state of another layout means something else. */
  readonly layout: string
}

/** How far closing came. By name: the next version of the pipeline may have other aggregates, in another order. */
export interface Cursor {
  /** The key behind which an aggregate stopped. */
  readonly behind: Readonly<Record<string, string>>
  /** Aggregates that are closed already. */
  readonly closed: readonly string[]
}

const KEY = 'time'

export class TaskTime {
  readonly #inputs: readonly StageInput[]
  /** By input: watermark of the task's own partition. */
  readonly #sources: Float64Array
  readonly #vectors: readonly (Float64Array | undefined)[]
  #applied = -Infinity
  #cursor: Cursor | undefined
  #changed = false
  /** What is written with it; set before `load`. */
  layout = ''

  constructor(inputs: readonly StageInput[]) {
    this.#inputs = inputs
    this.#sources = new Float64Array(inputs.length).fill(-Infinity)
    this.#vectors = inputs.map((input) =>
      input.role === 'repartition' ? new Float64Array(input.upstreams).fill(-Infinity) : undefined,
    )
  }

  /** Windows are closed up to here. */
  get applied(): number {
    return this.#applied
  }

  /** Where closing up to `merged` stopped. */
  get cursor(): Cursor | undefined {
    return this.#cursor
  }

  /** Something of this is not in the store yet. */
  get changed(): boolean {
    return this.#changed
  }

  /** What it takes in a commit, about: a number for each upstream task. */
  get bytes(): number {
    let bytes = 256
    for (const vector of this.#vectors) bytes += 16 * (vector?.length ?? 0)
    return bytes
  }

  /** Smallest watermark over all that feeds this task; tables and replays have none. */
  merged(): number {
    let smallest = Infinity
    for (let i = 0; i < this.#inputs.length; i++) {
      const vector = this.#vectors[i]
      if (vector !== undefined)
        for (const watermark of vector) smallest = Math.min(smallest, watermark)
      else if (this.#inputs[i]!.role === 'stream') smallest = Math.min(smallest, this.#sources[i]!)
    }
    return smallest === Infinity ? -Infinity : smallest
  }

  source(input: number): number {
    return this.#sources[input]!
  }

  raiseSource(input: number, watermark: number): void {
    if (watermark <= this.#sources[input]!) return
    this.#sources[input] = watermark
    this.#changed = true
  }

  /** What an upstream task announced. Announcements that say less than an earlier one change nothing. */
  announced(input: number, upstream: number, watermark: number): void {
    const vector = this.#vectors[input]
    const old = vector?.[upstream]
    if (vector === undefined || old === undefined || watermark <= old) return
    vector[upstream] = watermark
    this.#changed = true
  }

  closedUpTo(watermark: number): void {
    this.#applied = watermark
    this.#cursor = undefined
    this.#changed = true
  }

  stoppedAt(cursor: Cursor): void {
    this.#cursor = cursor
    this.#changed = true
  }

  save(store: Store<TimeRecord>): void {
    if (!this.#changed) return
    this.#changed = false
    const sources: Record<string, number> = {}
    const vectors: Record<string, (number | null)[]> = {}
    for (const [i, { topic }] of this.#inputs.entries()) {
      const vector = this.#vectors[i]
      if (vector !== undefined) vectors[topic] = [...vector].map(orNull)
      const source = this.#sources[i]!
      if (source > -Infinity) sources[topic] = source
    }
    const cursor = this.#cursor ?? null
    const { layout } = this
    store.put(KEY, { sources, vectors, applied: orNull(this.#applied), cursor, layout })
  }

  /** Goes back to what the store holds. */
  load(store: Store<TimeRecord>): void {
    const record = store.get(KEY)
    this.#changed = record !== undefined && record.layout !== this.layout
    this.#applied = record?.applied ?? -Infinity
    this.#cursor = record?.cursor ?? undefined
    for (const [i, { topic }] of this.#inputs.entries()) {
      this.#sources[i] = record?.sources[topic] ?? -Infinity
      const vector = this.#vectors[i]
      const stored = record?.vectors[topic]
      vector?.forEach((_, upstream) => (vector[upstream] = stored?.[upstream] ?? -Infinity))
    }
  }
}

/** The layout under which a store's state was written; undefined for a store that has none. */
export function layoutIn(store: Store<TimeRecord>): string | undefined {
  return store.get(KEY)?.layout
}

function orNull(watermark: number): number | null {
  return Number.isFinite(watermark) ? watermark : null
}

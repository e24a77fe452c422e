/**
 * What a worker tells main through shared memory, because a worker that is stuck or dead sends no messages: a count that
 * moves, what it is doing, and which record it is at.
 */

/** Only in `working` can user code hold a worker up: that is where the watchdog counts. */
const phases = ['starting', 'opening', 'working', 'committing', 'idle', 'disk full'] as const
export type BeatPhase = (typeof phases)[number]

/** Where in a stage a worker is. `offset` is exact only while its stage runs record by record. */
export interface Place {
  readonly task: string | undefined
  readonly offset: number | undefined
}

const COUNT = 0
const PHASE = 1
/** Length of the task's name in bytes; 0 = between tasks. */
const NAME_LENGTH = 2
const OFFSET_AT = 16
const NAME_AT = 24
const longestName = 1_000

export function newBeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(NAME_AT + longestName)
}

/** The worker's side. */
export class BeatWriter {
  readonly #words: Int32Array
  readonly #offset: Float64Array
  readonly #name: Uint8Array
  readonly #encoder = new TextEncoder()
  #task: string | undefined

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, 0, 4)
    this.#offset = new Float64Array(shared, OFFSET_AT, 1)
    this.#name = new Uint8Array(shared, NAME_AT)
  }

  beat(phase: BeatPhase): void {
    Atomics.store(this.#words, PHASE, phases.indexOf(phase))
    Atomics.add(this.#words, COUNT, 1)
  }

  /** Called from a timer: the thread is alive, whatever it is doing. */
  tick(): void {
    Atomics.add(this.#words, COUNT, 1)
  }

  /**
   * Says what is about to be worked on. Main reads it only after this thread is dead, so order is all that matters: one
   * that dies in here was between tasks, and no record of the old task pays for it under the offset of the new.
   */
  at(task: string | undefined, offset: number | undefined): void {
    const same = task === this.#task
    if (!same) Atomics.store(this.#words, NAME_LENGTH, 0)
    this.#offset[0] = offset ?? Number.NaN
    if (same) return
    this.#task = task
    const name = this.#encoder.encode(task ?? '').subarray(0, longestName)
    this.#name.set(name)
    Atomics.store(this.#words, NAME_LENGTH, name.length)
  }
}

/** Main's side. */
export function readBeat(
  shared: SharedArrayBuffer,
): { readonly count: number; readonly phase: BeatPhase } & Place {
  const words = new Int32Array(shared, 0, 4)
  const count = Atomics.load(words, COUNT)
  const phase = phases[Atomics.load(words, PHASE)] ?? 'starting'
  const length = Atomics.load(words, NAME_LENGTH)
  if (length === 0) return { count, phase, task: undefined, offset: undefined }
  // A decoder takes no shared memory.
  const task = new TextDecoder().decode(new Uint8Array(shared, NAME_AT, length).slice())
  const offset = new Float64Array(shared, OFFSET_AT, 1)[0] ?? Number.NaN
  return { count, phase, task, offset: Number.isNaN(offset) ? undefined : offset }
}

/**
 * Runs threads that share memory in every way in which the memory model of ECMAScript lets them run. It is the code
 * itself that runs: while it does, `Atomics` and typed arrays are those of this file, which stop a thread at each atomic
 * operation, and run it again from its beginning with what the earlier ones returned.
 *
 * What the memory model says, and what is enumerated:
 * - Atomic operations are in one order that all threads agree on. Every such order is tried.
 * - An atomic operation that reads happens after the one whose value it reads, with everything before that one in its
 *   thread. A read-modify-write hands on what it read; a plain atomic store hands on its own thread alone. Nothing else
 *   orders two threads: an atomic load, say, does not happen before the store that overwrites what it read.
 * - A plain read may give any write of its place, earlier or later in time, torn as it likes from several of them, except
 *   one that happens after the read, and one that is overwritten by a write that happens before the read. So nothing has
 *   to be tried: for each plain read all writes that it may give are computed, and the code is right when it is one.
 * - Where code decides by what it read plainly, every value is tried that the read may give.
 *
 * A thread that ends in the middle is a thread that is not run any further while the others go on: that is among the
 * orders, and that no plain write of it may be seen meanwhile is among the reads.
 */

/** Something a thread said that it found out, after so many of its atomic operations. */
export interface Said {
  readonly what: string
  readonly value: unknown
  readonly after: number
}

/** A plain read: stands for the value that the code under test has got. */
export class PlainRead {
  readonly thread: number
  readonly id: number
  readonly place: string
  readonly after: number

  constructor(thread: number, id: number, place: string, after: number) {
    this.thread = thread
    this.id = id
    this.place = place
    this.after = after
  }

  /** What the read gives where the code decides by it. */
  valueOf(): number {
    return doing!.choose(this)
  }
}

interface PlainWrite {
  readonly thread: number
  readonly place: string
  readonly value: unknown
  /** Position among all plain accesses of its thread. */
  readonly id: number
  readonly after: number
}

type Atomic = {
  readonly kind: 'load' | 'store' | 'add' | 'exchange'
  readonly place: string
  readonly value: number
}

/** What came of an atomic operation, or of a choice, with the time it was done at in the order of all. */
interface Step {
  readonly value: number
  /** How many atomic operations the first thread had done. */
  readonly time: number
  readonly chosen: number | undefined
}

interface Replay {
  readonly next: Atomic | PlainRead | undefined
  readonly reads: readonly PlainRead[]
  readonly writes: readonly PlainWrite[]
  readonly said: readonly Said[]
}

/** Thrown through the code under test where it has to wait for its turn. */
class Pause extends Error {
  readonly at: Atomic | PlainRead
  constructor(at: Atomic | PlainRead) {
    super('the thread waits for its turn')
    this.at = at
  }
}

class Doing {
  readonly thread: number
  readonly said: Said[] = []
  readonly reads: PlainRead[] = []
  readonly writes: PlainWrite[] = []
  readonly #history: readonly Step[]
  #at = 0
  #atomics = 0
  #plain = 0

  constructor(thread: number, history: readonly Step[]) {
    this.thread = thread
    this.#history = history
  }

  atomic(kind: Atomic['kind'], place: string, value: number): number {
    const step = this.#history[this.#at++]
    if (step === undefined) throw new Pause({ kind, place, value })
    this.#atomics++
    return step.value
  }

  choose(read: PlainRead): number {
    const known = this.#history.slice(0, this.#at).find(({ chosen }) => chosen === read.id)
    if (known !== undefined) return known.value
    const step = this.#history[this.#at++]
    if (step === undefined) throw new Pause(read)
    return step.value
  }

  read(place: string): PlainRead {
    const read = new PlainRead(this.thread, this.#plain++, place, this.#atomics)
    this.reads.push(read)
    return read
  }

  write(place: string, value: unknown): void {
    const { thread } = this
    this.writes.push({ thread, place, value, id: this.#plain++, after: this.#atomics })
  }

  say(what: string, value: unknown): void {
    this.said.push({ what, value, after: this.#atomics })
  }
}

let doing: Doing | undefined
const names = new WeakMap<object, number>()
let lastName = 0

/** In place of a typed array: elements are places, by their memory and the byte they begin at. */
function arrayOf(bytesEach: number): unknown {
  return function make(memory: object, offset = 0): object {
    if (!names.has(memory)) names.set(memory, ++lastName)
    const place = (index: string | number): string =>
      `${names.get(memory)}:${offset + Number(index) * bytesEach}`
    return new Proxy(
      { place },
      {
        get: (target, key) => (key === 'place' ? target.place : doing!.read(place(String(key)))),
        set: (_, key, value) => {
          doing!.write(place(String(key)), value)
          return true
        },
      },
    )
  }
}

type Places = { readonly place: (index: number) => string }
const atomics = {
  load: (array: Places, index: number) => doing!.atomic('load', array.place(index), 0),
  store: (array: Places, index: number, value: number) =>
    doing!.atomic('store', array.place(index), value),
  add: (array: Places, index: number, value: number) =>
    doing!.atomic('add', array.place(index), value),
  exchange: (array: Places, index: number, value: number) =>
    doing!.atomic('exchange', array.place(index), value),
}
const replaced: Readonly<Record<string, unknown>> = {
  Atomics: atomics,
  Int32Array: arrayOf(4),
  Float64Array: arrayOf(8),
}

export type Thread = (say: (what: string, value: unknown) => void) => void

/** What a thread does up to the operation that it has no answer for yet. */
function replay(thread: number, code: Thread, history: readonly Step[]): Replay {
  const real = Object.fromEntries(Object.keys(replaced).map((n) => [n, Reflect.get(globalThis, n)]))
  const now = (doing = new Doing(thread, history))
  const { reads, writes, said } = now
  Object.assign(globalThis, replaced)
  try {
    code((what, value) => now.say(what, value))
    return { next: undefined, reads, writes, said }
  } catch (error) {
    if (!(error instanceof Pause)) throw error
    return { next: error.at, reads, writes, said }
  } finally {
    Object.assign(globalThis, real)
    doing = undefined
  }
}

interface Cell {
  readonly value: number
  /** How many atomic operations of each thread happen before whoever reads it. */
  readonly clock: readonly number[]
}

interface State {
  readonly histories: readonly (readonly Step[])[]
  readonly cells: Readonly<Record<string, Cell>>
  /** By thread and how many atomic operations it has done: how many of each thread happen before what comes next. */
  readonly clocks: readonly (readonly (readonly number[])[])[]
}

/** One way in which everything ran to its end. */
export interface Run {
  readonly said: readonly (readonly Said[])[]
  /** The values that a plain read may give; one, in code that is right. */
  mayGive(read: PlainRead): unknown[]
  /** How many atomic operations the first thread had done when this thread had done its `nth`. */
  timeOf(thread: number, nth: number): number
}

export interface Explored {
  readonly states: number
  readonly runs: number
  readonly broken: readonly string[]
}

/** More atomic operations than any thread needs that gets on whatever the others do. */
const mostSteps = 80

export function explore(
  threads: readonly Thread[],
  judge: (run: Run) => string | undefined,
): Explored {
  const replays = threads.map(() => new Map<string, Replay>())
  const broken = new Set<string>()
  const seen = new Set<string>()
  let runs = 0

  const replayOf = (state: State, thread: number): Replay => {
    const history = state.histories[thread]!
    const key = history.map(({ value, chosen }) => `${value},${chosen}`).join(' ')
    let found = replays[thread]!.get(key)
    if (found === undefined) {
      found = replay(thread, threads[thread]!, history)
      replays[thread]!.set(key, found)
    }
    return found
  }

  const visit = (state: State): void => {
    if (broken.size >= 5) return
    const key = JSON.stringify(state)
    if (seen.has(key)) return
    seen.add(key)
    const now = threads.map((_, thread) => replayOf(state, thread))
    // A choice concerns nobody else: it is made at once.
    const choosing = now.findIndex(({ next }) => next instanceof PlainRead)
    if (choosing >= 0) {
      const read = now[choosing]!.next as PlainRead
      for (const value of new Set(giveable(state, now, read)))
        visit(withStep(state, choosing, { value: Number(value), time: 0, chosen: read.id }))
      return
    }
    let ended = true
    for (const [thread, { next }] of now.entries()) {
      if (next === undefined) continue
      ended = false
      if (state.clocks[thread]!.length > mostSteps)
        broken.add(`thread ${thread} does not end, after ${mostSteps} operations`)
      else visit(afterAtomic(state, thread, next as Atomic))
    }
    if (!ended) return
    runs++
    const found = judge({
      said: now.map(({ said }) => said),
      mayGive: (read) => giveable(state, now, read),
      timeOf: (thread, nth) =>
        state.histories[thread]!.filter(({ chosen }) => chosen === undefined)[nth - 1]?.time ?? 0,
    })
    if (found !== undefined) broken.add(found)
  }

  const nothing = threads.map(() => 0)
  visit({ histories: threads.map(() => []), cells: {}, clocks: threads.map(() => [nothing]) })
  return { states: seen.size, runs, broken: [...broken] }
}

function withStep(state: State, thread: number, step: Step): State {
  const histories = state.histories.map((history, t) =>
    t === thread ? [...history, step] : history,
  )
  return { ...state, histories }
}

function afterAtomic(state: State, thread: number, { kind, place, value }: Atomic): State {
  const nothing = state.clocks.map(() => 0)
  const cell = state.cells[place] ?? { value: 0, clock: nothing }
  const before = state.clocks[thread]!.at(-1)!
  const learned = kind === 'store' ? before : before.map((n, t) => Math.max(n, cell.clock[t]!))
  const clock = learned.map((n, t) => (t === thread ? n + 1 : n))
  const written = kind === 'add' ? (cell.value + value) | 0 : value
  const cells =
    kind === 'load' ? state.cells : { ...state.cells, [place]: { value: written, clock } }
  const time = state.clocks[0]!.length - 1
  const step = { value: kind === 'store' ? value : cell.value, time, chosen: undefined }
  const clocks = state.clocks.map((all, t) => (t === thread ? [...all, clock] : all))
  return withStep({ ...state, cells, clocks }, thread, step)
}

/** The values of all writes that a plain read may give; of what a thread has yet to write, those that it surely will. */
function giveable(state: State, now: readonly Replay[], read: PlainRead): unknown[] {
  const known = state.clocks[read.thread]![read.after]!
  const before = ({ thread, after, id }: PlainWrite): boolean =>
    thread === read.thread ? id < read.id : known[thread]! > after
  const writes = now.flatMap((one) => one.writes).filter(({ place }) => place === read.place)
  const earlier = writes.filter(before)
  const overwritten = (write: PlainWrite): boolean =>
    earlier.some((other) => happensBefore(state, write, other))
  const afterRead = (write: PlainWrite): boolean =>
    write.thread === read.thread
      ? write.id > read.id
      : state.clocks[write.thread]![write.after]![read.thread]! > read.after
  const given = writes.filter((write) => !afterRead(write) && !overwritten(write))
  const values = given.map(({ value }) => value)
  return earlier.length === 0 ? [0, ...values] : values
}

function happensBefore(state: State, a: PlainWrite, b: PlainWrite): boolean {
  if (a.thread === b.thread) return a.id < b.id
  return state.clocks[b.thread]![b.after]![a.thread]! > a.after
}

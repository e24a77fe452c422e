import { assert } from '../../assert.ts'
import { TimeHeap } from '../../heap.ts'
import { turn } from '../real/time.ts'

/** Thrown when a run does not get where it should within its bounds: nothing left to do, or no end of it. */
export class SimulationStuck extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SimulationStuck'
  }
}

export interface RunBounds {
  /** Virtual milliseconds from now; default one hour. */
  readonly withinMs?: number
  /** Events run; default a million. */
  readonly turns?: number
}

/**
 * Virtual time. One event runs per turn, then every microtask it caused, then the next event. Time stands still while
 * code runs and jumps to the next event when nothing is left to run.
 */
export class Scheduler {
  readonly #heap = new TimeHeap()
  #now = 0
  #running = false

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#now
  }

  get pending(): number {
    return this.#heap.size
  }

  /** Runs `event` at virtual time `at`; among equal times by `tie`, then in the order of these calls. */
  at(at: number, tie: number, event: () => void): () => void {
    const entry = this.#heap.push(Math.max(at, this.#now), tie, event)
    return () => void this.#heap.remove(entry)
  }

  /** Lets virtual time pass inside an event, as a slow system call does. Nothing else runs meanwhile. */
  spend(ms: number): void {
    this.#now += ms
  }

  /** Runs one event and all microtasks it causes; false when there is none. */
  async step(): Promise<boolean> {
    // What was started outside of any event (a constructor's promises) comes before the first one.
    await turn()
    return await this.#fire()
  }

  /** Runs until nothing is left to run. */
  async run(bounds: RunBounds = {}): Promise<void> {
    await this.#loop(() => this.#heap.size === 0, bounds, 'nothing is left to do')
  }

  /** Runs until `done()` holds, looked at after every event. */
  async runUntil(done: () => boolean, bounds: RunBounds = {}): Promise<void> {
    await this.#loop(done, bounds, 'the condition holds')
  }

  /** Runs everything due in the next `ms` and lets that time pass. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await turn()
    for (let next = this.#heap.peek(); next !== undefined && next.at <= end;) {
      await this.#fire()
      next = this.#heap.peek()
    }
    this.#now = Math.max(this.#now, end)
  }

  async #fire(): Promise<boolean> {
    assert(!this.#running, 'scheduler: a step is already running; await it first')
    const entry = this.#heap.pop()
    if (entry === undefined) return false
    this.#running = true
    try {
      this.#now = Math.max(this.#now, entry.at)
      entry.run()
      await turn()
    } finally {
      this.#running = false
    }
    return true
  }

  async #loop(done: () => boolean, bounds: RunBounds, goal: string): Promise<void> {
    const { withinMs = 3_600_000, turns = 1_000_000 } = bounds
    const end = this.#now + withinMs
    await turn()
    for (let turnsLeft = turns; !done(); turnsLeft--) {
      if (turnsLeft === 0) throw new SimulationStuck(`${turns} events and not yet: ${goal}`)
      if (this.#now > end) throw new SimulationStuck(`${withinMs} ms and not yet: ${goal}`)
      if (!(await this.#fire()) && !done()) {
        throw new SimulationStuck(`no event left and not yet: ${goal}`)
      }
    }
  }
}

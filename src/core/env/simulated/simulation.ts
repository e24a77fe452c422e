import type { Clock, Disk, Env, Net, Random, Timers } from '../env.ts'
import { sleepOn } from '../sleep.ts'
import { SimulatedDisk } from './disk.ts'
import type { DiskOwner } from './disk.ts'
import { attachDisk } from './disk-view.ts'
import type { CrashKind } from './faults.ts'
import { SimulatedNetwork } from './net.ts'
import { mix, SeededRandom } from './prng.ts'
import { Scheduler } from './scheduler.ts'
import type { RunBounds } from './scheduler.ts'
import { Trace } from './trace.ts'

export interface SimulationOptions {
  /** Everything random follows from it. */
  readonly seed: number | string
  /** Which of two threads goes first at equal times: `random` (default) or the one that asked first. */
  readonly order?: 'random' | 'fifo'
  /** Wall time at the start, in milliseconds; default 2024-01-01T00:00:00Z. */
  readonly startMs?: number
  /** Lines of trace kept in `trace.last`; default 200. */
  readonly traceLines?: number
}

/**
 * A world in which the whole engine runs in one thread, under virtual time, the same way each time for the same seed.
 * Disks and the network outlive processes; a process (`env`) dies by `crash` and is started again by another `env`.
 */
export class Simulation {
  readonly scheduler = new Scheduler()
  readonly network: SimulatedNetwork
  readonly trace: Trace
  readonly startMs: number
  /** Added to the wall clock of every process; set it to make the clock jump. */
  clockSkewMs = 0
  readonly #seed: number | string
  readonly #fifo: boolean
  readonly #disks = new Map<string, SimulatedDisk>()
  readonly #generations = new Map<string, number>()

  constructor(options: SimulationOptions) {
    this.#seed = options.seed
    this.#fifo = options.order === 'fifo'
    this.startMs = options.startMs ?? Date.UTC(2024, 0, 1)
    this.trace = new Trace(options.traceLines ?? 200)
    this.network = new SimulatedNetwork(
      (ms, event) => this.scheduler.at(this.scheduler.now + ms, 0, event),
      (line) => this.record(line),
    )
  }

  get nowMs(): number {
    return this.startMs + this.scheduler.now + this.clockSkewMs
  }

  /** A stream of randomness of its own for this name: the same name gives the same stream again. */
  random(name: string): SeededRandom {
    return new SeededRandom(this.#seed, name)
  }

  /** The disk of this name, made empty at the first call. */
  disk(name = 'disk'): SimulatedDisk {
    let disk = this.#disks.get(name)
    if (disk === undefined) {
      const random = this.random(`disk ${name}`)
      const now = (): number => this.nowMs
      const spend = (ms: number): void => this.scheduler.spend(ms)
      const trace = (line: string): void => this.record(`${name}: ${line}`)
      disk = new SimulatedDisk({ random, now, spend, trace })
      this.#disks.set(name, disk)
    }
    return disk
  }

  /** Starts a process on a disk. The same name again is its next generation; the one before should be dead. */
  env(name: string, disk = this.disk()): SimulatedEnv {
    const generation = (this.#generations.get(name) ?? 0) + 1
    this.#generations.set(name, generation)
    return new SimulatedEnv(this, disk, `${name}#${generation}`)
  }

  record(line: string): void {
    this.trace.add(`${this.scheduler.now.toFixed(3)} ${line}`)
  }

  /** The order of a thread among others at one instant. One thread's own events keep the order of their setting. */
  tie(salt: number, at: number): number {
    return this.#fifo ? 0 : mix(salt ^ mix(Math.round(at * 1000)))
  }

  run(bounds?: RunBounds): Promise<void> {
    return this.scheduler.run(bounds)
  }

  runUntil(done: () => boolean, bounds?: RunBounds): Promise<void> {
    return this.scheduler.runUntil(done, bounds)
  }

  advance(ms: number): Promise<void> {
    return this.scheduler.advance(ms)
  }
}

/** A process of a simulation, or a thread of one. */
export class SimulatedEnv implements Env, DiskOwner {
  readonly label: string
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly disk: Disk
  readonly net: Net
  readonly #simulation: Simulation
  readonly #machineDisk: SimulatedDisk
  readonly #threads = new Set<SimulatedEnv>()
  readonly #names = new Map<string, number>()
  readonly #salt: number
  readonly #process: SimulatedEnv | undefined
  #lastYield = 0
  #frozenUntil = 0
  #alive = true

  /** `process`: what it is a thread of. */
  constructor(simulation: Simulation, disk: SimulatedDisk, label: string, process?: SimulatedEnv) {
    this.label = label
    this.#process = process
    this.#simulation = simulation
    this.#machineDisk = disk
    this.#salt = simulation.random(`order ${label}`).word()
    this.random = simulation.random(`process ${label}`)
    this.clock = {
      now: () => simulation.nowMs,
      monotonic: () => simulation.scheduler.now,
    }
    const after = (ms: number, fn: () => void): (() => void) => this.#after(ms, fn)
    this.timers = {
      after,
      sleep: (ms, signal) => sleepOn(after, ms, signal),
      yield: () => this.#yield(),
    }
    this.disk = attachDisk(disk, this)
    this.net = simulation.network.attach(label, after)
  }

  /** False once it crashed. Nothing it scheduled runs any more; its promises never settle. */
  get alive(): boolean {
    return this.#alive
  }

  /** A thread of this process: its own randomness, its own place in the order of events; it dies with the process. */
  thread(name: string): SimulatedEnv {
    const count = (this.#names.get(name) ?? 0) + 1
    this.#names.set(name, count)
    // Two threads of one name, one after the other or side by side, must not draw the same random numbers.
    const label = `${this.label}/${name}${count === 1 ? '' : `.${count}`}`
    const thread = new SimulatedEnv(this.#simulation, this.#machineDisk, label, this)
    this.#threads.add(thread)
    return thread
  }

  /** `kill` ends this process (or thread) alone; `power` every process on its disk, with what was not synced. */
  crash(kind: CrashKind): void {
    this.#simulation.record(`${this.label} crash ${kind}`)
    if (kind === 'power') this.#machineDisk.losePower()
    else this.end()
  }

  /** Nothing of it runs for so long, as when its process is stopped or its machine swaps; then all of it goes on. */
  freeze(ms: number): void {
    const until = this.#simulation.scheduler.now + ms
    this.#simulation.record(`${this.label} frozen for ${ms.toFixed(3)}`)
    this.#frozenUntil = Math.max(this.#frozenUntil, until)
    for (const thread of this.#threads) thread.freeze(ms)
  }

  end(): void {
    if (!this.#alive) return
    this.#alive = false
    for (const thread of this.#threads) thread.end()
    this.#machineDisk.detach(this)
  }

  /** What a crash at a disk operation does: SIGKILL takes no single thread. */
  endProcess(): void {
    if (this.#process === undefined) this.end()
    else this.#process.endProcess()
  }

  #after(ms: number, fn: () => void): () => void {
    if (!this.#alive) return () => {}
    const { scheduler } = this.#simulation
    const at = scheduler.now + Math.max(0, ms)
    let cancel = (): void => undefined
    const event = (): void => {
      if (!this.#alive) return
      if (scheduler.now < this.#frozenUntil) {
        // Among what waits for the thaw the order stays that of the setting.
        cancel = scheduler.at(this.#frozenUntil, this.#simulation.tie(this.#salt, 0), event)
        return
      }
      this.#simulation.record(`${this.label} event`)
      fn()
    }
    cancel = scheduler.at(at, this.#simulation.tie(this.#salt, at), event)
    return () => cancel()
  }

  /** Takes a few virtual microseconds, so that threads which only yield still let timers come due. */
  #yield(): Promise<void> {
    const now = this.#simulation.scheduler.now
    const at = Math.max(this.#lastYield, now) + 0.001 + this.random.float() * 0.019
    this.#lastYield = at
    return new Promise((resolve) => void this.#after(at - now, resolve))
  }
}

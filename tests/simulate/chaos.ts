/** What goes wrong in a run: crashes one after another, full and failing disks, clocks, and what is done to each operation. */
import type {
  CrashKind,
  DiskEffect,
  SeededRandom,
  SimulatedDisk,
  SimulatedEngine,
  Simulation,
} from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import type { Tally } from './tally.ts'
import { violation } from './violation.ts'

interface Outside {
  readonly simulation: Simulation
  readonly engine: SimulatedEngine
  readonly config: Config
  readonly tally: Tally
  /** Starts the engine. */
  readonly start: () => void
  readonly sleep: (ms: number) => Promise<void>
}

/** What the disk fails at while the engine runs, the usual things more often. */
const failing = [
  'fdatasync',
  'fdatasync',
  'write',
  'write',
  'fsyncDir',
  'open',
  'rename',
  'unlink',
  'truncate',
] as const

export class Chaos {
  /** A fault is under way that the engine answers by ending. */
  mayFail = false
  readonly #outside: Outside
  readonly #random: SeededRandom
  readonly #sky: SeededRandom
  /** Looks at each operation of the disk before the weather does. */
  #onDisk: SimulatedDisk['hook']
  /** The faults have stopped. */
  calm = false

  constructor(outside: Outside) {
    this.#outside = outside
    const { simulation } = outside
    this.#random = simulation.random('crashes')
    this.#sky = simulation.random('weather')
    simulation.disk().hook = (operation, path, changes) =>
      this.#onDisk?.(operation, path, changes) ?? this.#weather(operation)
  }

  /** No more faults. */
  end(): void {
    this.#onDisk = undefined
    this.calm = true
  }

  /** Crashes, one after another, now and then before the engine is up again. */
  async run(): Promise<void> {
    const random = this.#random
    let again = false
    for (let i = 0; i < this.#outside.config.crashes; i++) {
      if (again) {
        await this.#crash(random.chance(0.4) ? 'kill' : 'power', 25)
        again = await this.#restart(random.chance(0.4))
        continue
      }
      await this.#outside.sleep(random.int(this.#outside.config.gapMs))
      await this.#until(() => this.#outside.engine.state === 'running')
      const luck = random.float()
      if (luck < 0.25) {
        const slots = [0, 1, 2, 3].filter((slot) => this.#outside.engine.phase(slot) !== undefined)
        await this.#killWorker(slots[random.int(Math.max(1, slots.length))] ?? 0)
        continue
      }
      if (luck < 0.32) {
        await this.#diskFull()
        continue
      }
      if (luck < 0.4) await this.#diskFails()
      else if (luck < 0.405) await this.#stuck()
      else if (luck < 0.46) {
        await this.#outside.engine.stop()
        this.#outside.tally.stops++
      } else {
        await this.#crash(random.chance(0.5) ? 'kill' : 'power', random.chance(0.7) ? 40 : 0)
      }
      again = await this.#restart(random.chance(0.5))
    }
  }

  /** True when the next crash is to come in the middle of starting. */
  async #restart(again: boolean): Promise<boolean> {
    await this.#outside.sleep(this.#random.int(40))
    if (this.#outside.config.pauses && this.#random.chance(0.3)) {
      // Longer than what is between two stages is kept, unless the second of them has not read it.
      this.#outside.simulation.scheduler.spend(2 * 3_600_000)
      this.#outside.simulation.clockSkewMs = (this.#random.float() - 0.5) * 3_600_000
    }
    this.#outside.start()
    this.mayFail = false
    return again
  }

  /** Most of them while a commit is on its way: it may arrive when the next one has taken over. */
  async #killWorker(slot: number): Promise<void> {
    const random = this.#random
    let victim = slot
    if (random.chance(0.7)) {
      let written = (): void => undefined
      const writing = new Promise<void>((resolve) => (written = resolve))
      this.#onDisk = (operation, path) => {
        if (operation === 'write' && path.endsWith('.seg')) written()
        return undefined
      }
      await Promise.race([writing, this.#outside.sleep(100)])
      this.#onDisk = undefined
      // Its answer may be sent already, and not have arrived.
      if (random.chance(0.7)) await this.#outside.sleep(random.float() * 0.3)
      const slots = [0, 1, 2, 3].filter((i) => this.#outside.engine.phase(i) === 'committing')
      victim = slots[random.int(Math.max(1, slots.length))] ?? slot
    }
    const { engine, tally } = this.#outside
    // Some wake up while the next one opens, some long after.
    if (random.chance(0.25)) {
      const ms = random.chance(0.5) ? random.float() * 2 : random.int(300)
      tally.frozen += engine.freezeWorker(victim, ms) ? 1 : 0
    } else tally.workerKills += engine.killWorker(victim) ? 1 : 0
  }

  /** There is hardly any space left, for a while. */
  async #diskFull(): Promise<void> {
    const disk = this.#outside.simulation.disk()
    disk.capacityBytes = disk.usedBytes + this.#random.int(2_000)
    await this.#outside.sleep(this.#random.int(200))
    disk.capacityBytes = 2 ** 40
    this.#outside.tally.full++
  }

  /** The disk fails once: the engine ends, and what it had not acknowledged may be there or not. */
  async #diskFails(): Promise<void> {
    const random = this.#random
    const disk = this.#outside.simulation.disk()
    this.mayFail = true
    if (random.chance(0.25)) {
      // While it recovers: then any operation may.
      this.#outside.engine.kill()
      this.#outside.tally.kills++
      const nth = disk.operations + 1 + random.int(80)
      this.#onDisk = () => {
        if (disk.operations < nth) return undefined
        this.#onDisk = undefined
        return { error: 'EIO' }
      }
      this.#outside.start()
      for (let waited = 0; this.#outside.engine.state === 'starting' && waited < 100; waited += 5)
        await this.#outside.sleep(5)
      this.#onDisk = undefined
    } else {
      const on = random.pick(failing)
      const nth = 1 + random.int(on === 'fdatasync' || on === 'write' ? 8 : 2)
      const undo = disk.inject({ on, path: 'data/', nth, effect: { error: 'EIO' } })
      for (let waited = 0; this.#outside.engine.state === 'running' && waited < 200; waited += 5)
        await this.#outside.sleep(5)
      undo()
    }
    if (this.#outside.engine.state === 'failed') this.#outside.tally.failures++
    else this.#outside.engine.kill()
    // Another process now, or the machine loses power before there is one.
    if (random.chance(0.3)) disk.losePower()
  }

  /** A worker stands, and nothing ends it but the end of the process: so the engine ends. */
  async #stuck(): Promise<void> {
    const { engine, sleep, tally } = this.#outside
    this.mayFail = true
    // Nobody looks how long one reads its state back.
    if (engine.phase(0) === 'opening' || !engine.stickWorker(0)) return engine.kill()
    for (let waited = 0; engine.state !== 'failed' && waited < 60_000; waited += 50) await sleep(50)
    if (engine.state !== 'failed')
      throw violation('I7', 'a worker that nothing ends keeps its process')
    tally.stuck++
  }

  #weather(operation: string): DiskEffect | undefined {
    if (!this.#outside.config.weather || this.calm) return undefined
    const luck = this.#sky.float()
    if (operation === 'write' && luck < 0.03) return { short: 1 + this.#sky.int(600) }
    if (operation === 'read' && luck < 0.005) return { short: 1 + this.#sky.int(100) }
    // Now and then an operation is stuck for longer than anyone waits for an answer.
    if (luck > 0.9995) return { slow: 1_000 + this.#sky.int(4_000) }
    if (luck > 0.995) return { slow: this.#sky.int(30) }
    return undefined
  }

  /** At one of the next `within` operations that change the disk; now where that is 0, or so many do not come. */
  async #crash(kind: CrashKind, within: number): Promise<void> {
    const random = this.#random
    const engine = this.#outside.engine
    const disk = this.#outside.simulation.disk()
    const inRecovery = engine.state === 'starting'
    if (within > 0) {
      let midWrite = false
      const nth = disk.changes + 1 + random.int(within)
      this.#onDisk = (_operation, _path, changes) => {
        if (changes < nth) return undefined
        midWrite = engine.writing
        this.#onDisk = undefined
        return { crash: kind }
      }
      for (let waited = 0; engine.state !== 'down' && waited < 400; waited += 5)
        await this.#outside.sleep(5)
      this.#onDisk = undefined
      if (engine.state === 'down') return this.#count(kind, midWrite, inRecovery)
    }
    this.#count(kind, engine.writing, inRecovery)
    if (kind === 'kill') engine.kill()
    else engine.powerCut()
  }

  #count(kind: CrashKind, midWrite: boolean, inRecovery: boolean): void {
    if (kind === 'kill') this.#outside.tally.kills++
    else this.#outside.tally.powerCuts++
    if (midWrite) this.#outside.tally.midWrite++
    if (inRecovery) this.#outside.tally.inRecovery++
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) await this.#outside.sleep(10)
  }
}

import type { Env } from '../core/env/env.ts'
import type { MessagePortLike } from '../core/port.ts'
import { mark } from '../core/mark.ts'
import { MillraceError, reviveError } from '../errors.ts'
import { newBeat, readBeat } from './beat.ts'
import type { Assignment } from './assignment.ts'
import type { EngineConfig } from './config.ts'
import type { FromWorker, ToWorker, WorkerThreadData } from './messages.ts'
import type { WorkerStatus } from './status.ts'
import { causeOf, deathError, observeBeat, remembered, restartAfter } from './supervisor.ts'
import type { BeatSeen, Death, Restart } from './supervisor.ts'
import { cacheDirOf } from './threads.ts'
import type { Thread, Threads } from './threads.ts'

export interface PoolOptions {
  readonly env: Env
  readonly threads: Threads
  readonly config: EngineConfig
  readonly logId: string
  /** Rises with every opening of the data directory. */
  readonly logEpoch: number
  readonly modules: WorkerThreadData['modules']
  readonly assignment: Assignment
  readonly boards: WorkerThreadData['boards']
  /** Tasks that do not run until they are resumed. */
  readonly paused: () => readonly string[]
  /** A new client of the log thread. */
  readonly attach: () => MessagePortLike
  readonly onMessage: (slot: number, message: FromWorker) => void
  /** A worker ended, for whatever reason: what it was asked without an answer is gone with it. */
  readonly onGone: (slot: number) => void
  /** A worker ended that should not have. Called after `onGone`, before its replacement is started. */
  readonly onDeath: (slot: number, error: MillraceError, restart: Restart) => void
  /** A worker that was told to end goes on all the same: nothing short of the end of the process helps. */
  readonly onUnstoppable: (error: MillraceError) => void
}

type WorkerThread = Thread<ToWorker, FromWorker>

interface Slot {
  readonly number: number
  thread: WorkerThread | undefined
  beat: SharedArrayBuffer
  seen: BeatSeen | undefined
  state: WorkerStatus['state']
  ended: 'by-watchdog' | 'by-itself'
  /** How long it may stand still where it is now. */
  patienceMs: number
  error: unknown
  deaths: Death[]
  careful: readonly string[]
  skip: readonly { readonly task: string; readonly offset: number }[]
  restarts: number
  lastError: MillraceError | undefined
  cancelRestart: () => void
  /** It was told to end so that another can begin. */
  renewing: boolean
  /** Resolves `stop` of this slot. */
  gone: (() => void) | undefined
}

const longestLookMs = 1_000
const leastLoadMs = 20_000
/** Ending a thread takes milliseconds, or for ever. */
const terminateMs = 5_000
/** Worker starts that fit between two openings of the log: at the longest backoff, months of dying. */
const startsPerEpoch = 1_000_000

/** Loading modules may take longer than work does: compiling them on a busy machine is nobody's endless loop. */
export function loadTimeout({ watchdogMs }: EngineConfig): number {
  return Math.max(watchdogMs, leastLoadMs)
}

/** Keeps one thread per slot of the assignment alive. What to do about a dead or stuck one, supervisor.ts decides. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #slots: readonly Slot[]
  #stopping = false
  #starts = 0
  #cancelLook = (): void => {}
  #lookedAt = 0

  constructor(options: PoolOptions) {
    this.#options = options
    this.#slots = options.assignment.map((_, number) => newSlot(number))
  }

  start(): void {
    for (const slot of this.#slots) this.#spawn(slot)
    this.#lookedAt = this.#options.env.clock.monotonic()
    this.#lookLater()
  }

  /** False when the worker is not there to take it. */
  post(slot: number, message: ToWorker, transfer: ArrayBuffer[] = []): boolean {
    const found = this.#slots[slot]
    if (found?.thread === undefined || found.state !== 'running') return false
    found.thread.postMessage(message, transfer)
    return true
  }

  /** Also while the worker starts, which hears it as soon as it can do it. False where none is there to hear it. */
  tell(slot: number, message: ToWorker): boolean {
    const thread = this.#slots[slot]?.thread
    thread?.postMessage(message)
    return thread !== undefined
  }

  /** Starts a worker anew after its last commit. */
  renew(slot: number): void {
    const found = this.#slots[slot]
    if (found === undefined || !this.tell(slot, { type: 'stop' })) return
    found.renewing = true
    found.state = 'starting'
  }

  /** Every worker runs. */
  get running(): boolean {
    return this.#slots.every(({ state }) => state === 'running')
  }

  status(): WorkerStatus[] {
    return this.#slots.map(({ number, state, restarts, beat, lastError }) => ({
      slot: number,
      state,
      restarts,
      phase: readBeat(beat).phase,
      lastError: lastError?.toJSON(),
    }))
  }

  /** Lets every worker write its last commit; ends those that have not after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#cancelLook()
    await Promise.all(this.#slots.map((slot) => this.#stopSlot(slot, graceMs)))
  }

  async #stopSlot(slot: Slot, graceMs: number): Promise<void> {
    slot.cancelRestart()
    const { thread } = slot
    if (thread === undefined) return
    const gone = new Promise<void>((resolve) => (slot.gone = resolve))
    thread.postMessage({ type: 'stop' })
    const cancel = this.#options.env.timers.after(graceMs, () => this.#terminate(slot, thread))
    await gone
    cancel()
    slot.state = 'stopped'
  }

  #spawn(slot: Slot): void {
    const { config, logId, logEpoch, modules, assignment, boards, paused, attach } = this.#options
    const logPort = attach()
    slot.beat = newBeat()
    slot.seen = undefined
    slot.state = 'starting'
    slot.ended = 'by-itself'
    slot.error = undefined
    const data: WorkerThreadData = {
      slot: slot.number,
      epoch: logEpoch * startsPerEpoch + this.#starts++,
      logId,
      dataDir: config.dataDir,
      logPort,
      modules,
      shares: assignment[slot.number] ?? [],
      commitIntervalMs: config.commitIntervalMs,
      watchdogMs: config.watchdogMs,
      boards,
      beat: slot.beat,
      careful: slot.careful,
      skip: slot.skip,
      paused: paused(),
    }
    const thread = this.#options.threads.spawn('worker-thread', {
      name: `worker ${slot.number}`,
      data,
      transfer: [logPort],
      heapMb: config.workerMemoryMb,
      cacheDir: cacheDirOf(config.dataDir),
    })
    slot.thread = thread
    thread.onMessage((message) => {
      if (message.type === 'running') slot.state = 'running'
      if (message.type === 'ended') slot.error = reviveError(message.error)
      this.#options.onMessage(slot.number, message)
    })
    thread.onError((error) => (slot.error = error))
    thread.onExit(() => this.#exited(slot, thread))
  }

  #exited(slot: Slot, thread: WorkerThread): void {
    if (slot.thread !== thread) return
    this.#gone(slot)
    if (this.#stopping) return
    if (slot.renewing) {
      slot.renewing = false
      this.#spawn(slot)
      return
    }
    const now = this.#options.env.clock.monotonic()
    const { error, patienceMs } = slot
    const cause = causeOf(error, slot.ended)
    const { task, offset } = readBeat(slot.beat)
    const careful = task !== undefined && slot.careful.includes(task)
    slot.deaths = [...remembered(slot.deaths, now), { at: now, cause, task, offset, careful }]
    const restart = restartAfter(slot.deaths)
    slot.careful = restart.careful
    if (restart.careful.length > 0) mark('supervisor: a task goes on record by record')
    if (restart.inMs > 0) mark('supervisor: waits before it starts a worker')
    if (restart.skip !== undefined) {
      mark('supervisor: a record is put aside')
      slot.skip = [...slot.skip, restart.skip]
    }
    slot.restarts++
    slot.state = 'waiting'
    const { workerMemoryMb } = this.#options.config
    slot.lastError = deathError({
      worker: slot.number,
      cause,
      error,
      task,
      offset,
      patienceMs,
      workerMemoryMb,
    })
    this.#options.onDeath(slot.number, slot.lastError, restart)
    slot.cancelRestart = this.#options.env.timers.after(restart.inMs, () => this.#spawn(slot))
  }

  #gone(slot: Slot): void {
    slot.thread = undefined
    this.#options.onGone(slot.number)
    slot.gone?.()
  }

  #terminate(slot: Slot, thread: WorkerThread): void {
    const cancel = this.#options.env.timers.after(terminateMs, () => {
      mark('supervisor: a worker that nothing ends')
      const what = `Worker ${slot.number} still runs ${terminateMs} ms after it was told to end.`
      this.#options.onUnstoppable(new MillraceError('MR6015', what))
      // Nothing comes of it any more, whenever it ends: nobody is to wait for it.
      slot.state = 'stopped'
      this.#gone(slot)
    })
    void thread.terminate().then(cancel)
  }

  #lookLater(): void {
    const every = Math.min(Math.ceil(this.#options.config.watchdogMs / 4), longestLookMs)
    this.#cancelLook = this.#options.env.timers.after(every, () => {
      const now = this.#options.env.clock.monotonic()
      this.#look(Math.min(now - this.#lookedAt, every * 2))
      this.#lookedAt = now
      this.#lookLater()
    })
  }

  #look(passedMs: number): void {
    for (const slot of this.#slots) {
      const { count, phase } = readBeat(slot.beat)
      // Opening reads state back, for as long as that takes, and runs no user code.
      const seen = phase === 'opening' ? undefined : slot.seen
      slot.seen = observeBeat(seen, count, passedMs)
      const { config } = this.#options
      slot.patienceMs = phase === 'starting' ? loadTimeout(config) : config.watchdogMs
      if (slot.thread === undefined || slot.seen.stoodMs < slot.patienceMs) continue
      if (slot.ended === 'by-watchdog') continue
      mark('supervisor: a stuck worker is ended')
      slot.ended = 'by-watchdog'
      slot.seen = undefined
      this.#terminate(slot, slot.thread)
    }
  }
}

function newSlot(number: number): Slot {
  return {
    number,
    thread: undefined,
    beat: newBeat(),
    seen: undefined,
    state: 'starting',
    ended: 'by-itself',
    patienceMs: 0,
    error: undefined,
    deaths: [],
    careful: [],
    skip: [],
    restarts: 0,
    lastError: undefined,
    cancelRestart: () => {},
    renewing: false,
    gone: undefined,
  }
}

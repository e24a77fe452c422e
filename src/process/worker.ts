/**
 * The loop of one worker: its runners step in turn, and what they staged is committed at once through the one writer
 * this worker owns. Nothing here knows what a runner does.
 */
import type { Env } from '../core/env/env.ts'
import { mark } from '../core/mark.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { CommitResult, Log, Writer } from '../log/log.ts'
import { noCounters } from './counters.ts'
import type { Runner, StepBudget, TaskReport } from './runner.ts'

/** What a worker is doing. Only in `working` can user code hold it up: that is where a watchdog counts. */
export type WorkerPhase = 'opening' | 'working' | 'committing' | 'idle' | 'disk full'

/** A runner that stopped until it is resumed; the other runners of its pipeline on this worker stopped with it. */
export interface RunnerFailure {
  readonly runner: string
  readonly error: MillraceError
}

/** Why a worker ended. After `fenced` a newer owner has its tasks; after `closed` the log is gone. */
export type WorkerEnd =
  | { readonly why: 'stopped' }
  | { readonly why: 'fenced' | 'closed'; readonly error: MillraceError }

export interface WorkerLimits {
  /** The longest it stages, in milliseconds, while there is more to read; see `intervalOf`. Default 20. */
  readonly commitIntervalMs: number
  /** A commit holds at most this, unless one runner alone staged more. Default: 15/16 of what the log takes. */
  readonly commitBytes: number
  /** Rows and bytes one runner may read in one step. */
  readonly step: StepBudget
}

export interface WorkerOptions {
  readonly env: Env
  readonly log: Log
  /** Identity of this worker's writer: opening it fences the one before (L3). */
  readonly owner: string
  readonly runners: readonly Runner[]
  readonly options?: Partial<WorkerLimits>
  /** Called whenever the phase may have changed, and at every turn of the loop. */
  readonly onBeat?: (phase: WorkerPhase) => void
  readonly onFailed?: (failure: RunnerFailure) => void
  /** Ends the worker at the next batch boundary, after a last commit. */
  readonly signal: AbortSignal
}

const defaults: WorkerLimits = {
  commitIntervalMs: limits.commitIntervalMs,
  // Runners say about how much they staged; the rest is room for what the log adds.
  commitBytes: (limits.commitBytes / 16) * 15,
  step: { rows: limits.batchRows, bytes: limits.batchBytes },
}

/** Why a wait ends. Without a reason of its own every abort would make an error with a stack, at each idle turn. */
const over = 'the wait is over'
const firstBackoffMs = 50
const longestBackoffMs = 5_000

/** Runs until the signal aborts, the writer is fenced or the log is closed. Closes runners and writer before it returns. */
export function runWorker(options: WorkerOptions): Promise<WorkerEnd> {
  return new WorkerLoop(options).run()
}

/** What the loop does after a round of steps. Pure, so that it can be tested without a clock. */
export function afterRound(facts: {
  /** Bytes staged by all runners; 0 = nothing to commit. */
  readonly staged: number
  /** Some runner has more to read. */
  readonly more: boolean
  /** Some runner cannot go on before a commit. */
  readonly full: boolean
  /** Milliseconds since something was first staged. */
  readonly age: number
  readonly intervalMs: number
}): 'step' | 'commit' | 'wait' {
  if (facts.staged === 0) return facts.more ? 'step' : 'wait'
  return facts.full || !facts.more || facts.age >= facts.intervalMs ? 'commit' : 'step'
}

/**
 * How long a worker stages while there is more to read. What it works on is late already when it is behind: collecting for as
 * long as it is behind, up to five times the usual, makes it at most twice as late, and it waits for fewer commits. Pure.
 */
export function intervalOf(usualMs: number, behindMs: number): number {
  return Math.max(usualMs, Math.min(behindMs, 5 * usualMs))
}

/** An error of the log ends the worker, or it is tried again when there may be space. */
export function afterLogError(error: MillraceError): 'fenced' | 'full' | 'closed' {
  if (error.kind === 'fenced') return 'fenced'
  return error.code === 'MR2007' ? 'full' : 'closed'
}

type Turn =
  | { readonly next: 'go on' }
  | { readonly next: 'reset'; readonly cause: MillraceError; readonly full: boolean }
  | { readonly next: 'end'; readonly end: WorkerEnd }

const goOn: Turn = { next: 'go on' }

/** A runner that failed, and how its tasks stood then. */
interface Stopped {
  readonly runner: Runner
  readonly tasks: readonly TaskReport[]
  /** It let go of all it held. */
  closed: boolean
  readonly closing: Promise<void>
  /** An operator wants it to go on. */
  resumed: boolean
}

export class WorkerLoop {
  readonly #env: Env
  readonly #options: WorkerOptions
  readonly #limits: WorkerLimits
  /** Runners that did not fail, in the order they take turns. */
  #live: Runner[]
  #stopped: Stopped[] = []
  #writer: Writer | undefined
  #first = 0
  #stagedSince: number | undefined
  #retries = 0
  #idleTurns = 0
  /** Commits hold one runner's part each, because one of several was refused as too large. */
  #alone = false
  #wake: (() => void) | undefined

  constructor(options: WorkerOptions) {
    this.#env = options.env
    this.#options = options
    this.#limits = { ...defaults, ...options.options }
    this.#live = [...options.runners]
  }

  async run(): Promise<WorkerEnd> {
    const { signal } = this.#options
    let end: WorkerEnd | undefined
    try {
      while (end === undefined) {
        let turn = await this.#open()
        while (turn.next === 'go on' && !signal.aborted) turn = await this.#turn()
        if (turn.next === 'go on') turn = await this.#lastCommit()
        if (turn.next === 'end') end = turn.end
        else if (turn.next === 'go on' || signal.aborted) end = { why: 'stopped' }
        else await this.#startOver(turn.cause, turn.full)
      }
      return end
    } finally {
      for (const runner of this.#live) await runner.close()
      await Promise.all(this.#stopped.map(({ closing }) => closing))
      await this.#writer?.close()
    }
  }

  pause(task: string): void {
    for (const runner of this.#options.runners) runner.pause(task)
  }

  /**
   * Lets a task go on that is paused, failed or waits to try again. Where its runner failed as a whole, that one and those
   * that stopped with it open again. False where the task runs already, or does not live here.
   */
  resume(task: string): boolean {
    let resumed = false
    for (const runner of this.#options.runners) resumed = runner.resume(task) || resumed
    const stopped = this.#stopped.find(({ runner }) => runner.tasks.includes(task))
    if (stopped === undefined) return resumed
    for (const one of this.#stopped) if (sameGroup(one.runner, stopped.runner)) one.resumed = true
    this.#wake?.()
    return true
  }

  /** All tasks; those of a runner that failed as they last stood. */
  report(): TaskReport[] {
    return this.#options.runners.flatMap(
      (runner) =>
        this.#stopped.find((stopped) => stopped.runner === runner)?.tasks ?? runner.report(),
    )
  }

  async #open(): Promise<Turn> {
    this.#beat('opening')
    try {
      this.#writer = await this.#options.log.open(this.#options.owner)
    } catch (error) {
      const cause = asMillraceError(error)
      if (cause.kind === 'unavailable')
        return { next: 'reset', cause, full: cause.code === 'MR2007' }
      return {
        next: 'end',
        end: { why: cause.kind === 'fenced' ? 'fenced' : 'closed', error: cause },
      }
    }
    return this.#openRunners([...this.#live])
  }

  async #openRunners(runners: readonly Runner[]): Promise<Turn> {
    for (const runner of runners) {
      if (!this.#live.includes(runner)) continue
      try {
        await runner.open()
      } catch (error) {
        const cause = asMillraceError(error)
        if (cause.code === 'MR2007' || cause.code === 'MR2009') return afterError(cause)
        this.#fail(runner, cause)
      }
    }
    return goOn
  }

  /** Runners that failed and were resumed, as soon as they let go of what they held. */
  get #returning(): Stopped[] {
    return this.#stopped.filter(({ resumed, closed }) => resumed && closed)
  }

  #reopen(returning: readonly Stopped[]): Promise<Turn> {
    this.#stopped = this.#stopped.filter((stopped) => !returning.includes(stopped))
    const runners = returning.map(({ runner }) => runner)
    this.#live.push(...runners)
    this.#beat('opening')
    return this.#openRunners(runners)
  }

  /** One round of steps, and what follows from it. */
  async #turn(): Promise<Turn> {
    const returning = this.#returning
    if (returning.length > 0) return this.#reopen(returning)
    this.#beat('working')
    const { more, full } = this.#round()
    const staged = this.#staged()
    const now = this.#env.clock.monotonic()
    if (staged > 0) this.#stagedSince ??= now
    const age = now - (this.#stagedSince ?? now)
    const usualMs = this.#limits.commitIntervalMs
    const intervalMs = age < usualMs ? usualMs : intervalOf(usualMs, this.#behindMs())
    const next = afterRound({ staged, more, full, age, intervalMs })
    if (next !== 'wait') this.#idleTurns = 0
    if (next === 'commit') return this.#commit()
    if (next === 'wait') await this.#idle()
    else await this.#env.timers.yield()
    return goOn
  }

  #round(): { more: boolean; full: boolean } {
    const runners = this.#inTurn()
    let more = false
    for (const runner of runners) {
      // Half a commit is kept free for what one more step may stage.
      if (this.#staged() >= this.#limits.commitBytes / 2) return { more, full: true }
      if (!this.#live.includes(runner)) continue
      try {
        const result = runner.step(this.#limits.step)
        if (result === 'full') return { more, full: true }
        if (result === 'worked') more = true
      } catch (error) {
        this.#fail(runner, asMillraceError(error))
      }
    }
    return { more, full: false }
  }

  async #commit(): Promise<Turn> {
    const writer = this.#writer
    if (writer === undefined) return goOn
    const staged: Runner[] = []
    for (const runner of this.#inTurn()) {
      const bytes = runner.stagedBytes
      if (bytes === 0) continue
      if (staged.length > 0 && !this.#takes(writer, bytes)) continue
      try {
        runner.stage(writer)
        staged.push(runner)
      } catch (error) {
        // Part of it may have reached the writer: only a new writer forgets it.
        const cause = asMillraceError(error)
        this.#fail(runner, cause)
        return { next: 'reset', cause, full: false }
      }
    }
    // The runner after the one that began now begins the next time, so that none is left out twice.
    this.#first++
    this.#beat('committing')
    const result = await writer.commit()
    if (result.outcome !== 'committed') {
      const tooLarge = result.error.code === 'MR2013'
      return tooLarge ? this.#tooLarge(staged, result.error) : refusal(result)
    }
    this.#alone = false
    this.#stagedSince = undefined
    this.#retries = 0
    for (const runner of staged) {
      try {
        runner.committed(result)
      } catch (error) {
        this.#fail(runner, asMillraceError(error))
      }
    }
    return goOn
  }

  /** Whether a commit takes another runner's part. How many sections that has shows only then, so half are kept free. */
  #takes(writer: Writer, bytes: number): boolean {
    if (this.#alone || writer.stagedSections >= limits.commitSections / 2) return false
    return writer.stagedBytes + bytes <= this.#limits.commitBytes
  }

  /** Nothing of it was written. It is done again in smaller commits; what is too large alone stops its pipeline. */
  #tooLarge(staged: readonly Runner[], cause: MillraceError): Turn {
    const [first] = staged
    if (staged.length === 1 && first !== undefined) this.#fail(first, cause)
    this.#alone = true
    return { next: 'reset', cause, full: false }
  }

  /** What stands at a batch boundary when the worker is told to stop is not thrown away. */
  async #lastCommit(): Promise<Turn> {
    let turn = goOn
    while (turn.next === 'go on' && this.#staged() > 0) turn = await this.#commit()
    return turn
  }

  /** Waits for input, for the earliest time a runner asked for, or for the end. */
  async #idle(): Promise<void> {
    // A runner that wakes for nothing must not keep timers and messages from being served.
    if (this.#idleTurns++ > 0) await this.#env.timers.yield()
    const { signal } = this.#options
    if (signal.aborted || this.#returning.length > 0) return
    this.#beat('idle')
    const stop = new AbortController()
    const onAbort = (): void => stop.abort(over)
    signal.addEventListener('abort', onAbort, { once: true })
    const wakes = this.#live.map((runner) =>
      runner.wait(stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) this.#fail(runner, asMillraceError(error))
      }),
    )
    const wakeAt = earliest(this.#live)
    if (wakeAt < Infinity) {
      wakes.push(
        this.#env.timers.sleep(Math.max(0, wakeAt - this.#env.clock.monotonic()), stop.signal),
      )
    }
    wakes.push(
      new Promise((resolve) => {
        this.#wake = resolve
        stop.signal.addEventListener('abort', () => resolve(), { once: true })
      }),
    )
    await Promise.race(wakes)
    this.#wake = undefined
    stop.abort(over)
    signal.removeEventListener('abort', onAbort)
  }

  /** Forgets everything that is not committed; the next `#open` reads back what is. */
  async #startOver(cause: MillraceError, full: boolean): Promise<void> {
    mark('worker: starts over from the last commit')
    this.#stagedSince = undefined
    for (const runner of [...this.#live]) this.#resetRunner(runner, cause)
    await this.#writer?.close()
    this.#writer = undefined
    if (!full && this.#retries === 0) {
      this.#retries = 1
      return
    }
    const backoff = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(this.#retries++, 16))
    mark('worker: waits before it tries again')
    this.#beat(full ? 'disk full' : 'opening')
    await this.#env.timers.sleep(backoff, this.#options.signal)
  }

  /** A runner that threw has an unknown inside: it and its pipeline stop here, the others go on. */
  #fail(runner: Runner, error: MillraceError): void {
    if (!this.#live.includes(runner)) return
    const failing = this.#live.filter((other) => sameGroup(other, runner))
    this.#live = this.#live.filter((other) => !failing.includes(other))
    for (const stopped of this.#stopped)
      if (sameGroup(stopped.runner, runner)) stopped.resumed = false
    for (const other of failing) {
      const tasks = failedTasks(other, error)
      this.#resetRunner(other, error)
      const closing = other.close().catch(() => undefined)
      const stopped = { runner: other, tasks, closed: false, closing, resumed: false }
      this.#stopped.push(stopped)
      void closing.then(() => {
        stopped.closed = true
        this.#wake?.()
      })
      this.#options.onFailed?.({ runner: other.id, error })
    }
  }

  #resetRunner(runner: Runner, cause: MillraceError): void {
    try {
      runner.reset(cause)
    } catch (error) {
      this.#fail(runner, asMillraceError(error))
    }
  }

  #staged(): number {
    let bytes = 0
    for (const runner of this.#live) bytes += runner.stagedBytes
    return bytes
  }

  /**
   * How far behind the pipeline is that is the least behind, of those that staged something. What one of its stages hands to
   * the next is new in the log, and as late as what it was made of.
   */
  #behindMs(): number {
    const groups = new Map<string, number>()
    for (const { id, stagedBytes, behindMs = 0 } of this.#live) {
      if (stagedBytes > 0) groups.set(groupOf(id), Math.max(behindMs, groups.get(groupOf(id)) ?? 0))
    }
    return Math.min(...groups.values())
  }

  #inTurn(): Runner[] {
    const first = this.#live.length === 0 ? 0 : this.#first % this.#live.length
    return [...this.#live.slice(first), ...this.#live.slice(0, first)]
  }

  #beat(phase: WorkerPhase): void {
    this.#options.onBeat?.(phase)
  }
}

function refusal(result: Exclude<CommitResult, { outcome: 'committed' }>): Turn {
  if (result.outcome === 'unknown') return { next: 'reset', cause: result.error, full: false }
  return afterError(result.error)
}

function afterError(error: MillraceError): Turn {
  const why = afterLogError(error)
  if (why !== 'closed') mark(`worker: ${why}`)
  if (why === 'full') return { next: 'reset', cause: error, full: true }
  return { next: 'end', end: { why, error } }
}

function sameGroup(a: Runner, b: Runner): boolean {
  return groupOf(a.id) === groupOf(b.id)
}

/** The pipeline a runner belongs to; every ingest stands alone, since several pipelines may share its topic. */
function groupOf(id: string): string {
  return id.startsWith('ingest/') ? id : (id.split('/', 1)[0] ?? id)
}

/** How the tasks of a runner stand that failed as a whole. */
function failedTasks(runner: Runner, { code, message }: MillraceError): TaskReport[] {
  const known = reportOf(runner)
  return runner.tasks.map((id) => ({
    counters: noCounters(),
    lag: 0,
    watermark: undefined,
    stateKeys: 0,
    stateBytes: 0,
    ...known.find((report) => report.id === id),
    id,
    status: 'failed',
    error: { code, message },
  }))
}

/** What it says of itself, should it be able to: something in it is broken. */
function reportOf(runner: Runner): readonly TaskReport[] {
  try {
    return runner.report()
  } catch {
    return []
  }
}

function earliest(runners: readonly Runner[]): number {
  let at = Infinity
  for (const runner of runners) at = Math.min(at, runner.wakeAt ?? Infinity)
  return at
}

function asMillraceError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new MillraceError('MR6000', `${what}.`, { cause: error })
}

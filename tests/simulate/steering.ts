/** An operator: pauses and resumes what runs, asks how it stands, and sends dead letters back, whatever else goes on. */
import { DiskError } from '../../src/core/env/env.ts'
import { ProcessDied } from '../../src/core/env/simulated/index.ts'
import { MillraceError } from '../../src/errors.ts'
import { ledgerOf } from '../../src/runtime/admin/ledger.ts'
import { openLetters, replayLetters } from '../../src/runtime/admin/letters.ts'
import { changelogsOf } from '../../src/runtime/snapshots.ts'
import type { SeededRandom, SimulatedEngine, Simulation } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import { isFatal } from './fatal.ts'
import type { Tally } from './tally.ts'
import { violation } from './violation.ts'

type Supervisor = NonNullable<SimulatedEngine['supervisor']>

export class Steering {
  /** What he was told that cannot be true. */
  error: Error | undefined
  readonly #engine: SimulatedEngine
  readonly #config: Config
  readonly #random: SeededRandom
  readonly #sleep: (ms: number) => Promise<void>
  readonly #tally: Tally
  /** A replay of a process that dies under it never ends: only the next process is asked anew. */
  #asked: unknown

  constructor(
    simulation: Simulation,
    engine: SimulatedEngine,
    config: Config,
    sleep: (ms: number) => Promise<void>,
    tally: Tally,
  ) {
    this.#engine = engine
    this.#config = config
    this.#random = simulation.random('steering')
    this.#sleep = sleep
    this.#tally = tally
  }

  /** Until `more` says no; nothing is paused then. */
  async run(more: () => boolean): Promise<void> {
    const random = this.#random
    while (this.#config.steered && more()) {
      await this.#sleep(random.int(300))
      const luck = random.float()
      if (luck < 0.5) this.#replay()
      else if (luck < 0.9) await this.#pause(more)
      else this.#ask()
    }
  }

  /** A task, a stage or a pipeline. What he is told holds, in the next process too. */
  async #pause(more: () => boolean): Promise<void> {
    const random = this.#random
    const by = this.#engine.supervisor
    const tasks = this.#engine.report().map(({ id }) => id)
    const task = tasks[random.int(Math.max(1, tasks.length))]
    if (by === undefined || task === undefined) return
    const parts = task.split('/')
    const target = random.chance(0.7) ? task : parts.slice(0, random.chance(0.7) ? -1 : 1).join('/')
    if (target === 'ingest') return
    const said = this.#attempt(() => by.steering.pause(target))
    const sure = said !== undefined
    if (sure) this.#tally.paused++
    await this.#sleep(random.int(200))
    if (sure) this.#holds(task, by)
    for (;;) {
      const { supervisor } = this.#engine
      if (supervisor !== undefined && (await this.#resume(supervisor, target))) return
      // It may be that nothing has this name any more.
      if (!more() && supervisor?.steering.paused.length === 0) return
      await this.#sleep(random.int(50))
    }
  }

  #holds(task: string, by: Supervisor): void {
    const { supervisor } = this.#engine
    if (supervisor === undefined) return
    const there = supervisor.assignment.flat().some(({ id }) => task.startsWith(`${id}/`))
    if (there && !supervisor.steering.paused.includes(task))
      this.error ??= violation('steering', `${task} was paused, and is not any more`)
    if (supervisor === by) return
    const now = this.#engine.report().find(({ id }) => id === task)
    if (now?.status === 'running')
      this.error ??= violation('steering', `${task} was paused, and runs in the next process`)
  }

  /** False where nobody knows whether it was done. */
  async #resume(by: Supervisor, target: string): Promise<boolean> {
    let answer: boolean | undefined
    void by.steering.resume(target).then(
      () => (answer = true),
      (error: unknown) => {
        this.#excuse(error)
        answer = false
      },
    )
    while (answer === undefined) {
      await this.#sleep(5)
      if (this.#engine.supervisor !== by) return false
    }
    if (answer && by.steering.paused.some((task) => `${task}/`.startsWith(`${target}/`)))
      this.error ??= violation('steering', `${target} was resumed, and is paused`)
    return answer
  }

  /** What `millrace status` and `millrace snapshot` do. Nobody answers for a process that dies meanwhile. */
  #ask(): void {
    const { supervisor } = this.#engine
    if (supervisor === undefined) return
    supervisor.status()
    const { log, plans } = supervisor
    const books = ledgerOf(log, plans).then(({ balanced, tasks, topics }) => {
      if (!balanced)
        this.error ??= violation(
          'I11',
          `the books do not add up: ${JSON.stringify({ tasks, topics })}`,
        )
    })
    // It may be that the log stops.
    books.catch((error: unknown) => this.#excuse(error))
    void supervisor.reports.tasks().then((tasks) => {
      supervisor.notReady(tasks)
      const ids = tasks.map(({ id }) => id)
      if (new Set(ids).size !== ids.length)
        this.error ??= violation('I11', `a task is reported twice: ${ids.join(' ')}`)
    })
    const changelogs = changelogsOf(supervisor.plans)
    const taken = supervisor.snapshots.take(changelogs)
    const full = (standing: Awaited<typeof taken>): void => {
      this.#tally.taken++
      const there = new Set(standing.map(({ changelog }) => changelog))
      for (const changelog of changelogs)
        if (!there.has(changelog))
          this.error ??= violation('steering', `a snapshot of all leaves out ${changelog}`)
    }
    // It may not be up, or fail with the disk.
    taken.then(full).catch((error: unknown) => this.#excuse(error))
  }

  #replay(): void {
    const { log, env } = this.#engine
    if (log === undefined || env === undefined || log === this.#asked) return
    this.#asked = log
    const replay = async (): Promise<void> => {
      const plans = this.#engine.plans.filter((one) => one.pipeline === 'sim' || isFatal(one))
      const plan = plans[this.#random.int(plans.length)]!
      // Of those that end their worker not many at once.
      const query = { from: 0, limit: 1 + this.#random.int(isFatal(plan) ? 1 : 8) }
      const { letters } = await openLetters({ log, timers: env.timers }, plan, query)
      const writer = await log.open('letters')
      try {
        this.#tally.replayed += await replayLetters(
          { log, writer, plan, now: env.clock.now() },
          letters,
        )
      } finally {
        await writer.close()
      }
    }
    // A commit that was refused, or of which nobody knows: the letters are still open then, or they are not.
    const failed = (error: unknown): void => this.#excuse(error)
    void replay()
      .catch(failed)
      .then(() => (this.#asked = undefined))
  }

  /** Undefined where it failed, or the process died in it: it may be done or not. */
  #attempt<T>(act: () => T): T | undefined {
    try {
      return act()
    } catch (error) {
      this.#excuse(error)
      return undefined
    }
  }

  /** An engine that stops, dies or has a failing disk may refuse; nothing else is excused. */
  #excuse(error: unknown): void {
    const mayBe =
      error instanceof MillraceError || error instanceof DiskError || error instanceof ProcessDied
    if (!mayBe) this.error ??= error instanceof Error ? error : new Error(String(error))
  }
}

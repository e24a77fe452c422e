import type { Env } from '../core/env/env.ts'
import type { TaskReport } from '../process/runner.ts'
import type { WorkerFacts } from '../observe/metrics.ts'
import type { ToWorker } from './messages.ts'

export interface WorkerReport {
  readonly tasks: readonly TaskReport[]
  readonly commits: number
  readonly commitSeconds: WorkerFacts['commitSeconds']
}

/** How long a busy worker may take to answer before its last report is used. */
const patienceMs = 1_000

/**
 * Asks all workers how their tasks stand. Each worker is asked once at a time however many ask here, and one that does not
 * answer in time (it is in user code, or being replaced) is shown as it last was.
 */
export class Reports {
  readonly #env: Env
  readonly #workers: number
  readonly #post: (slot: number, message: ToWorker) => boolean
  readonly #last = new Map<number, WorkerReport>()
  #asking: Promise<void> | undefined
  #waiting = new Map<number, () => void>()
  #id = 0

  constructor(env: Env, workers: number, post: (slot: number, message: ToWorker) => boolean) {
    this.#env = env
    this.#workers = workers
    this.#post = post
  }

  async tasks(): Promise<readonly TaskReport[]> {
    return (await this.workers()).flatMap(({ report }) => report.tasks)
  }

  async workers(): Promise<readonly { readonly slot: number; readonly report: WorkerReport }[]> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined))
    await this.#asking
    return [...this.#last].map(([slot, report]) => ({ slot, report }))
  }

  answered(slot: number, id: number, report: WorkerReport): void {
    this.#last.set(slot, report)
    if (id === this.#id) this.#waiting.get(slot)?.()
  }

  async #ask(): Promise<void> {
    this.#id++
    const answers: Promise<void>[] = []
    for (let slot = 0; slot < this.#workers; slot++) {
      if (!this.#post(slot, { type: 'report', id: this.#id })) continue
      answers.push(new Promise((resolve) => this.#waiting.set(slot, resolve)))
    }
    const enough = new AbortController()
    await Promise.race([Promise.all(answers), this.#env.timers.sleep(patienceMs, enough.signal)])
    enough.abort()
    this.#waiting.clear()
  }
}

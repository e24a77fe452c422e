import type { Env } from '../core/env/env.ts'
import type { Logger } from '../observe/logger.ts'
import type { TaskReport } from '../process/runner.ts'
import type { WorkerStatus } from './status.ts'

const everyMs = 2_000
/** Lines of one look: a sink that is down has a task for every partition. */
const mostLines = 10
/** A task at the limit of what it can do sheds now and then: that is one trouble, and not many. */
const sheddingMs = 60_000

export interface WatchOptions {
  readonly env: Env
  readonly logger: Logger
  readonly workers: () => readonly WorkerStatus[]
  readonly tasks: () => Promise<readonly TaskReport[]>
}

/** Writes down when a task stops or struggles and when it goes on: whoever reads the log later finds it there. */
export class Watch {
  readonly #options: WatchOptions
  /** What is wrong, by who: as it was written down. */
  #known = new Map<string, string>()
  /** Records shed, by task, at the look before, and until when it counts as shedding. */
  readonly #shed = new Map<string, { readonly records: number; readonly until: number }>()
  #cancel = (): void => {}
  #stopped = false

  constructor(options: WatchOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#stopped) return
    this.#cancel = this.#options.env.timers.after(everyMs, () => {
      void this.look().then(() => this.start())
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  async look(): Promise<void> {
    const { logger, workers, tasks } = this.#options
    const reports = await tasks()
    const now = troubles(workers(), reports, this.#shedding(reports))
    if (this.#stopped) return
    const begun = [...now].filter(([who, what]) => this.#known.get(who) !== what)
    const over = [...this.#known.keys()].filter((who) => !now.has(who))
    for (const [who, what] of begun.slice(0, mostLines)) logger.warn({}, `${who} ${what}`)
    for (const who of over.slice(0, mostLines)) logger.info({}, `${who} goes on.`)
    const unsaid = Math.max(0, begun.length - mostLines) + Math.max(0, over.length - mostLines)
    if (unsaid > 0) logger.warn({}, `So do ${unsaid} more; /readyz and /metrics tell of all.`)
    this.#known = now
  }

  #shedding(reports: readonly TaskReport[]): ReadonlySet<string> {
    const now = this.#options.env.clock.monotonic()
    for (const { id, counters } of reports) {
      // A task that starts over has not read anything, until it has read its counters.
      if (counters.read === 0) continue
      const { records, until } = this.#shed.get(id) ?? { records: counters.shed, until: now }
      const grown = counters.shed > records
      this.#shed.set(id, { records: counters.shed, until: grown ? now + sheddingMs : until })
    }
    return new Set([...this.#shed].flatMap(([id, { until }]) => (until > now ? [id] : [])))
  }
}

function troubles(
  workers: readonly WorkerStatus[],
  tasks: readonly TaskReport[],
  shedding: ReadonlySet<string>,
): Map<string, string> {
  const found = new Map<string, string>()
  for (const { slot, state, phase } of workers) {
    if (state === 'running' && phase === 'disk full')
      found.set(`Worker ${slot}`, 'waits for space on the disk.')
  }
  for (const { id, status, error } of tasks) {
    if (status === 'running' && shedding.has(id))
      found.set(`Task ${id}`, 'sheds records: it is further behind than its stream allows.')
    if (status === 'running' || status === 'finished' || status === 'paused') continue
    found.set(`Task ${id}`, `is ${status}: ${error?.message ?? 'no cause is known'}`)
  }
  return found
}

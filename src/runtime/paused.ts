import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { readJson, saveJson } from './data-files.ts'

const fileName = 'paused.json'

/**
 * Tasks that an operator paused. Kept in the data directory, so that a restart, planned or not, does not undo what
 * somebody decided. A task that does not run this time stays on the list for the time it runs again.
 */
export class Paused {
  readonly #env: Pick<Env, 'disk'>
  readonly #dataDir: string
  #tasks: ReadonlySet<string>

  /** Throws MR2015 or MR6016 where the list cannot be read: without it, what was paused would run. */
  constructor(env: Pick<Env, 'disk'>, dataDir: string) {
    this.#env = env
    this.#dataDir = dataDir
    this.#tasks = new Set(tasksIn(readJson(env, dataDir, fileName), dataDir))
  }

  has(task: string): boolean {
    return this.#tasks.has(task)
  }

  get tasks(): string[] {
    return [...this.#tasks]
  }

  /** Durable when it returns; throws MR2007 or MR2015, and then nothing has changed. */
  add(tasks: readonly string[]): void {
    if (tasks.length > 0) this.#replace(new Set([...this.#tasks, ...tasks]))
  }

  /** As `add`. */
  delete(tasks: readonly string[]): void {
    const gone = new Set(tasks)
    if (gone.size > 0) this.#replace(new Set(this.tasks.filter((task) => !gone.has(task))))
  }

  #replace(tasks: ReadonlySet<string>): void {
    saveJson(this.#env, this.#dataDir, fileName, { paused: [...tasks] })
    this.#tasks = tasks
  }
}

function tasksIn(json: unknown, dataDir: string): readonly string[] {
  if (json === undefined) return []
  const tasks = typeof json === 'object' && json !== null && 'paused' in json ? json.paused : 0
  if (Array.isArray(tasks) && tasks.every((task) => typeof task === 'string')) return tasks
  throw new MillraceError('MR6016', `${dataDir}/${fileName} has no list of tasks.`)
}

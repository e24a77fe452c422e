import { MillraceError } from '../errors.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { Assignment, RunnerShare } from './assignment.ts'
import type { FromWorker, ToWorker } from './messages.ts'
import type { Paused } from './paused.ts'
import type { PipelineStatus } from './status.ts'

/** What became of a pause or resume, in task ids. */
export interface Steered {
  /** Paused now, or let go on now. */
  readonly tasks: readonly string[]
  /** Pause: they were paused already. Resume: they were neither paused nor failed, nor waiting to try again. */
  readonly unchanged: readonly string[]
}

export interface SteeringOptions {
  readonly assignment: Assignment
  readonly merged: MergedPlan
  readonly paused: Paused
  /** Gives a message to the worker of a slot, also while it starts. False where there is none just now. */
  readonly tell: (slot: number, message: ToWorker) => boolean
  /** Has the worker of a slot replaced. */
  readonly renew: (slot: number) => void
}

type Failure = Extract<FromWorker, { type: 'runner-failed' }>

interface Asked {
  readonly slot: number
  readonly tasks: readonly string[]
  readonly resolve: (resumed: readonly string[]) => void
}

interface Meant {
  readonly slot: number
  readonly share: RunnerShare
  readonly tasks: readonly string[]
}

/** What operators want of tasks, and which runners stand still as a whole until an operator resumes them. */
export class Steering {
  readonly #options: SteeringOptions
  /** Sinks that have a second task, which takes replayed letters. */
  readonly #replayed: ReadonlySet<string>
  /** By slot. A worker that is replaced has none. */
  readonly #failures = new Map<number, readonly Failure[]>()
  readonly #asked = new Map<number, Asked>()
  #id = 0

  constructor(options: SteeringOptions) {
    this.#options = options
    const delivers = options.merged.plans.flatMap((plan) => plan.delivers)
    this.#replayed = new Set(
      delivers.filter(({ replay }) => replay !== undefined).map(({ id }) => id),
    )
  }

  /** Those of the paused tasks that this engine has. */
  get paused(): string[] {
    const { assignment, paused } = this.#options
    const { tasks } = paused
    if (tasks.length === 0) return tasks
    const all = new Set(assignment.flat().flatMap((share) => this.#tasksOf(share)))
    return tasks.filter((task) => all.has(task))
  }

  /** Durable when it returns. Throws MR6010 for a name that nothing has. */
  pause(target: string): Steered {
    const { paused, tell } = this.#options
    const meant = this.#meant(target)
    const all = meant.flatMap(({ tasks }) => tasks)
    const unchanged = all.filter((task) => paused.has(task))
    const tasks = all.filter((task) => !paused.has(task))
    paused.add(tasks)
    for (const one of meant) tell(one.slot, { type: 'pause', tasks: one.tasks })
    return { tasks, unchanged }
  }

  /** Lets paused and failed tasks go on. Throws MR6010 for a name that nothing has. */
  async resume(target: string): Promise<Steered> {
    const { paused } = this.#options
    const meant = this.#meant(target)
    const went = new Set(meant.flatMap(({ tasks }) => tasks).filter((task) => paused.has(task)))
    paused.delete([...went])
    const answers = await Promise.all(meant.map((one) => this.#resume(one)))
    for (const task of answers.flat()) went.add(task)
    const all = meant.flatMap(({ tasks }) => tasks)
    return {
      tasks: all.filter((task) => went.has(task)),
      unchanged: all.filter((task) => !went.has(task)),
    }
  }

  /** A worker says which of the tasks it was asked to resume did not run. */
  resumed(id: number, tasks: readonly string[]): void {
    this.#asked.get(id)?.resolve(tasks)
    this.#asked.delete(id)
  }

  failed(slot: number, failure: Failure): void {
    this.#failures.set(slot, [...(this.#failures.get(slot) ?? []), failure])
  }

  /** The worker is gone, and all of its tasks begin again with the next one. */
  gone(slot: number): void {
    this.#failures.delete(slot)
    for (const [id, asked] of this.#asked) if (asked.slot === slot) this.resumed(id, asked.tasks)
  }

  /** The pipelines as they stand: one of which a runner failed as a whole does not run as it should. */
  pipelines(admitted: readonly PipelineStatus[]): PipelineStatus[] {
    const failures = [...this.#failures.values()].flat()
    return admitted.map((pipeline) => {
      const failure = failures.find((one) => one.pipeline === pipeline.name)
      if (failure === undefined || pipeline.state === 'failed') return pipeline
      return { ...pipeline, state: 'failed', error: failure.error }
    })
  }

  /** Gives the tasks that did not run before. */
  async #resume({ slot, share, tasks }: Meant): Promise<readonly string[]> {
    const failures = this.#failures.get(slot) ?? []
    // Its module did not load in this worker, so that there is nothing in it to resume.
    if (failures.some(({ runner }) => runner === share.pipeline)) {
      this.#options.renew(slot)
      return tasks
    }
    const id = this.#id++
    const answer = new Promise<readonly string[]>((resolve) =>
      this.#asked.set(id, { slot, tasks, resolve }),
    )
    if (!this.#options.tell(slot, { type: 'resume', id, tasks })) this.gone(slot)
    const resumed = await answer
    if (resumed.length > 0) this.#forget(slot, share)
    return resumed
  }

  /** With one runner those go on that stopped with it: of the same pipeline, or the same ingest. */
  #forget(slot: number, share: RunnerShare): void {
    const left = (this.#failures.get(slot) ?? []).filter(({ runner, pipeline }) =>
      share.kind === 'ingest' || runner.startsWith('ingest/')
        ? runner !== share.id
        : pipeline !== share.pipeline,
    )
    if (left.length === 0) this.#failures.delete(slot)
    else this.#failures.set(slot, left)
  }

  /** What a name means: a task, all of a stage or sink, or all of a pipeline, and then what of its ingest has failed. */
  #meant(target: string): Meant[] {
    const meant: Meant[] = []
    for (const [slot, shares] of this.#options.assignment.entries()) {
      const failures = this.#failures.get(slot) ?? []
      for (const share of shares) {
        const failed = failures.some(({ runner }) => runner === share.id)
        const whole =
          target === share.id ||
          share.id.startsWith(`${target}/`) ||
          (failed && target === share.pipeline)
        const tasks = this.#tasksOf(share).filter(
          (task) => whole || task === target || task.startsWith(`${target}/`),
        )
        if (tasks.length > 0) meant.push({ slot, share, tasks })
      }
    }
    if (meant.length > 0) return meant
    throw new MillraceError('MR6010', `No task, stage, sink or pipeline is called "${target}".`)
  }

  #tasksOf({ id, partitions }: RunnerShare): string[] {
    const tasks = partitions.map((partition) => `${id}/${partition}`)
    return this.#replayed.has(id) && partitions.includes(0) ? [...tasks, `${id}.replay/0`] : tasks
  }
}

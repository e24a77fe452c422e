/** A process that runs the seeds it is given, one at a time, and says how each went. */
import { onMark } from '../../src/core/mark.ts'
import type { Config } from './config.ts'
import { operate } from './operator.ts'
import { pulled } from './pulled.ts'
import { runSeed } from './run.ts'
import { strays } from './strays/index.ts'
import type { Tally } from './tally.ts'
import { shrink } from './shrink.ts'

export interface Task {
  readonly seed: number
  /** Runs it a second time, which must leave the same trace. */
  readonly twice: boolean
}

export interface Outcome {
  readonly seed: number
  readonly tally: Tally
  readonly marks: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  readonly violation: string | undefined
  /** What a smaller run that breaks the same promise overrides. */
  readonly smaller: Partial<Config> | undefined
  readonly cpuSeconds: number
}

export async function perform({ seed, twice }: Task): Promise<Outcome> {
  const marks: Record<string, number> = {}
  onMark((name) => (marks[name] = (marks[name] ?? 0) + 1))
  const before = process.cpuUsage()
  const result = await runSeed(seed)
  onMark(undefined)
  const { user, system } = process.cpuUsage(before)
  let violation = result.violation?.message
  let smaller: Partial<Config> | undefined
  if (result.violation !== undefined) {
    console.log(`seed ${seed} broke ${violation}`)
    smaller = await shrink(seed, result)
  } else if (twice) {
    const again = await runSeed(seed)
    if (again.traceHash !== result.traceHash) {
      violation = `determinism: the trace has the hash ${result.traceHash} once and ${again.traceHash} the second time`
      console.log(`seed ${seed} broke ${violation}`)
    }
  }
  if (violation === undefined && seed % 5 === 0) {
    const beside = seed % 10 === 0 ? ((await operate(result)) ?? (await pulled(seed))) : undefined
    violation = (beside ?? (await strays(seed)).violation)?.message
    if (violation !== undefined) console.log(`seed ${seed} broke ${violation}`)
  }
  const { tally, faults } = result
  return {
    seed,
    tally,
    marks,
    faults: Object.fromEntries(faults),
    violation,
    smaller,
    cpuSeconds: (user + system) / 1e6,
  }
}

process.on('message', (task: Task) => {
  void perform(task).then(
    (outcome) => process.send!(outcome),
    (error: unknown) => {
      console.error(`seed ${task.seed} ended the process that ran it`)
      console.error(error)
      process.exit(1)
    },
  )
})

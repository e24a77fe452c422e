/**
 * Runs seeds of the simulated engine, on all cores.
 *
 *     npm run sim -- --seed 17                  one run, with its trace and the hash of it
 *     npm run sim -- --seed 17 --set '{"crashes":2}'   the same, with something else than the seed drew
 *     npm run sim -- --seeds 1000 --from 1      many
 *     npm run sim -- --minutes 10               as many as there is time for, from --from (default: 1)
 *     npm run sim -- --seeds 100 --cores 1      in one process
 *     npm run sim -- --seeds 400 --coverage     and which lines of the engine they ran; `--lines`: which they did not
 *
 * Exit status 1 when a promise broke, when two runs of a seed differed, when fewer than a fifth of the kills met an open
 * commit, or when a marked branch was never reached in 20,000 seeds; the last line says how it went.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { numbers } from '../support/numbers.ts'
import type { Config } from './config.ts'
import { Coverage } from './coverage.ts'
import { operate } from './operator.ts'
import type { Outcome, Task } from './part.ts'
import { pulled } from './pulled.ts'
import { Report } from './report.ts'
import { runSeed } from './run.ts'
import { strays } from './strays/index.ts'

const usage =
  'npm run sim -- [--seed N [--set JSON] | --seeds COUNT --from N | --minutes COUNT --from N] [--cores N] [--coverage [--lines]]'
const set = takeSet()
const lines = takeFlag('--lines')
const coverage = takeFlag('--coverage') || lines ? new Coverage() : undefined
const given = numbers(usage, ['seed', 'seeds', 'from', 'minutes', 'cores'])
process.exitCode = given.seed === undefined ? await many() : await one(given.seed, set)

function takeSet(): Partial<Config> {
  const at = process.argv.indexOf('--set')
  if (at === -1) return {}
  const [, text = ''] = process.argv.splice(at, 2)
  return JSON.parse(text) as Partial<Config>
}

function takeFlag(name: string): boolean {
  const at = process.argv.indexOf(name)
  if (at >= 0) process.argv.splice(at, 1)
  return at >= 0
}

async function one(seed: number, change: Partial<Config>): Promise<number> {
  const result = await runSeed(seed, change, 2_000)
  const { config, tally, trace, traceHash } = result
  const violation =
    result.violation ??
    (await operate(result)) ??
    (await pulled(seed)) ??
    (await strays(seed)).violation
  console.log(trace.join('\n'))
  console.log(`drawn: ${JSON.stringify(config)}`)
  console.log(`what happened: ${JSON.stringify(tally)}`)
  console.log(`hash of the trace: ${traceHash}`)
  console.log(`seed ${seed}: ${violation === undefined ? 'all promises kept' : violation.message}`)
  return violation === undefined ? 0 : 1
}

async function many(): Promise<number> {
  const { from = 1, minutes } = given
  const seeds = given.seeds ?? (minutes === undefined ? 100 : Infinity)
  const until = minutes === undefined ? Infinity : performance.now() + minutes * 60_000
  const report = new Report(from)
  let next = from
  const take = (): Task | undefined => {
    if (next >= from + seeds || performance.now() >= until) return undefined
    const seed = next++
    return { seed, twice: seed % 50 === 0 }
  }
  const cores = Math.max(1, given.cores ?? availableParallelism())
  const telling = setInterval(() => report.progress(), 5_000)
  await Promise.all(Array.from({ length: cores }, () => part(take, report)))
  clearInterval(telling)
  coverage?.tell(lines)
  coverage?.remove()
  return report.end() ? 0 : 1
}

/** One process, from its first seed to its last. Where a seed ends it, another one takes its place. */
async function part(take: () => Task | undefined, report: Report): Promise<void> {
  // Lines are counted less exactly in what was compiled before.
  const counted =
    coverage === undefined
      ? {}
      : { NODE_V8_COVERAGE: coverage.directory, NODE_DISABLE_COMPILE_CACHE: '1' }
  const child = fork(fileURLToPath(new URL('part.ts', import.meta.url)), {
    env: { ...process.env, ...counted },
  })
  const ended = once(child, 'exit')
  for (let task = take(); task !== undefined; task = take()) {
    const outcome = await ask(child, task)
    if (outcome === undefined) {
      console.log(`seed ${task.seed} ended the process it ran in`)
      report.add(task.seed, undefined)
      return part(take, report)
    }
    report.add(task.seed, outcome)
  }
  child.disconnect()
  await ended
}

/** Undefined when the process ended. */
function ask(child: ChildProcess, task: Task): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    const ended = (): void => resolve(undefined)
    child.once('exit', ended)
    child.once('message', (outcome) => {
      child.off('exit', ended)
      resolve(outcome as Outcome)
    })
    child.send(task)
  })
}

/**
 * Runs seeds of the simulated engine.
 *
 *     npm run sim -- --seed 17              one run, with its trace where a promise breaks
 *     npm run sim -- --seeds 1000 --from 1  many
 *     npm run sim -- --minutes 10           as many as there is time for, from --from (default: 1)
 *
 * Exit status 1 when a promise broke; the last line says how it went.
 */
import { numbers } from '../support/numbers.ts'
import { runSeed } from './run.ts'
import type { RunResult } from './run.ts'

const usage = 'npm run sim -- [--seed N | --seeds COUNT --from N | --minutes COUNT --from N]'
const given = numbers(usage, ['seed', 'seeds', 'from', 'minutes'])
const { seed, minutes } = given
const from = seed ?? given.from ?? 1
const seeds = seed === undefined ? (given.seeds ?? (minutes === undefined ? 100 : Infinity)) : 1
const until = minutes === undefined ? Infinity : performance.now() + minutes * 60_000

const sum = {
  seeds: 0,
  crashes: 0,
  midWrite: 0,
  inRecovery: 0,
  workerKills: 0,
  torn: 0,
  snapshots: 0,
  events: 0,
}
const broken: RunResult[] = []
const started = performance.now()
let told = started

for (let next = from; next < from + seeds && performance.now() < until; next++) {
  const result = await runSeed(next)
  const { kills, powerCuts, ...tally } = result.tally
  sum.seeds++
  sum.crashes += kills + powerCuts + tally.workerKills
  for (const name of [
    'midWrite',
    'inRecovery',
    'workerKills',
    'torn',
    'snapshots',
    'events',
  ] as const)
    sum[name] += tally[name]
  if (result.violation !== undefined) {
    broken.push(result)
    tell(result)
  }
  if (performance.now() - told > 5_000) {
    told = performance.now()
    console.log(`${sum.seeds} seeds, ${sum.crashes} crash-recoveries, ${broken.length} violations`)
  }
}

const seconds = (performance.now() - started) / 1_000
const { crashes, midWrite, inRecovery, workerKills, torn, snapshots, events } = sum
console.log(`seeds ${from} to ${from + sum.seeds - 1}, ${events} events`)
console.log(
  `crash-recoveries ${crashes}: ${midWrite} in the middle of a write, ${inRecovery} in recovery, ${workerKills} of a worker alone`,
)
console.log(`torn tails found ${torn}, snapshots ${snapshots}`)
for (const { seed: bad } of broken.slice(0, 10))
  console.log(`to see it again: npm run sim -- --seed ${bad}`)
const rate = `${(sum.seeds / seconds).toFixed(1)} seeds/s, ${(crashes / seconds).toFixed(1)} crash-recoveries/s`
console.log(
  `${sum.seeds} seeds, ${crashes} crash-recoveries, ${broken.length} violations in ${seconds.toFixed(1)} s (${rate})`,
)
process.exitCode = broken.length === 0 ? 0 : 1

function tell({ seed: bad, config, tally, violation, trace }: RunResult): void {
  console.log(`seed ${bad} broke ${violation?.message ?? ''}`)
  if (seed === undefined) return
  console.log(`what was drawn: ${JSON.stringify(config)}`)
  console.log(`what happened: ${JSON.stringify(tally)}`)
  console.log(`the last of the trace:\n  ${trace.join('\n  ')}`)
}

/**
 * Plants bugs and sees whether something notices.
 *
 *     npm run mutants -- --named                  the named ones; fails if one survives 20 seconds
 *     npm run mutants -- --only sync-skipped      one of them
 *     npm run mutants -- --seed 7 --count 40      mechanical ones, drawn by the seed; fails if fewer than 90 % are noticed
 *     npm run mutants                             the named ones, then 40 mechanical ones
 *
 * `--write` puts what was measured into docs/reference/mutants.md; `--jobs N` runs so many at a time;
 * `--limit S` is for a machine that has other things to do. `--results FILE` keeps what became of mechanical ones, so
 * that a run that was stopped goes on, and plants again what survived.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { judge } from './mechanical-run.ts'
import { named } from './named.ts'
import { sound, tryAll } from './pool.ts'
import type { Tried } from './pool.ts'
import { tallyOf, writeMechanical, writeNamed } from './record.ts'
import { Scratch } from './scratch.ts'

const usage =
  'npm run mutants -- [--named | --only NAME | --seed N --count N] [--jobs N] [--limit S] [--results FILE] [--write]'
const leastShare = 0.9

const given = options()
const only = given.only === undefined ? named : named.filter(({ name }) => name === given.only)
if (only.length === 0) fail(`There is no mutant "${given.only}".`)
const wantsNamed = given.named || given.only !== undefined
const wantsMechanical = given.seed !== undefined || given.count !== undefined
const problems: string[] = []

const scratches = Array.from({ length: given.jobs }, () => new Scratch())
process.once('exit', () => scratches.forEach((scratch) => scratch.remove()))
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.once('SIGHUP', () => process.exit(129))

if (wantsNamed || !wantsMechanical) await runNamed()
if (wantsMechanical || !wantsNamed) await runMechanical(given.seed ?? 1, given.count ?? 40)
for (const problem of problems) console.log(`PROBLEM ${problem}`)
process.exit(problems.length === 0 ? 0 : 1)

async function runNamed(): Promise<void> {
  const gates = only.map(({ gate }) => gate)
  const { problems: red } = await sound(scratches, gates, given.limit)
  problems.push(...red)
  if (red.length > 0) return
  const works = only.map((mutant) => ({ mutant, gates: [mutant.gate] }))
  const tried = await tryAll(
    scratches,
    works,
    () => given.limit,
    false,
    ({ mutant, ...result }, done) => {
      tell(`${done}/${works.length} ${mutant.name}`, result)
    },
  )
  for (const { mutant, caught, verdict } of tried)
    if (!caught)
      problems.push(`${mutant.name} survived${verdict.by === '' ? '' : `: ${verdict.by}`}`)
  const slowest = Math.max(...tried.map(({ seconds }) => seconds))
  const count = tried.filter(({ caught }) => caught).length
  console.log(`named: ${count} of ${tried.length} caught, the slowest in ${slowest.toFixed(1)} s`)
  if (given.write && given.only === undefined) writeNamed(tried, given.limit)
}

async function runMechanical(seed: number, count: number): Promise<void> {
  const began = performance.now()
  const { results } = given
  const judged = await judge({ seed, count, scratches, results, tell })
  if (typeof judged === 'string') return void problems.push(judged)
  const minutes = (performance.now() - began) / 60_000
  const { share, text, unexplained } = tallyOf(judged)
  for (const { name } of unexplained) console.log(`survived: ${name}`)
  console.log(`seed ${seed}: ${text}; ${minutes.toFixed(1)} minutes`)
  if (share < leastShare) problems.push(`fewer than ${leastShare * 100} % were caught`)
  if (given.write) writeMechanical(seed, judged)
}

function tell(what: string, { caught, verdict, seconds }: Omit<Tried<never>, 'mutant'>): void {
  const how = caught ? `caught by ${verdict.by}` : 'SURVIVED'
  console.log(`${what}: ${how} (${seconds.toFixed(1)} s)`)
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        named: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        only: { type: 'string' },
        seed: { type: 'string' },
        count: { type: 'string' },
        jobs: { type: 'string' },
        results: { type: 'string' },
        limit: { type: 'string', default: '20' },
      },
    })
    const { named: all, write, only: one, results } = values
    const jobs = whole('jobs', values.jobs) ?? availableParallelism()
    const seed = whole('seed', values.seed)
    const count = whole('count', values.count)
    return {
      named: all,
      write,
      only: one,
      results,
      seed,
      count,
      jobs,
      limit: whole('limit', values.limit) ?? 20,
    }
  } catch (error) {
    return fail((error as Error).message)
  }
}

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new Error(`--${name} takes a number; got "${text}".`)
  return Number(text)
}

function fail(message: string): never {
  console.error(`${message}\n\n${usage}`)
  process.exit(2)
}

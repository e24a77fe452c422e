/**
 * What random search does not reach: every case of something small.
 *
 *     npm run exhaust -- crash [--states N --seed N]   every disk that a power cut can leave
 *
 * Exit status 1 when a promise broke; the last line says how it went.
 */
import { SeededRandom } from '../../src/core/env/simulated/index.ts'
import { numbers } from '../support/numbers.ts'
import { crashStates } from './crash-states.ts'
import { faults } from './faults.ts'

const [gate = '', ...rest] = process.argv.slice(2)
process.argv.splice(2, Infinity, ...rest)
const tell = (line: string): void => console.log(line)
const started = performance.now()

async function crash(): Promise<number> {
  const given = numbers('npm run exhaust -- crash [--states N --seed N]', ['states', 'seed'])
  const random = new SeededRandom(given.seed ?? 1, 'states')
  const { states, recoveries, broken } = await crashStates(
    given.states ?? Infinity,
    () => random.float(),
    tell,
  )
  end(broken, `${states} states, ${recoveries} recoveries`)
  return broken.length
}

async function fault(): Promise<number> {
  const only = process.argv.splice(2, 1)[0]
  const { runs, sites, missing, broken } = await faults(only, tell)
  for (const site of only === undefined ? missing : []) console.log(`never failed: ${site}`)
  end(broken, `${runs} runs, ${sites - missing.length} of ${sites} call sites failed`)
  return broken.length + (only === undefined ? missing.length : 0)
}

function end(broken: readonly string[], what: string): void {
  for (const line of broken.slice(0, 40)) console.log(line)
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  console.log(`${what}, ${broken.length} violations in ${seconds} s`)
}

const gates: Readonly<Record<string, () => Promise<number>>> = { crash, faults: fault }
const run = gates[gate]
if (run === undefined) {
  console.error(`npm run exhaust -- ${Object.keys(gates).join(' | ')}`)
  process.exitCode = 2
} else process.exitCode = (await run()) === 0 ? 0 : 1

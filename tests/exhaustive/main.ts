/**
 * What random search does not reach: every case of something small.
 *
 *     npm run exhaust -- crash [--states N --seed N]           every disk that a power cut can leave
 *     npm run exhaust -- faults [NAME] [--every N]             every disk call that can fail, by every errno
 *     npm run exhaust -- bits [--from N --count N --cores N | --sample N --seed N]   every bit of data directories
 *     npm run exhaust -- decoders [--count N --from N --seed N --cores N]  mutations of every encoding
 *     npm run exhaust -- handoff [--seed N --ends N]   memory that threads share, in every order; threads ended in the middle
 *
 * Exit status 1 when a promise broke; the last line says how it went.
 */
import { spawn } from 'node:child_process'
import { SeededRandom } from '../../src/core/env/simulated/index.ts'
import { numbers } from '../support/numbers.ts'
import { bitsOf, directories, flip } from './bits.ts'
import type { Verdict } from './bits.ts'
import { crashStates, otherCrashStates } from './crash-states.ts'
import { decoders } from './decoders.ts'
import { subjects } from './decoder-subjects.ts'
import { faults } from './faults.ts'
import { handoff } from './handoff-gate.ts'

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
  const others = await otherCrashStates(undefined, tell)
  broken.push(...others.broken)
  end(broken, `${states + others.states} states, ${recoveries + others.recoveries} recoveries`)
  return broken.length
}

async function fault(): Promise<number> {
  const only = process.argv[2]?.startsWith('--') === true ? undefined : process.argv.splice(2, 1)[0]
  const { every = 1 } = numbers('npm run exhaust -- faults [NAME] [--every N]', ['every'])
  const { runs, sites, missing, broken } = await faults(only, every, tell)
  for (const site of only === undefined ? missing : []) console.log(`never failed: ${site}`)
  end(broken, `${runs} runs, ${sites - missing.length} of ${sites} call sites failed`)
  return broken.length + (only === undefined ? missing.length : 0)
}

async function bits(): Promise<number> {
  const usage = 'npm run exhaust -- bits [--from N --count N --cores N | --sample N --seed N]'
  const given = numbers(usage, ['from', 'count', 'cores', 'sample', 'seed'])
  // Errors are part of the way, thousands of them, and nobody reads where they came from.
  Error.stackTraceLimit = 0
  const all = await directories()
  const total = bitsOf(all)
  const { from = 0, cores = 1, sample, seed = 1 } = given
  const count = Math.min(total - from, given.count ?? Infinity)
  if (cores > 1) return await onCores(cores, {}, from, count)
  const tally: Record<Verdict, number> = { unchanged: 0, refused: 0, reported: 0 }
  const broken: string[] = []
  const one = async (bit: number): Promise<void> => {
    try {
      tally[await flip(all, bit)]++
    } catch (error) {
      broken.push(`bit ${bit}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const random = new SeededRandom(seed, 'bits')
  let told = performance.now()
  for (let i = 0; i < (sample ?? count) && broken.length < 100; i++) {
    await one(sample === undefined ? from + i : random.int(total))
    if (performance.now() - told < 10_000) continue
    told = performance.now()
    tell(`${i + 1} bits, ${broken.length} violations; go on with --from ${from + i + 1}`)
  }
  const { unchanged, refused, reported } = tally
  const files = all.reduce((sum, one) => sum + one.files.size, 0)
  const which = sample === undefined ? `bits ${from} to ${from + count - 1}` : `${sample} bits`
  end(
    broken,
    `${which} of ${total} in ${files} files: ${unchanged} changed nothing, ${refused} refused, ${reported} reported`,
  )
  return broken.length
}

async function decoding(): Promise<number> {
  const usage = 'npm run exhaust -- decoders [--count N --from N --seed N --cores N]'
  const given = numbers(usage, ['count', 'from', 'seed', 'cores'])
  const { seed = 1, from = 0, count = 1_000_000, cores = 1 } = given
  if (cores > 1) return await onCores(cores, { seed }, from, count)
  const all = await subjects()
  const { mutations, taken, broken } = await decoders(all, seed, from, count, tell)
  const range = `${mutations} mutations (seed ${seed}, ${from} to ${from + count - 1})`
  end(broken, `${range} of ${all.length} decoders, ${taken} taken for valid`)
  return broken.length
}

/** The same gate in processes of their own, each with a part of what is counted. */
async function onCores(
  cores: number,
  same: Readonly<Record<string, number>>,
  from: number,
  count: number,
): Promise<number> {
  const part = Math.ceil(count / cores)
  const codes = await Promise.all(
    Array.from({ length: cores }, (_, i) => {
      const numbersOf = { ...same, from: from + i * part, count: Math.min(part, count - i * part) }
      const args = Object.entries(numbersOf).flatMap(([name, n]) => [`--${name}`, String(n)])
      const child = spawn(process.execPath, [import.meta.filename, gate, ...args], {
        stdio: 'inherit',
      })
      return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
    }),
  )
  const failed = codes.filter((code) => code !== 0).length
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  tell(
    `${count} on ${cores} cores: ${failed === 0 ? 'no violation' : 'violations'} in ${seconds} s`,
  )
  return failed
}

async function handingOff(): Promise<number> {
  const { seed = 1, ends = 100 } = numbers('npm run exhaust -- handoff [--seed N --ends N]', [
    'seed',
    'ends',
  ])
  const { what, broken } = await handoff(seed, ends, tell)
  end(broken, what)
  return broken.length
}

function end(broken: readonly string[], what: string): void {
  for (const line of broken.slice(0, 8)) console.log(line)
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  console.log(`${what}, ${broken.length} violations in ${seconds} s`)
}

const gates: Readonly<Record<string, () => Promise<number>>> = {
  crash,
  faults: fault,
  bits,
  decoders: decoding,
  handoff: handingOff,
}
const run = gates[gate]
if (run === undefined) {
  console.error(`npm run exhaust -- ${Object.keys(gates).join(' | ')}`)
  process.exitCode = 2
} else process.exitCode = (await run()) === 0 ? 0 : 1

/**
 * Which tests come to the place of a mutant at all: only these can notice it. All tests run once without a bug, in a
 * copy of the repository in which each place tells that it was reached.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runGate, secondsOf } from './gate.ts'
import type { MechanicalMutant } from './mechanical.ts'
import type { Gate } from './mutant.ts'
import { sourceOf } from './mutant.ts'
import { Scratch } from './scratch.ts'

export interface Reach {
  /** Seconds that each test took. */
  readonly seconds: Readonly<Record<string, number>>
  /** By mutant, in the order of the mutants: the tests that come there, and `simulator` if it does. */
  readonly tests: readonly (readonly string[])[]
}

export const simulator = 'simulator'
/** Seconds for all of them. */
const MOST_SECONDS = 1_800

/** Or why nothing can be said. A test that fails without a bug is left out. */
export async function reach(
  mutants: readonly MechanicalMutant[],
  tests: readonly string[],
  simulation: Gate | undefined,
): Promise<Reach | string> {
  const scratch = new Scratch()
  const { directory } = scratch
  const told = mkdtempSync(join(tmpdir(), 'millrace-reach-'))
  try {
    for (const [file, group] of Map.groupBy(mutants, (mutant) => mutant.file))
      writeFileSync(join(directory, file), telling(sourceOf(file, directory), group, mutants))
    const preload = join(import.meta.dirname, 'reached.mjs')
    const options = `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`
    const env = { NODE_OPTIONS: options, REACH_FOLDER: told }
    if (simulation !== undefined) {
      const named = { env: { ...env, REACH_TEST: simulator } }
      const { outcome, by, output } = await runGate(directory, simulation, MOST_SECONDS, named)
      if (outcome !== 'passed') return `${by}\n${output}`
    }
    const verdict = await runGate(directory, { tests }, MOST_SECONDS, { env, all: true })
    if (verdict.outcome === 'timeout') return verdict.by
    const seconds: Record<string, number> = {}
    for (const [test, took] of secondsOf(directory)) {
      if (took === undefined) console.log(`left out, because it fails without a bug: ${test}`)
      else seconds[test] = took
    }
    const reaching = byMutant(told, mutants).map((names) =>
      names.filter((name) => name === simulator || name in seconds),
    )
    return { seconds, tests: reaching }
  } finally {
    scratch.remove()
    rmSync(told, { recursive: true, force: true })
  }
}

/** The text of a file in which each place tells the number of its mutant. */
export function telling(
  text: string,
  group: readonly MechanicalMutant[],
  all: readonly MechanicalMutant[],
): string {
  const parts: { readonly at: number; readonly wide: number; readonly text: string }[] = []
  for (const mutant of group) {
    const { start, end } = mutant.whole
    const call = `globalThis.reached?.(${all.indexOf(mutant)})`
    const wide = end - start
    if (wide === 0) parts.push({ at: start, wide, text: `${call};` })
    else if (mutant.kind === 'call deleted')
      parts.push({ at: start, wide, text: `{${call};` }, { at: end, wide: -wide, text: '}' })
    else parts.push({ at: start, wide, text: `(${call},` }, { at: end, wide: -wide, text: ')' })
  }
  // Where two begin at one place the wider is outside; where two end, the narrower ends first.
  parts.sort((a, b) => a.at - b.at || order(a.wide) - order(b.wide) || b.wide - a.wide)
  let out = ''
  let from = 0
  for (const { at, text: part } of parts) {
    out += text.slice(from, at) + part
    from = at
  }
  return out + text.slice(from)
}

/** What ends comes before what begins at the same place. */
const order = (wide: number): number => (wide < 0 ? 0 : 1)

function byMutant(told: string, mutants: readonly MechanicalMutant[]): string[][] {
  const tests = mutants.map((): string[] => [])
  for (const name of readdirSync(told)) {
    const numbers = new Set(readFileSync(join(told, name), 'utf8').trim().split('\n').map(Number))
    for (const number of numbers) tests[number]!.push(decodeURIComponent(name))
  }
  return tests
}

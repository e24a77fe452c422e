/** Plants the mechanical mutants of a seed, but for those that are known to be harmless or to be caught. */
import { explained } from './harmless.ts'
import type { Harmless } from './harmless.ts'
import { gatesFor, simulation, testsIn } from './mechanical-gates.ts'
import { allIn, drawn } from './mechanical.ts'
import type { MechanicalMutant } from './mechanical.ts'
import type { Gate } from './mutant.ts'
import { tryAll } from './pool.ts'
import type { Tried } from './pool.ts'
import { reach } from './reach.ts'
import type { Reach } from './reach.ts'
import { commit } from './record.ts'
import { hashOf, Results, textsOf } from './results.ts'
import type { Found } from './results.ts'
import type { Scratch } from './scratch.ts'

export interface Judged {
  readonly mutant: MechanicalMutant
  readonly known: Harmless | undefined
  /** Undefined where it was not planted. */
  readonly found: Omit<Found, 'mutant'> | undefined
}

interface Options {
  readonly seed: number
  readonly count: number
  readonly scratches: readonly Scratch[]
  readonly results: string | undefined
  readonly tell: (what: string, tried: Omit<Tried<never>, 'mutant'>) => void
}

/** Or why nothing can be said. */
export async function judge(options: Options): Promise<Judged[] | string> {
  const { seed, count, scratches, tell } = options
  const directory = scratches[0]!.directory
  const mutants = drawn(seed, count, allIn(directory))
  const results = new Results(options.results)
  // What survived before may meet a new test.
  const left = mutants.filter(
    (mutant) => explained(mutant) === undefined && results.of(mutant)?.caught !== true,
  )
  if (left.length > 0) {
    const reached = await measured(mutants, directory, results)
    if (typeof reached === 'string') return reached
    const limit = limitOf(reached)
    const works = left
      .map((mutant) => {
        const reaching = reached.tests[mutants.indexOf(mutant)]!
        return { mutant, gates: gatesFor(mutant.file, reaching, reached.seconds) }
      })
      // Quick ones first: most is known soonest.
      .toSorted((a, b) => sum(a.gates.map(limit)) - sum(b.gates.map(limit)))
    const head = commit()
    await tryAll(scratches, works, limit, true, (tried, done) => {
      const { mutant, caught, verdict } = tried
      results.add(mutant, { caught, by: verdict.by, seconds: tried.seconds, commit: head })
      tell(`${done}/${works.length} ${mutant.name}`, tried)
    })
  }
  return mutants.map((mutant) => {
    const known = explained(mutant)
    return { mutant, known, found: known === undefined ? results.of(mutant) : undefined }
  })
}

async function measured(
  mutants: readonly MechanicalMutant[],
  directory: string,
  results: Results,
): Promise<Reach | string> {
  const sources = hashOf(directory, mutants)
  const texts = textsOf(directory, testsIn(directory))
  const { known, missing } = results.reach(sources, texts)
  if (missing.length === 0) return known
  console.log(`${missing.length} test files without a bug first`)
  const first = known.tests.length === 0
  const now = await reach(mutants, missing, first ? simulation : undefined)
  if (typeof now === 'string') return now
  const all = {
    seconds: { ...known.seconds, ...now.seconds },
    tests: now.tests.map((names, i) => [...(known.tests[i] ?? []), ...names]),
  }
  results.measured(sources, texts, all)
  return all
}

/** What takes much longer than without the bug hangs because of it. */
function limitOf({ seconds }: Reach): (gate: Gate) => number {
  return (gate) => {
    if ('seeds' in gate) return 20 + 5 * gate.seeds
    return 15 + gate.tests.length + 4 * sum(gate.tests.map((test) => seconds[test] ?? 0))
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

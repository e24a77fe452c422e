/** What is run against a mechanical mutant: what notices soonest comes first. */
import { globSync } from 'node:fs'
import type { Gate } from './mutant.ts'
import { simulator } from './reach.ts'

/** Seconds of tests that are run for one mutant, at most. */
const MOST_SECONDS = 40
/** Seconds of tests that run first, so that what hangs is noticed early. */
const FIRST_SECONDS = 3

export const simulation: Gate = { from: 1, seeds: 3 }

/** Tests that may notice a mechanical mutant. */
export function testsIn(directory: string): string[] {
  const endToEnd = ['engine', 'commands', 'steering', 'bad-input', 'user-code', 'operator-tools']
  return [
    ...globSync('src/**/*.test.ts', { cwd: directory }).toSorted(),
    ...endToEnd.map((name) => `tests/end-to-end/${name}.test.ts`),
  ]
}

/** Of the tests that come to the place: its own, then the quick ones; the simulator at last. */
export function gatesFor(
  file: string,
  reaching: readonly string[],
  seconds: Readonly<Record<string, number>>,
): Gate[] {
  const own = file.replace(/\.ts$/, '.test.ts')
  const cost = (test: string): number => (test === own ? 0 : (seconds[test] ?? 0))
  const ordered = reaching
    .filter((test) => test !== simulator)
    .toSorted((a, b) => cost(a) - cost(b))
  const [first, second]: [string[], string[]] = [[], []]
  let sum = 0
  for (const test of ordered) {
    sum += seconds[test] ?? 0
    if (sum <= FIRST_SECONDS || first.length === 0) first.push(test)
    else if (sum <= MOST_SECONDS || second.length === 0) second.push(test)
  }
  return [
    ...[first, second].filter(({ length }) => length > 0).map((tests) => ({ tests })),
    ...(reaching.includes(simulator) ? [simulation] : []),
  ]
}

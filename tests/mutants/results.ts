/** What a run of mechanical mutants found so far, in a file of one JSON line each: a stopped run goes on from there. */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MechanicalMutant } from './mechanical.ts'
import { simulator } from './reach.ts'
import type { Reach } from './reach.ts'

export interface Found {
  readonly mutant: string
  readonly caught: boolean
  readonly by: string
  readonly seconds: number
  readonly commit: string
}

/** Which tests come to which mutant, in which sources, and with which texts of the tests. */
interface Measured extends Reach {
  readonly sources: string
  readonly texts: Readonly<Record<string, string>>
}

export class Results {
  readonly #found = new Map<string, Found>()
  readonly #path: string | undefined
  #measured: Measured | undefined

  constructor(path: string | undefined) {
    this.#path = path
    if (path === undefined || !existsSync(path)) return
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      if (line === '') continue
      const value = JSON.parse(line) as Found | Measured
      if ('sources' in value) this.#measured = value
      else this.#found.set(value.mutant, value)
    }
  }

  of(mutant: MechanicalMutant): Found | undefined {
    return this.#found.get(identity(mutant))
  }

  add(mutant: MechanicalMutant, found: Omit<Found, 'mutant'>): void {
    const whole = { mutant: identity(mutant), ...found }
    this.#found.set(whole.mutant, whole)
    this.#append(whole)
  }

  /** Of these tests; those that were not measured, or are others now, are `missing`. */
  reach(sources: string, texts: Measured['texts']): { known: Reach; missing: string[] } {
    const last = this.#measured?.sources === sources ? this.#measured : undefined
    const same = (test: string): boolean => texts[test] === last?.texts[test]
    const seconds = Object.entries(last?.seconds ?? {}).filter(([test]) => same(test))
    const tests = last?.tests.map((names) =>
      names.filter((name) => name === simulator || same(name)),
    )
    return {
      known: { seconds: Object.fromEntries(seconds), tests: tests ?? [] },
      missing: Object.keys(texts).filter((test) => last === undefined || !same(test)),
    }
  }

  measured(sources: string, texts: Measured['texts'], reach: Reach): void {
    this.#measured = { sources, texts, ...reach }
    this.#append(this.#measured)
  }

  #append(value: Found | Measured): void {
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(value)}\n`)
  }
}

/** Not by its line number: an edit elsewhere in the file leaves it what it is. */
function identity({ file, before, after, nth }: MechanicalMutant): string {
  return `${file} | ${before} | ${after} | ${nth}`
}

/** Of the sources, but for the tests, and of what is drawn from them. */
export function hashOf(directory: string, mutants: readonly MechanicalMutant[]): string {
  const hash = createHash('sha256')
  for (const file of globSync('src/**/*.ts', { cwd: directory }).toSorted())
    if (!/\.(test|suite|fixture)\.ts$/.test(file))
      hash.update(`${file}\0`).update(readFileSync(join(directory, file)))
  for (const mutant of mutants) hash.update(`${identity(mutant)}\0`)
  return hash.digest('hex').slice(0, 16)
}

export function textsOf(directory: string, tests: readonly string[]): Record<string, string> {
  const hashOfText = (test: string): string =>
    createHash('sha256')
      .update(readFileSync(join(directory, test)))
      .digest('hex')
      .slice(0, 8)
  return Object.fromEntries(tests.map((test) => [test, hashOfText(test)]))
}

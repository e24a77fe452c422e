/** A bug that is planted on purpose, to see that something notices it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '../..')

/** What is run against a mutant: test files, or seeds of the simulator. */
export type Gate =
  | { readonly tests: readonly string[]; readonly only?: string }
  | { readonly from: number; readonly seeds: number }

export interface Mutant {
  readonly name: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
}

export interface NamedMutant extends Mutant {
  readonly what: string
  /** What is no longer true of the engine: I1 to I12. */
  readonly breaks: string
  /** The fastest that should notice. */
  readonly gate: Gate
}

/** The file with the bug in it. Throws where the text to change is not there, or there more than once. */
export function planted(text: string, { name, file, find, replace }: Mutant): string {
  const at = text.indexOf(find)
  if (at < 0) throw new Error(`${name}: ${file} does not hold the text to change.`)
  if (text.indexOf(find, at + 1) >= 0)
    throw new Error(`${name}: ${file} holds the text to change more than once.`)
  return text.slice(0, at) + replace + text.slice(at + find.length)
}

export function sourceOf(file: string, directory = root): string {
  return readFileSync(join(directory, file), 'utf8')
}

export function gateName(gate: Gate): string {
  if ('seeds' in gate) return `simulator, seeds ${gate.from} to ${gate.from + gate.seeds - 1}`
  return gate.tests.join(', ')
}

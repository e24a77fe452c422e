/** What is run against a mechanical mutant: what notices soonest comes first. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './mutant.ts'
import type { Gate } from './mutant.ts'

const seeds: Gate = { from: 1, seeds: 15 }
const endToEnd: Gate = {
  tests: ['engine', 'commands', 'steering', 'bad-input', 'user-code'].map(
    (name) => `tests/end-to-end/${name}.test.ts`,
  ),
}

const behind: Readonly<Record<string, readonly Gate[]>> = {
  'src/log': [{ tests: ['src/log/'] }, { tests: ['src/process/on-disk.test.ts'] }, seeds],
  'src/state': [{ tests: ['src/state/'] }, { tests: ['src/process/'] }, seeds],
  'src/process': [{ tests: ['src/process/'] }, seeds],
  'src/runtime': [{ tests: ['src/runtime/'] }, endToEnd],
}

/** The test of the file itself where it has one, then its folder, then the whole. */
export function gatesFor(file: string): readonly Gate[] {
  const own = file.replace(/\.ts$/, '.test.ts')
  const folder = file.split('/').slice(0, 2).join('/')
  const rest = behind[folder] ?? []
  return existsSync(join(root, own)) ? [{ tests: [own] }, ...rest] : rest
}

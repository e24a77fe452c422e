/** Writes what was measured into docs/reference/mutants.md, between its marks. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Harmless } from './harmless.ts'
import type { Judged } from './mechanical-run.ts'
import type { MechanicalMutant } from './mechanical.ts'
import { root } from './mutant.ts'
import type { NamedMutant } from './mutant.ts'
import type { Tried } from './pool.ts'

const page = join(root, 'docs/reference/mutants.md')

export function writeNamed(tried: readonly Tried<NamedMutant>[], limit: number): void {
  const slowest = Math.max(...tried.map(({ seconds }) => seconds)).toFixed(1)
  const caught = tried.filter((one) => one.caught).length
  const lines = [
    `${caught} of ${tried.length} caught with a limit of ${limit} s, the slowest in ${slowest} s, measured on commit ${commit()}.`,
    '',
    '| Mutant | What it does | Breaks | Caught by | Seconds |',
    '|---|---|---|---|---:|',
    ...tried.map(({ mutant, caught: is, verdict, seconds }) => {
      const by = is ? verdict.by : 'nothing'
      return row(mutant.name, mutant.what, mutant.breaks, by, seconds.toFixed(1))
    }),
  ]
  write('named', lines)
}

interface Tally {
  /** Of those that were planted or are known to survive, how many were caught. */
  readonly share: number
  readonly text: string
  readonly unexplained: readonly MechanicalMutant[]
}

export function tallyOf(judged: readonly Judged[]): Tally {
  const equivalent = judged.filter(({ known }) => known?.equivalent === true).length
  const harmless = judged.filter(({ known }) => known?.equivalent === false).length
  const caught = judged.filter(({ found }) => found?.caught === true).length
  const unexplained = judged.filter(({ known, found }) => known === undefined && !found?.caught)
  const counted = judged.length - equivalent
  const share = caught / Math.max(1, counted)
  const text = `${judged.length} drawn, ${equivalent} of them make no difference and do not count; ${caught} of ${counted} caught (${(100 * share).toFixed(1)} %), ${harmless} harmless, ${unexplained.length} unexplained`
  return { share, text, unexplained: unexplained.map(({ mutant }) => mutant) }
}

export function writeMechanical(seed: number, judged: readonly Judged[]): void {
  const commits = new Set(judged.flatMap(({ found }) => found?.commit ?? []))
  const lines = [
    `Seed ${seed} on commit ${[...commits].join(', ')}: ${tallyOf(judged).text}.`,
    '',
    '| Kind | Drawn | Caught | Survived | No difference |',
    '|---|---:|---:|---:|---:|',
    ...tally(judged, ({ mutant }) => mutant.kind),
    '',
    '| Folder | Drawn | Caught | Survived | No difference |',
    '|---|---:|---:|---:|---:|',
    ...tally(judged, ({ mutant }) => mutant.file.split('/').slice(0, 2).join('/')),
    '',
    '| Not caught | Change | Why |',
    '|---|---|---|',
    ...judged
      .filter(({ found }) => !found?.caught)
      .map(({ mutant: { file, before, after }, known }) =>
        row(file, `\`${before}\` → \`${after}\``, why(known)),
      ),
  ]
  write('mechanical', lines)
}

function why(known: Harmless | undefined): string {
  if (known === undefined) return 'not explained'
  return known.equivalent ? `No difference: ${known.why}` : known.why
}

function tally(judged: readonly Judged[], of: (one: Judged) => string): string[] {
  return [...Map.groupBy(judged, of)]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, group]) => {
      const equivalent = group.filter(({ known }) => known?.equivalent === true).length
      const caught = group.filter(({ found }) => found?.caught === true).length
      const survived = group.length - equivalent - caught
      return row(name, ...[group.length, caught, survived, equivalent].map(String))
    })
}

function row(...cells: readonly string[]): string {
  const safe = cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ').trim())
  return `| ${safe.join(' | ')} |`
}

function write(part: string, lines: readonly string[]): void {
  const text = readFileSync(page, 'utf8')
  const [begin, end] = [`<!-- measured: ${part} -->`, `<!-- end: ${part} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no part for ${part}.`)
  writeFileSync(page, `${text.slice(0, from)}${begin}\n\n${lines.join('\n')}\n\n${text.slice(to)}`)
}

export function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: root,
    encoding: 'utf8',
  }).trim()
}

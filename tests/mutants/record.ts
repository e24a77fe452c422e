/** Writes what was measured into docs/reference/mutants.md, between its marks. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { explained } from './harmless.ts'
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

export function writeMechanical(seed: number, tried: readonly Tried<MechanicalMutant>[]): void {
  const survivors = tried.filter(({ caught }) => !caught)
  const known = survivors.filter(({ mutant }) => explained(mutant) !== undefined).length
  const caught = tried.length - survivors.length
  const share = ((100 * caught) / Math.max(1, tried.length)).toFixed(1)
  const lines = [
    `Seed ${seed} on commit ${commit()}: ${caught} of ${tried.length} caught (${share} %), ${known} harmless, ${survivors.length - known} unexplained.`,
    '',
    '| Kind | Planted | Caught |',
    '|---|---:|---:|',
    ...tally(tried, ({ mutant }) => mutant.kind),
    '',
    '| Folder | Planted | Caught |',
    '|---|---:|---:|',
    ...tally(tried, ({ mutant }) => mutant.file.split('/').slice(0, 2).join('/')),
    '',
    '| Survivor | Change | Why it is harmless |',
    '|---|---|---|',
    ...survivors.map(({ mutant }) => {
      const { file, line, before, after } = mutant
      return row(
        `${file}:${line}`,
        `\`${before}\` → \`${after}\``,
        explained(mutant) ?? 'not explained',
      )
    }),
  ]
  write('mechanical', lines)
}

function tally(
  tried: readonly Tried<MechanicalMutant>[],
  of: (one: Tried<MechanicalMutant>) => string,
): string[] {
  const groups = new Map<string, { planted: number; caught: number }>()
  for (const one of tried) {
    const group = groups.get(of(one)) ?? { planted: 0, caught: 0 }
    group.planted++
    if (one.caught) group.caught++
    groups.set(of(one), group)
  }
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { planted, caught }]) => row(name, `${planted}`, `${caught}`))
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

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: root,
    encoding: 'utf8',
  }).trim()
}

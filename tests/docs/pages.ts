import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Page {
  /** Relative to the repository. */
  readonly file: string
  readonly text: string
}

export function pageOf(file: string): Page {
  return { file, text: readFileSync(join(root, file), 'utf8') }
}

/** README and everything under docs/. */
export function allPages(): readonly Page[] {
  const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
  return ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...inDocs].map(pageOf)
}

export interface Block {
  readonly page: Page
  readonly language: string
  /** What follows the language on its line. */
  readonly info: string
  readonly code: string
  /** Line of the page where the code begins. */
  readonly line: number
}

export function blocksOf(page: Page): readonly Block[] {
  return [...page.text.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    language: match[1] ?? '',
    info: (match[2] ?? '').trim(),
    code: match[3] ?? '',
    line: page.text.slice(0, match.index).split('\n').length + 1,
  }))
}

/** The rows of all tables below a heading of a page, as lists of cells. */
export function rowsBelow(page: Page, heading: string): readonly (readonly string[])[] {
  const begin = page.text.indexOf(`\n${heading}\n`)
  if (begin < 0) throw new Error(`${page.file} has no heading ${heading}`)
  const level = /^#+/.exec(heading)?.[0].length ?? 1
  const rest = page.text.slice(begin + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return (end < 0 ? rest : rest.slice(0, end))
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('|---'))
    .map((line) => line.slice(2, -2).split(' | '))
}

export function folderOf(page: Page): string {
  return dirname(page.file)
}

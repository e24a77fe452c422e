import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorTable } from '../../src/errors.ts'
import { allPages, root } from './pages.ts'

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|js)$/.test(file) && !/\.(test|suite|fixture|test-d)\.ts$/.test(file))
  .filter((file) => file !== 'errors.ts' && !file.startsWith('errors/'))
  .map((file) => readFileSync(join(root, 'src', file), 'utf8'))

const codes = Object.keys(errorTable)

test('every code of the table is used by the program', () => {
  // In quotes: a mention in a comment gives nobody an error.
  const used = new Set(sources.flatMap((text) => text.match(/(?<=['"`])MR\d{4}(?=['"`])/g) ?? []))
  expect(codes.filter((code) => !used.has(code))).toEqual([])
})

test('no code is used, or written about, that is not in the table', () => {
  const texts = [...sources, ...allPages().map(({ text }) => text)]
  const named = new Set(texts.flatMap((text) => text.match(/\bMR\d{4}\b/g) ?? []))
  // Ends of ranges, in headings and marks of the page.
  const bounds = /^MR\d(000|059|060|999)$/
  expect([...named].filter((code) => !codes.includes(code) && !bounds.test(code))).toEqual([])
})

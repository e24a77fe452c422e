import { describe, expect, test } from 'vitest'
import { generatedPages, withGenerated } from '../../scripts/docs/pages.ts'
import { pageOf } from './pages.ts'

describe('what the reference takes from the code is as the code has it (`npm run docs` writes it)', () => {
  test.each(generatedPages)('%s', (file) => {
    const { text } = pageOf(file)
    expect(withGenerated(file, text)).toBe(text)
  })
})

test('every error of the table is on the page', async () => {
  const { errorTable } = await import('../../src/errors.ts')
  const { text } = pageOf('docs/reference/errors.md')
  const shown = [...text.matchAll(/^\| (MR\d{4}) \|/gm)].map((match) => match[1] ?? '')
  expect(shown.toSorted()).toEqual(Object.keys(errorTable).toSorted())
})

test('a part that nothing makes is refused', () => {
  expect(() => withGenerated('x.md', '<!-- made: weather -->\n<!-- end -->')).toThrow('weather')
  expect(() => withGenerated('x.md', 'no part')).toThrow('x.md has no part')
})

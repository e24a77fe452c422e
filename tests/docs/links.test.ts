import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { allPages, folderOf, pageOf, root } from './pages.ts'
import type { Page } from './pages.ts'

/** As GitHub names them: lower case, spaces become dashes, other signs go. */
function anchorsOf(page: Page): string[] {
  return [...page.text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function broken(page: Page, link: string): boolean {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page.file : join(folderOf(page), path)
  if (!existsSync(join(root, target))) return true
  return anchor !== undefined && !anchorsOf(pageOf(target)).includes(anchor)
}

test('every link inside the repository leads somewhere', () => {
  const links = allPages().flatMap((page) =>
    [...page.text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({ page, link: match[1] ?? '' })),
  )
  const inside = links.filter(({ link }) => !/^[a-z]+:/.test(link))
  expect(inside.length).toBeGreaterThan(10)
  const wrong = inside.filter(({ page, link }) => broken(page, link))
  expect(wrong.map(({ page, link }) => `${page.file}: ${link}`)).toEqual([])
})

test('every page is linked from another one', () => {
  const linked = new Set(
    allPages().flatMap((page) =>
      [...page.text.matchAll(/\]\(([^)\s#]+)/g)].map((match) =>
        join(folderOf(page), match[1] ?? ''),
      ),
    ),
  )
  const lonely = allPages().filter(
    ({ file }) => file !== 'README.md' && !linked.has(file) && !file.startsWith('docs/decisions/'),
  )
  expect(lonely.map(({ file }) => file)).toEqual([])
})

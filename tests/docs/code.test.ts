import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allPages, blocksOf, root } from './pages.ts'

const blocks = allPages().flatMap(blocksOf)
const typescript = blocks.filter(({ language }) => language === 'ts')
// Inside the repository, so that `millrace` means this package; hidden, so that nobody else compiles it.
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(root, 'tests/docs/.blocks-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

// A compiler has the machine to itself only now and then.
test('TypeScript in the documentation compiles', { timeout: 120_000 }, () => {
  const places = new Map<string, string>()
  for (const [index, { code, page, line }] of typescript.entries()) {
    writeFileSync(join(folder, `block${index}.ts`), code)
    places.set(`block${index}.ts`, `${page.file}:${line}`)
  }
  const options = { noEmit: true, noUnusedLocals: false, noUnusedParameters: false }
  const config = { extends: '../../../tsconfig.json', compilerOptions: options, include: ['*.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  })
  const told = stdout
    .split('\n')
    .filter((text) => text.startsWith('block'))
    .map((text) => text.replace(/^block\d+\.ts/, (file) => `${places.get(file)} +`))
  expect(told).toEqual([])
  expect(typescript.length).toBeGreaterThan(5)
})

test('JSON in the documentation is JSON', () => {
  const broken = blocks.filter(({ language, code }) => {
    if (language !== 'json') return false
    try {
      JSON.parse(code)
      return false
    } catch {
      return true
    }
  })
  expect(broken.map(({ page, line }) => `${page.file}:${line}`)).toEqual([])
})

test('every block says what language it is in', () => {
  const opened = allPages().flatMap(({ file, text }) =>
    [...text.matchAll(/^```(.*)$/gm)]
      .filter((_, index) => index % 2 === 0)
      .map((m) => [file, m[1]]),
  )
  // The picture of the data path in the README is in none.
  expect(opened.filter(([file, language]) => language === '' && file !== 'README.md')).toEqual([])
})

import { expect, test } from 'vitest'
import { format, lint, types, unused } from '../../scripts/check/tools.ts'
import { findingsIn, places } from './plant.ts'

const longFunction = `export function long(): number {\n${'  void 0\n'.repeat(69)}  return 1\n}\n`

test('types: tsc, without enums', async () => {
  const found = await findingsIn(types, {
    'package.json': '{ "type": "module" }',
    'src/a.ts': "export const a: number = 'x'\nexport enum Colour {\n  Red,\n}\n",
  })
  expect(places(found)).toEqual(['src/a.ts:1 TS2322', 'src/a.ts:2 TS1294'])
})

test('lint: what is ambient is banned in src/, with the replacement', async () => {
  const lines = [
    'export const a = Date.now()',
    'export const b = Math.random()',
    'export const c = performance.now()',
    'export const d = process.hrtime()',
    'setTimeout(() => {}, 1)',
    'setInterval(() => {}, 1)',
    'setImmediate(() => {})',
    'export const e = crypto.randomUUID()',
    "void fetch('x')",
    'export const f = AbortSignal.timeout(1)',
    'globalThis.setTimeout(() => {}, 1)',
    'export const { now } = Date',
    'queueMicrotask(() => {})',
  ]
  const text = `${lines.join('\n')}\n`
  const found = await findingsIn(lint, {
    'src/a.ts': text,
    'src/a.test.ts': text,
    'src/core/env/real/a.ts': text,
    'scripts/a.ts': text,
  })
  const banned = found.filter(({ rule }) => rule.startsWith('no-restricted'))
  expect(banned.map(({ file, line }) => `${file}:${line}`).toSorted()).toEqual(
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((line) => `src/a.ts:${line}`).toSorted(),
  )
  const words = banned.map(({ message }) => message).join('\n')
  for (const use of ['env.clock.now', 'env.random', 'env.timers.after', 'env.net.request']) {
    expect(words).toContain(use)
  }
})

test('lint: house rules', async () => {
  const later = ['TO', 'DO'].join('')
  const found = await findingsIn(lint, {
    'src/cycle-a.ts': "import { b } from './cycle-b.ts'\nexport const a = (): unknown => b\n",
    'src/cycle-b.ts': "import { a } from './cycle-a.ts'\nexport const b = (): unknown => a\n",
    'src/any.ts': 'export const a: any = 1\n',
    'src/console.ts': "console.log('x')\n",
    'src/default.ts': 'export default 1\n',
    'src/floating.ts': 'async function f(): Promise<void> {}\nf()\n',
    'src/later.ts': `// ${later} later\nexport const a = 1\n`,
    'src/long-file.ts': 'export {}\n'.repeat(501),
    'src/long-function.ts': longFunction,
    'src/switch.ts':
      "export function f(x: 'a' | 'b'): number {\n  switch (x) {\n    case 'a':\n      return 1\n  }\n  return 2\n}\n",
    'tests/only.test.ts': "import { test } from 'vitest'\ntest.only('a', () => {})\n",
    'tests/skip.test.ts': "import { test } from 'vitest'\ntest.skip('a', () => {})\n",
    'tests/later.test.ts': "import { test } from 'vitest'\ntest.todo('a')\n",
    // Allowed:
    'examples/hello/pipeline.ts': 'export default 1\n',
    'scripts/console.ts': "console.log('x')\n",
    'src/long.test.ts': longFunction,
  })
  expect(places(found)).toEqual(
    [
      'src/any.ts:1 no-explicit-any',
      'src/console.ts:1 no-console',
      'src/cycle-a.ts:1 no-cycle',
      'src/cycle-b.ts:1 no-cycle',
      'src/default.ts:1 no-default-export',
      'src/floating.ts:2 no-floating-promises',
      'src/later.ts:1 no-warning-comments',
      'src/long-file.ts:501 max-lines',
      'src/long-function.ts:1 max-lines-per-function',
      'src/switch.ts:2 switch-exhaustiveness-check',
      'tests/later.test.ts:2 warn-todo',
      'tests/only.test.ts:2 no-focused-tests',
      'tests/skip.test.ts:2 no-disabled-tests',
    ].toSorted(),
  )
})

test('format: oxfmt, 100 columns, single quotes, no semicolons', async () => {
  const found = await findingsIn(format, {
    'src/bad.ts': 'export const a = "x";\n',
    'src/good.ts': "export const a = 'x'\n",
  })
  expect(places(found)).toEqual(['src/bad.ts:1 format'])
})

test('unused: files, exports and dependencies', async () => {
  const found = await findingsIn(unused, {
    'package.json': JSON.stringify({ type: 'module', dependencies: { ws: '8.0.0' } }),
    'src/index.ts': "import { used } from './a.ts'\nexport const x = used\n",
    'src/a.ts': 'export const used = 1\nexport const idle = 2\n',
    'src/lost.ts': 'export {}\n',
  })
  expect(places(found)).toEqual([
    'package.json:1 unused dependencies',
    'src/a.ts:2 unused exports',
    'src/lost.ts:1 unused files',
  ])
})

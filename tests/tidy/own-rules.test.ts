import { describe, expect, test } from 'vitest'
import { ambient } from '../../scripts/check/ambient.ts'
import { contracts } from '../../scripts/check/contracts.ts'
import { staleEdges } from '../../scripts/check/edges.ts'
import { hygiene } from '../../scripts/check/hygiene.ts'
import { invariants } from '../../scripts/check/invariants.ts'
import { layers } from '../../scripts/check/layers.ts'
import { anyInTypes } from '../../scripts/check/package.ts'
import { findingsIn, inProject, places } from './plant.ts'

describe('layers', () => {
  const forbidden: [from: string, to: string][] = [
    ['core/a', 'schema/b'],
    ['schema/a', 'log/b'],
    ['log/a', 'state/b'],
    ['state/a', 'log/b'],
    ['sources/a', 'sinks/b'],
    ['sinks/a', 'sources/b'],
    ['sources/a', 'log/b'],
    ['log/a', 'process/b'],
    ['pipeline/a', 'plan/b'],
    ['plan/a', 'process/b'],
    ['process/a', 'runtime/b'],
    ['process/a', 'observe/b'],
    ['runtime/a', 'cli/b'],
    ['runtime/a', 'testing/b'],
    ['runtime/a', 'connectors/kafka/b'],
    ['client/a', 'log/b'],
    ['observe/a', 'process/b'],
    ['connectors/kafka/a', 'sources/b'],
    ['connectors/kafka/a', 'connectors/redis/b'],
    ['errors', 'core/b'],
    ['unheard/a', 'core/b'],
  ]
  test.each(forbidden)('%s may not import %s', async (from, to) => {
    const up = '../'.repeat(from.split('/').length - 1) || './'
    const found = await findingsIn(layers, {
      [`src/${from}.ts`]: `// first line\nimport { b } from '${up}${to}.ts'\nb()\n`,
      [`src/${to}.ts`]: 'export const b = (): void => {}\n',
    })
    expect(places(found)).toEqual([`src/${from}.ts:2 layers`])
  })

  const permitted: [from: string, to: string][] = [
    ['log/a', 'core/b'],
    ['log/a', 'errors'],
    ['core/a', 'limits'],
    ['process/a', 'log/b'],
    ['plan/a', 'schema/b'],
    ['cli/a', 'core/b'],
    ['runtime/a', 'observe/b'],
    ['client/a', 'schema/b'],
    ['testing/a', 'runtime/b'],
    ['log/a.test', 'process/b'],
    ['connectors/kafka/a', 'connectors/kafka/b'],
    ['index', 'runtime/b'],
  ]
  test.each(permitted)('%s may import %s', async (from, to) => {
    const up = '../'.repeat(from.split('/').length - 1) || './'
    const found = await findingsIn(layers, {
      [`src/${from}.ts`]: `import { b } from '${up}${to}.ts'\nb()\n`,
      [`src/${to}.ts`]: 'export const b = (): void => {}\n',
    })
    expect(found).toEqual([])
  })

  test('re-exports, dynamic imports and type imports count', async () => {
    const found = await findingsIn(layers, {
      'src/core/a.ts': [
        "export { b } from '../log/b.ts'",
        "export type { B } from '../log/b.ts'",
        "import type { B } from '../log/b.ts'",
        "void import('../log/b.ts')",
        "import { start } from 'millrace'",
        "import { x } from './a.test.ts'",
      ].join('\n'),
    })
    expect(places(found)).toEqual([1, 2, 3, 4, 5, 6].map((line) => `src/core/a.ts:${line} layers`))
  })

  test('a connector imports contracts, and nothing else of a seam', async () => {
    const found = await findingsIn(layers, {
      'src/connectors/kafka/source.ts':
        "import type { Source } from '../../sources/source.ts'\nimport { http } from '../../sources/http.ts'\n",
      'src/sources/source.ts': '/** @contract Source */\nexport interface Source {}\n',
      'src/sources/http.ts': 'export const http = 1\n',
    })
    expect(places(found)).toEqual(['src/connectors/kafka/source.ts:2 layers'])
    expect(found[0]?.message).toContain('connectors may not import sources (src/sources/http.ts)')
  })
})

describe('ambient', () => {
  const outside = [
    'node:fs',
    'node:fs/promises',
    'node:net',
    'node:http',
    'node:https',
    'node:dgram',
    'node:dns',
    'node:child_process',
    'node:worker_threads',
    'node:timers',
    'node:timers/promises',
    'node:os',
    'node:sqlite',
    'node:process',
    'fastify',
    'ws',
  ]
  test.each(outside)('%s is for the edges', async (specifier) => {
    const text = `import * as x from '${specifier}'\nexport const y = x\n`
    const found = await findingsIn(ambient, {
      'src/log/a.ts': text,
      'src/log/a.test.ts': text,
      'src/core/env/real/a.ts': text,
      'src/log/types.ts': text.replace('import *', 'import type *'),
    })
    expect(places(found)).toEqual(['src/log/a.ts:1 ambient'])
    expect(found[0]?.message).toContain('scripts/check/edges.ts')
  })

  test('the replacement is named', async () => {
    const found = await findingsIn(ambient, {
      'src/log/a.ts': "import { openSync } from 'node:fs'\n",
    })
    expect(found[0]?.message).toContain('use env.disk')
  })

  test('pure modules pass, their ambient names do not', async () => {
    const found = await findingsIn(ambient, {
      'src/log/a.ts': [
        "import { createHash } from 'node:crypto'",
        "import { crc32 } from 'node:zlib'",
        "import { randomUUID } from 'node:crypto'",
        "import { performance } from 'node:perf_hooks'",
        "import { isIP } from 'node:net'",
      ].join('\n'),
    })
    expect(places(found)).toEqual(['src/log/a.ts:3 ambient', 'src/log/a.ts:4 ambient'])
  })

  test('a date needs a time', async () => {
    const found = await findingsIn(ambient, {
      'src/log/a.ts': 'export const a = [\n  new Date(),\n  Date(),\n  new Date(0),\n]\n',
    })
    expect(places(found)).toEqual(['src/log/a.ts:2 ambient', 'src/log/a.ts:3 ambient'])
    expect(found[0]?.message).toContain('env.clock.now')
  })

  test('an edge that is not needed any more is reported', async () => {
    const found = await inProject({ 'src/cli/main.ts': 'process.exit()\n' }, (root) =>
      staleEdges(root, [{ file: 'src/cli/main.ts', uses: ['process', 'node:fs'], why: 'entry' }]),
    )
    expect(found.map(({ message }) => message)).toEqual([
      'src/cli/main.ts does not use node:fs: remove it from the list',
    ])
  })
})

test('a contract has at most 150 lines', async () => {
  const head = '/**\n * @contract Log\n */\n'
  const found = await findingsIn(contracts, {
    'src/log/long.ts': head + 'export {}\n'.repeat(148),
    'src/log/fits.ts': head + 'export {}\n'.repeat(147),
    'src/log/other.ts': 'export {}\n'.repeat(300),
  })
  expect(places(found)).toEqual(['src/log/long.ts:151 contracts'])
})

test('nothing of one machine, no conflicts, no to-do lists in prose', async () => {
  const machine = ['', 'home', 'me', 'data'].join('/')
  const later = ['TO', 'DO'].join('')
  const found = await findingsIn(hygiene, {
    'src/a.ts': `// see ${machine}\n`,
    'src/b.ts': `${'<'.repeat(7)} ours\n`,
    'docs/a.md': `# Title\n\n${later}: write\n`,
  })
  expect(places(found)).toEqual(['docs/a.md:3 hygiene', 'src/a.ts:1 hygiene', 'src/b.ts:1 hygiene'])
})

test('no module that others import awaits at its top level', async () => {
  const found = await findingsIn(hygiene, {
    'src/a.ts':
      'const a = await b()\nexport const c = await d()\nawait e()\nasync () => {\n  await f()\n}\n',
    'src/a-thread.ts': 'await run()\n',
  })
  expect(places(found)).toEqual(['src/a.ts:1 hygiene', 'src/a.ts:2 hygiene', 'src/a.ts:3 hygiene'])
})

test('any is found in what users can reach, written or inferred', async () => {
  const found = await inProject(
    {
      'package.json': JSON.stringify({ exports: { '.': { types: './dist/index.d.ts' } } }),
      'dist/index.d.ts': "export * from './inner/a.js'\n",
      'dist/inner/a.d.ts':
        'export declare const many: string\nexport declare const a: (x: any) => void\n',
      'dist/unreachable.d.ts': 'export declare const b: any\n',
    },
    anyInTypes,
  )
  expect(places(found)).toEqual(['dist/inner/a.d.ts:2 public any'])
})

describe('invariants', () => {
  const numbers = Array.from({ length: 12 }, (_, i) => `I${i + 1}`)
  const project = {
    'src/a.ts': `${numbers.map((number) => `// Upholds ${number}.`).join('\n')}\n`,
    'tests/simulate/a.ts': `export const names = [${numbers.map((n) => `'${n}'`).join(', ')}]\n`,
    'docs/concepts/guarantees.md': numbers.map((n) => `- **${n}** Something.\n`).join(''),
  }

  test('all twelve by their numbers, in the code, the simulator and the docs', async () => {
    expect(await findingsIn(invariants, project)).toEqual([])
  })

  test.each(Object.keys(project))('one that is missing in %s is reported', async (file) => {
    const text = project[file as keyof typeof project].replaceAll(/\bI11\b/g, '')
    const [found, ...more] = await findingsIn(invariants, { ...project, [file]: text })
    expect(found?.message).toMatch(/I11|not said/)
    expect(more).toEqual([])
  })

  test('a number that is none is reported', async () => {
    const text = `${project['src/a.ts']}// Upholds I13.\n`
    const found = await findingsIn(invariants, { ...project, 'src/a.ts': text })
    expect(places(found)).toEqual(['src/a.ts:13 invariants'])
  })
})

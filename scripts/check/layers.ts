import { posix } from 'node:path'
import type { Check, Finding } from './finding.ts'
import { sources, type Source } from './source.ts'

/**
 * What each folder of src/ may import, beside itself. The list follows the data path:
 * core ← schema ← {log, state, sources, sinks} ← pipeline ← plan ← process ← runtime ← cli.
 * `contracts` means: only files whose head comment says `@contract`.
 */
const tables = ['errors', 'limits']
const base = ['core', 'schema', ...tables]
const seams = [...base, 'log', 'state', 'sources', 'sinks']
const data = [...seams, 'pipeline', 'plan', 'process']

const mayImport: Record<string, string[]> = {
  errors: ['limits'],
  limits: ['errors'],
  core: tables,
  schema: ['core', ...tables],
  log: base,
  state: base,
  sources: base,
  sinks: base,
  pipeline: seams,
  plan: [...seams, 'pipeline'],
  process: [...seams, 'pipeline', 'plan'],
  runtime: [...data, 'observe'],
  cli: [...data, 'runtime', 'observe', 'client'],
  client: base,
  observe: [...base, 'contracts'],
  connectors: [...base, 'contracts'],
  index: [...data, 'runtime'],
}

export const layers: Check = {
  name: 'layers',
  run(root) {
    const all = sources(root, 'src')
    const contracts = new Set(all.filter((source) => source.isContract).map(({ file }) => file))
    return all.filter(isBound).flatMap((source) => {
      return source.imports.flatMap(({ specifier, line }) => {
        const message = complaint(source, specifier, contracts)
        return message === null ? [] : [{ file: source.file, line, rule: 'layers', message }]
      })
    }) satisfies Finding[]
  },
}

/** Tests and the test kit see everything. */
function isBound({ file, isTest }: Source): boolean {
  return !isTest && !file.startsWith('src/testing/')
}

function complaint(source: Source, specifier: string, contracts: Set<string>): string | null {
  if (specifier === 'millrace' || specifier.startsWith('millrace/')) {
    return 'inside src/ import by relative path, not by package name'
  }
  if (!specifier.startsWith('.')) return null
  const target = posix.join(posix.dirname(source.file), specifier)
  if (!target.startsWith('src/')) return `src/ may not import ${target}, which is not published`
  if (/\.test(-d)?\.ts$/.test(target)) return 'only tests may import a test'
  const from = folderOf(source.file)
  const to = folderOf(target)
  const sameConnector = from !== 'connectors' || connectorOf(source.file) === connectorOf(target)
  if (from === to && sameConnector) return null
  const allowed = mayImport[from]
  if (allowed === undefined)
    return `unknown folder ${from}: give it a place in scripts/check/layers.ts`
  if (allowed.includes(to)) return null
  if (allowed.includes('contracts') && contracts.has(target)) return null
  return `${from} may not import ${to} (${target}); it may import ${[...allowed].join(', ')}`
}

/** `src/log/embedded/frame.ts` is of log, `src/errors.ts` of errors. */
function folderOf(file: string): string {
  return (file.split('/')[1] ?? '').replace(/\.ts$/, '')
}

function connectorOf(file: string): string {
  return file.split('/')[2] ?? ''
}

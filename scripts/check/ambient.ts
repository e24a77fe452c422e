import { Visitor } from 'oxc-parser'
import { allowed, edgeFile } from './edges.ts'
import type { Check, Finding } from './finding.ts'
import { lineAt, sources, type Import, type Source } from './source.ts'

/** Node modules that compute and touch nothing outside. All others need Env, or an entry in edges.ts. */
const pureModules = new Set([
  'node:assert',
  'node:async_hooks',
  'node:buffer',
  'node:crypto',
  'node:diagnostics_channel',
  'node:events',
  'node:path',
  'node:perf_hooks',
  'node:string_decoder',
  'node:url',
  'node:util',
  'node:util/types',
  'node:v8',
  'node:zlib',
])

/** Names of those modules that are ambient all the same. */
const ambientNames: Record<string, RegExp> = {
  'node:crypto': /^(random.*|webcrypto|generate.*|default|\*)$/,
  'node:perf_hooks': /^(performance|monitorEventLoopDelay|default|\*)$/,
}

/** Names of the other modules that compute only. */
const pureNames: Record<string, RegExp> = {
  'node:net': /^(isIP|isIPv4|isIPv6|BlockList)$/,
}

/** Packages that open sockets or files. */
const edgePackages = new Set(['fastify', 'ws', 'pino'])

const replacements: Record<string, string> = {
  'node:crypto': 'env.random',
  'node:perf_hooks': 'env.clock',
  'node:timers': 'env.timers',
  'node:fs': 'env.disk',
  'node:net': 'env.net',
  'node:tls': 'env.net',
  'node:http': 'env.net',
  'node:https': 'env.net',
  'node:http2': 'env.net',
  'node:dgram': 'env.net',
  'node:dns': 'env.net',
}

/** What oxlint has no rule for: imports that reach outside, and the two ambient dates. */
export const ambient: Check = {
  name: 'ambient',
  run(root) {
    return sources(root, 'src')
      .filter(({ file, isTest }) => !isTest && !file.startsWith('src/core/env/real/'))
      .flatMap((source) => [...outsideImports(source), ...ambientDates(source)])
  },
}

function outsideImports({ file, imports }: Source): Finding[] {
  return imports.flatMap((one) => {
    if (one.typeOnly || !reachesOutside(one) || allowed(file, one.specifier)) return []
    const base = one.specifier.replace(/\/promises$/, '')
    const use = replacements[base] ?? 'a contract'
    const message = `${one.specifier} reaches outside: use ${use}, or give the reason in ${edgeFile}`
    return [{ file, line: one.line, rule: 'ambient', message }]
  })
}

function reachesOutside({ specifier, names }: Import): boolean {
  const suspect = ambientNames[specifier]
  if (suspect !== undefined) return names.some((name) => suspect.test(name))
  const harmless = pureNames[specifier]
  if (harmless !== undefined && names.every((name) => harmless.test(name))) return false
  if (specifier.startsWith('node:')) return !pureModules.has(specifier)
  return edgePackages.has(specifier)
}

function ambientDates({ file, text, program }: Source): Finding[] {
  const found: Finding[] = []
  const report = (offset: number, what: string): void => {
    if (allowed(file, what)) return
    const message = `${what} reads the ambient clock: use env.clock.now`
    found.push({ file, line: lineAt(text, offset), rule: 'ambient', message })
  }
  new Visitor({
    NewExpression({ callee, arguments: given, start }) {
      if (callee.type === 'Identifier' && callee.name === 'Date' && given.length === 0) {
        report(start, 'new Date()')
      }
    },
    CallExpression({ callee, start }) {
      if (callee.type === 'Identifier' && callee.name === 'Date') report(start, 'Date()')
    },
  }).visit(program)
  return found
}

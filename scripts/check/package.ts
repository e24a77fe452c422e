import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { tool } from './command.ts'
import type { Check, Finding } from './finding.ts'
import { lineAt } from './source.ts'
import { withBuiltPackage } from './stage.ts'

/** The package as it would be published: it builds, resolves for its users, and hides no `any` in its types. */
export const packageHealth: Check = {
  name: 'package',
  run(root) {
    return withBuiltPackage(root, async (folder) => {
      const [lint, resolution] = await Promise.all([publint(folder), attw(folder)])
      return [...lint, ...resolution, ...anyInTypes(folder)]
    })
  },
}

async function publint(folder: string): Promise<Finding[]> {
  const { code, text } = await tool('publint', ['--strict'], folder)
  const lines = [...text.matchAll(/^\d+\. (.*)$/gm)].map(([, message = '']) => message)
  if (code === 0) return []
  return (lines.length > 0 ? lines : [text]).map((message) => about('publint', message))
}

interface Attw {
  analysis: { problems?: { kind: string; entrypoint?: string; resolutionKind?: string }[] }
}

async function attw(folder: string): Promise<Finding[]> {
  const args = ['--profile', 'esm-only', '--pack', '.', '--format', 'json']
  const { code, text } = await tool('attw', args, folder)
  if (code === 0) return []
  const json = text.slice(text.indexOf('{'))
  if (!json.startsWith('{')) return [about('attw', text.trim())]
  const { analysis } = JSON.parse(json) as Attw
  const found = (analysis.problems ?? [])
    .filter(({ resolutionKind }) => resolutionKind !== 'node10' && resolutionKind !== 'node16-cjs')
    .map(({ kind, entrypoint = '', resolutionKind = '' }) =>
      about('attw', `${entrypoint} ${kind} ${resolutionKind}`.trim()),
    )
  return found.length > 0 ? found : [about('attw', text.trim().slice(0, 1000))]
}

function about(rule: string, message: string): Finding {
  return { file: 'package.json', line: 1, rule, message }
}

/** Walks the declarations a user can reach, written or inferred. */
export function anyInTypes(folder: string): Finding[] {
  const seen = new Set<string>()
  const queue = entryTypes(folder)
  const found: Finding[] = []
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (seen.has(file) || !existsSync(join(folder, file))) continue
    seen.add(file)
    const text = readFileSync(join(folder, file), 'utf8')
    const { program, module } = parseSync(file, text)
    for (const specifier of [...module.staticImports, ...module.staticExports].flatMap(
      specifiers,
    )) {
      if (specifier.startsWith('.')) {
        queue.push(posix.join(posix.dirname(file), specifier.replace(/\.js$/, '.d.ts')))
      }
    }
    const report = (offset: number): void => {
      const message = 'any in a public type: use unknown, or a type parameter'
      found.push({ file, line: lineAt(text, offset), rule: 'public any', message })
    }
    new Visitor({ TSAnyKeyword: ({ start }) => report(start) }).visit(program)
  }
  return found
}

type Statement =
  | ReturnType<typeof parseSync>['module']['staticImports'][number]
  | ReturnType<typeof parseSync>['module']['staticExports'][number]

function specifiers(statement: Statement): string[] {
  if ('moduleRequest' in statement) return [statement.moduleRequest.value]
  return statement.entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? [])
}

function entryTypes(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { types: string }>
  }
  return Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === 'string' ? [] : [posix.normalize(entry.types)],
  )
}

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import { parseSync, type Program } from 'oxc-parser'

/** Folders that hold code; each may be absent. */
export const codeFolders = ['src', 'tests', 'scripts', 'examples', 'bench']

export interface Import {
  specifier: string
  line: number
  /** Names taken from the module; `*` for all of it. */
  names: string[]
  /** Gone after compilation. */
  typeOnly: boolean
}

export interface Source {
  /** Relative to the repository, with forward slashes. */
  file: string
  text: string
  program: Program
  imports: Import[]
  isTest: boolean
  /** Its head comment says `@contract`. */
  isContract: boolean
}

const cache = new Map<string, Source>()

/** Every parsed TypeScript or JavaScript file below `folder`. */
export function sources(root: string, folder: string): Source[] {
  return listFiles(root, folder)
    .filter((file) => /\.(ts|mts|js|mjs)$/.test(file) && !file.endsWith('.d.ts'))
    .map((file) => readSource(root, file))
}

/** Paths relative to `root`, sorted. */
export function listFiles(root: string, folder: string): string[] {
  const skipped = new Set(['node_modules', 'dist', '.millrace', 'coverage'])
  try {
    return readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => !skipped.has(entry.name))
      .flatMap((entry) => {
        const path = posix.join(folder.split(sep).join('/'), entry.name)
        return entry.isDirectory() ? listFiles(root, path) : [path]
      })
      .toSorted()
  } catch {
    return []
  }
}

export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1))
    line++
  return line
}

function readSource(root: string, file: string): Source {
  const known = cache.get(join(root, file))
  if (known !== undefined) return known
  const text = readFileSync(join(root, file), 'utf8')
  const { program, module } = parseSync(file, text)
  const imports: Import[] = []
  for (const { moduleRequest, entries, start } of module.staticImports) {
    const names = entries.map((entry) => entry.importName.name ?? '*')
    const typeOnly = entries.length > 0 && entries.every((entry) => entry.isType)
    imports.push({ specifier: moduleRequest.value, line: lineAt(text, start), names, typeOnly })
  }
  for (const { entries, start } of module.staticExports) {
    for (const entry of entries) {
      if (entry.moduleRequest === null) continue
      const names = [entry.importName.name ?? '*']
      const line = lineAt(text, start)
      imports.push({ specifier: entry.moduleRequest.value, line, names, typeOnly: entry.isType })
    }
  }
  for (const { moduleRequest, start } of module.dynamicImports) {
    const specifier = text.slice(moduleRequest.start, moduleRequest.end).replaceAll(/['"`]/g, '')
    imports.push({ specifier, line: lineAt(text, start), names: ['*'], typeOnly: false })
  }
  const source = {
    file,
    text,
    program,
    imports,
    isTest: /\.(test(-d)?|suite)\.ts$/.test(file),
    isContract: /@contract\b/.test(headComment(text)),
  }
  cache.set(join(root, file), source)
  return source
}

/** The comments before the first line of code or import. */
function headComment(text: string): string {
  return /^(?:\s*(?:\/\*[\s\S]*?\*\/|\/\/[^\n]*))*/.exec(text)?.[0] ?? ''
}

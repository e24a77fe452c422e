import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check, Finding } from './finding.ts'
import { codeFolders, listFiles } from './source.ts'

/** Words that belong to one machine or one moment. */
const bans: { pattern: RegExp; message: string }[] = [
  {
    pattern: /(?<![\w./])\/(?:work|root|home\/\w+|Users\/\w+)\/[\w.-]/,
    message: 'a path of one machine: make it relative, or use a temporary folder',
  },
  { pattern: /^[<=>]{7}( |$)/, message: 'a merge conflict' },
]

/** `enum` and friends are refused by tsc (erasableSyntaxOnly); to-do comments by oxlint in code, here elsewhere. */
const proseBans = [{ pattern: /\b(?:TODO|FIXME)\b/, message: 'say it in an issue, or do it' }]

/**
 * A thread that is terminated while a module that others import awaits at its top level ends the whole process (SIGTRAP).
 * Entries may: nobody imports them.
 */
const awaitBans = [
  {
    pattern: /^(?:await\b|(?:export )?(?:const|let) .*= await\b)/,
    message: 'a module that others import does not await at its top level',
  },
]
const entries = /(?:-thread|\/bin|\.test|\.suite)\.ts$/

export const hygiene: Check = {
  name: 'hygiene',
  run(root) {
    const code = codeFolders.flatMap((folder) => listFiles(root, folder))
    const imported = code.filter((file) => file.startsWith('src/') && !entries.test(file))
    const docs = listFiles(root, 'docs')
    const top = [
      'README.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'package.json',
      '.npmrc',
      '.ci/run',
    ]
    return [
      ...[...code, ...docs, ...top].filter(isText).flatMap((file) => scan(root, file, bans)),
      ...[...docs, ...top].filter(isText).flatMap((file) => scan(root, file, proseBans)),
      ...imported.filter(isText).flatMap((file) => scan(root, file, awaitBans)),
    ]
  },
}

function isText(file: string): boolean {
  return !/\.(wasm|png|jpg|gif|ico|gz|zst|bin|seg|snap|parquet)$/.test(file)
}

function scan(root: string, file: string, rules: typeof bans): Finding[] {
  let text: string
  try {
    text = readFileSync(join(root, file), 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .flatMap((line, at) =>
      rules
        .filter(({ pattern }) => pattern.test(line))
        .map(({ message }) => ({ file, line: at + 1, rule: 'hygiene', message })),
    )
}

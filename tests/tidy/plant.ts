import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Check, Finding } from '../../scripts/check/finding.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const configuration = ['.oxlintrc.json', '.oxfmtrc.json', 'tsconfig.json', 'knip.json']

/** Runs one check on a project that holds these files and nothing else. */
export async function findingsIn(check: Check, files: Record<string, string>): Promise<Finding[]> {
  return inProject(files, (root) => check.run(root))
}

export async function inProject<T>(
  files: Record<string, string>,
  use: (root: string) => T | Promise<T>,
): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-tidy-'))
  try {
    for (const name of configuration) cpSync(join(repository, name), join(root, name))
    symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'))
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    return await use(root)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** `file:line rule`, sorted: what a test compares. */
export function places(findings: Finding[]): string[] {
  return findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`).toSorted()
}

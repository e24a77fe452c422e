import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from '../build.ts'
import type { Finding } from './finding.ts'

/** Runs `use` on the package as it would be published, built in a folder of its own. */
export async function withBuiltPackage(
  root: string,
  use: (folder: string) => Promise<Finding[]>,
): Promise<Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-package-'))
  try {
    for (const name of ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE']) {
      if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name))
    }
    const problems = await build(join(folder, 'dist'))
    if (problems !== '') {
      const message = `it does not build:\n${problems.slice(0, 1000)}`
      return [{ file: 'package.json', line: 1, rule: 'build', message }]
    }
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A copy of the repository in which bugs are planted: the working tree is never touched. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { planted, root, sourceOf } from './mutant.ts'
import type { Mutant } from './mutant.ts'

const wanted = ['src', 'tests', 'examples', 'docs', 'package.json', 'tsconfig.json']

export class Scratch {
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-mutants-'))

  constructor() {
    const listed = execFileSync('git', ['ls-files', '-coz', '--exclude-standard', ...wanted], {
      cwd: root,
      encoding: 'utf8',
    })
    const files = new Set(['vitest.config.ts', ...listed.split('\0').filter((f) => f !== '')])
    for (const file of files) {
      mkdirSync(dirname(join(this.directory, file)), { recursive: true })
      try {
        cpSync(join(root, file), join(this.directory, file))
      } catch (error) {
        // Git still lists what was removed and not committed.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    // A folder of its own, because the test runner keeps a cache in it.
    const modules = join(this.directory, 'node_modules')
    mkdirSync(modules)
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (!name.startsWith('.vite'))
        symlinkSync(join(root, 'node_modules', name), join(modules, name))
    }
  }

  /** Plants the bug, runs `work`, and takes the bug out again. */
  async with<T>(mutant: Mutant, work: () => Promise<T>): Promise<T> {
    const path = join(this.directory, mutant.file)
    const text = sourceOf(mutant.file, this.directory)
    writeFileSync(path, planted(text, mutant))
    try {
      return await work()
    } finally {
      writeFileSync(path, text)
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

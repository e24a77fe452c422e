/** Where in src/ the disk is called, by reading the source; and who called it just now, by the stack. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const onDisk = /\b#?disk\??\.(open|exists|list|mkdir|rename|unlink|fsyncDir|stat|space|lock)\(/
const onFile =
  /\b(file|#file|markFile|#markFile|mark|made|copy|opened|written|done|current|newest|previous|oldest)\??(\.file)?\??\.(read|write|size|truncate|fdatasync|close)\(/

/** Only in threads of a real engine, which does not run on a simulated disk; their end-to-end tests run them. */
const elsewhere = [
  'src/runtime/engine.ts',
  'src/runtime/facts.ts',
  // What an operator runs on a directory, and the scrub: they read, or write a new one that counts only when complete.
  'src/cli/',
  'src/state/verify.ts',
  'src/log/embedded/copy.ts',
  'src/log/embedded/dump.ts',
  'src/log/embedded/inspect.ts',
  'src/log/embedded/salvage.ts',
  'src/log/embedded/scrub.ts',
  'src/runtime/scrub.ts',
  'src/log/embedded/verify.ts',
  'src/log/embedded/walk.ts',
]

/** Called only after another call has failed, or when another program renames in between: one fault gets to none. */
const beyondOneFault: readonly (readonly [file: string, line: RegExp])[] = [
  ['src/core/directories.ts', /disk\.rename\(`\$\{made\}\.renewed`, made\)/],
  ['src/log/embedded/archive.ts', /opened\.close\(\)/],
  ['src/log/embedded/disk-log.ts', /made\.close\(\)/],
  ['src/sources/file-reader.ts', /^\s*(opened\.)?file\.close\(\)$/],
]

/** `file:line` of every call of a disk or of a file of it. */
export function callSites(): string[] {
  const sites: string[] = []
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    const path = `src/${entry}`
    const skipped =
      !path.endsWith('.ts') ||
      /\.(test|suite|fixture|test-d)\.ts$/.test(path) ||
      path.startsWith('src/core/env/') ||
      path.startsWith('src/testing/') ||
      elsewhere.some((part) => path.startsWith(part))
    if (skipped) continue
    for (const [i, line] of readFileSync(join(root, path), 'utf8').split('\n').entries()) {
      if (/^\s*(\*|\/\/)/.test(line)) continue
      if (beyondOneFault.some(([at, text]) => at === path && text.test(line))) continue
      if (onDisk.test(line) || onFile.test(line)) sites.push(`${path}:${i + 1}`)
    }
  }
  return sites
}

/** The line of src/, outside the disk itself, that the running disk operation was called from. */
export function callerOf(): string {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 20
  const stack = new Error('where').stack ?? ''
  Error.stackTraceLimit = before
  for (const line of stack.split('\n')) {
    const match = /(src\/[\w./-]+\.ts):(\d+):\d+/.exec(line)
    if (match !== null && !match[1]!.startsWith('src/core/env/')) return `${match[1]}:${match[2]}`
  }
  return 'unknown'
}

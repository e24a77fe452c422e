// `npm run build`: src/ to dist/. The check builds the same way, into a temporary folder.

import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { command } from './check/command.ts'
import { listFiles } from './check/source.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Returns what the compiler said, empty when all is well. */
export async function build(out: string): Promise<string> {
  rmSync(out, { recursive: true, force: true })
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  const { code, text } = await command(
    tsc,
    ['-p', 'tsconfig.build.json', '--outDir', out, '--pretty', 'false'],
    root,
  )
  if (code !== 0) return text.trim() || `tsc ended with ${code}`
  // What is not TypeScript goes along as it is: WebAssembly, static files.
  for (const file of listFiles(root, 'src').filter((name) => !/\.(ts|md)$/.test(name))) {
    const target = join(out, file.slice('src/'.length))
    mkdirSync(dirname(target), { recursive: true })
    cpSync(join(root, file), target)
  }
  const cli = join(out, 'cli', 'bin.js')
  if (existsSync(cli)) chmodSync(cli, 0o755)
  return ''
}

if (import.meta.main) {
  const problems = await build(join(root, 'dist'))
  if (problems !== '') {
    console.error(problems)
    process.exit(1)
  }
  console.log('Built into dist/.')
}

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { command, tool } from './command.ts'
import type { Check, Finding } from './finding.ts'
import { withBuiltPackage } from './stage.ts'

/** What a user does first: install the package into an empty project and run a pipeline on two workers. */
export const packed: Check = {
  name: 'packed',
  run(root) {
    return withBuiltPackage(root, async (folder) => {
      const { code, text } = await command(
        'npm',
        ['pack', '--ignore-scripts', '--loglevel=error'],
        folder,
      )
      const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
      if (code !== 0 || tarball === undefined) return [failure('npm pack', text)]
      const project = mkdtempSync(join(tmpdir(), 'millrace-user-'))
      try {
        return await useIn(project, join(folder, tarball))
      } finally {
        rmSync(project, { recursive: true, force: true })
      }
    })
  },
}

async function useIn(project: string, tarball: string): Promise<Finding[]> {
  mkdirSync(join(project, 'data'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text)
  const flags = [
    '--ignore-scripts',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const installed = await command('npm', ['install', ...flags, tarball], project)
  if (installed.code !== 0) return [failure('npm install', installed.text)]
  const types = await tool('tsc', ['--project', project, '--pretty', 'false'], project)
  const found = types.code === 0 ? [] : [failure('types', types.text)]
  for (const pipeline of ['pipeline.ts', 'pipeline.js']) {
    const { code, text } = await command(process.execPath, ['main.ts', pipeline], project)
    if (code !== 0 || !text.includes('stopped')) found.push(failure(pipeline, text))
  }
  return found
}

function failure(rule: string, text: string): Finding {
  return {
    file: 'package.json',
    line: 1,
    rule: `packed ${rule}`,
    message: text.trim().slice(-2000),
  }
}

const pipeline = `import { pipeline } from 'millrace'

export default pipeline('packed', (p) => {
  p.stream('events', { schema: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }, key: 'id' })
    .filter((event) => event.id !== '')
    .to(p.topic('kept'))
})
`

const files: Record<string, string> = {
  'package.json': JSON.stringify({ name: 'user', private: true, type: 'module' }),
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      module: 'NodeNext',
      target: 'ES2023',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: [],
    },
    files: ['pipeline.ts'],
  }),
  'pipeline.ts': pipeline,
  'pipeline.js': pipeline,
  'main.ts': `import { start } from 'millrace'

const file = process.argv[2]!
const engine = await start(new URL(file, import.meta.url), { dataDir: 'data/' + file, workers: 2, port: 0 })
await engine.ready
await engine.produce('events', [{ id: 'a' }, { id: 'b' }])
await engine.stop()
console.log('stopped')
`,
}

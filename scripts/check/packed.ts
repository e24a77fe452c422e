import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { command, tool } from './command.ts'
import type { Output } from './command.ts'
import type { Check, Finding } from './finding.ts'
import { withBuiltPackage } from './stage.ts'

/** What a user does first: install the package into an empty project and run a pipeline on two workers. */
export const packed: Check = {
  name: 'packed',
  run: (root) =>
    asUser(root, async (project) => {
      const types = await tool('tsc', ['--project', project, '--pretty', 'false'], project)
      const found = types.code === 0 ? [] : [failure('types', types.text)]
      return [...found, ...(await runsUnder(process.execPath, project))]
    }),
}

/** The same under the oldest Node that package.json admits, which is fetched for it: only when asked by name. */
export const oldest: Check = {
  name: 'oldest',
  run: (root) =>
    asUser(root, async (project) => {
      const manifest = readFileSync(join(root, 'package.json'), 'utf8')
      const { engines } = JSON.parse(manifest) as { engines: { node: string } }
      const version = `node@${engines.node.replace('>=', '')}`
      const { text } = await install(project, version, '--no-save', '--ignore-scripts=false')
      const node = join(project, 'node_modules', 'node', 'bin', 'node')
      return existsSync(node) ? runsUnder(node, project) : [failure(version, text)]
    }),
}

/** Packs the package and installs it into an empty project. */
function asUser(root: string, use: (project: string) => Promise<Finding[]>): Promise<Finding[]> {
  return withBuiltPackage(root, async (folder) => {
    const pack = ['pack', '--ignore-scripts', '--loglevel=error']
    const { code, text } = await command('npm', pack, folder)
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
    if (code !== 0 || tarball === undefined) return [failure('npm pack', text)]
    const project = mkdtempSync(join(tmpdir(), 'millrace-user-'))
    try {
      mkdirSync(join(project, 'data'))
      for (const [name, content] of Object.entries(files))
        writeFileSync(join(project, name), content)
      const installed = await install(project, join(folder, tarball), '--ignore-scripts')
      if (installed.code !== 0) return [failure('npm install', installed.text)]
      return await use(project)
    } finally {
      rmSync(project, { recursive: true, force: true })
    }
  })
}

function install(project: string, what: string, ...flags: string[]): Promise<Output> {
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  return command('npm', ['install', what, ...quiet, ...flags], project)
}

async function runsUnder(node: string, project: string): Promise<Finding[]> {
  const found: Finding[] = []
  const cli = join('node_modules', 'millrace', 'dist', 'cli', 'bin.js')
  for (const pipeline of ['pipeline.ts', 'pipeline.js']) {
    const plan = await command(node, [cli, 'plan', pipeline], project)
    if (plan.code !== 0) found.push(failure(`plan ${pipeline}`, plan.text))
    const { code, text } = await command(node, ['main.ts', pipeline], project)
    if (code !== 0 || !text.includes('all seen')) found.push(failure(pipeline, text))
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

const pipelineFile = (name: string): string => `import { count, pipeline, tumbling } from 'millrace'
import { sqlite } from 'millrace/sinks'

export default pipeline('packed', (p) => {
  p.stream('events', { schema: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }, key: 'id' })
    .filter((event) => event.id !== '')
    .window(tumbling('1m'), { emit: 'update' })
    .aggregate('seen', { events: count() })
    .to(sqlite({ path: 'data/${name}.db', table: 'seen', key: ['id', 'window_start'] }))
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
    files: ['pipeline.ts', 'all.ts'],
  }),
  // The types of every entry, without those of Node.
  'all.ts': ['', '/sources', '/sinks', '/schema', '/client', '/testing']
    .map((entry) => `import 'millrace${entry}'\n`)
    .join(''),
  'pipeline.ts': pipelineFile('pipeline.ts'),
  'pipeline.js': pipelineFile('pipeline.js'),
  'main.ts': `import { DatabaseSync } from 'node:sqlite'
import { start } from 'millrace'

const file = process.argv[2]!
function seen() {
  try {
    const db = new DatabaseSync('data/' + file + '.db', { readOnly: true })
    return db.prepare('select sum(events) as events from seen').get()!.events
  } catch {
    return 0
  }
}
const engine = await start(new URL(file, import.meta.url), { dataDir: 'data/' + file, workers: 2, port: 0 })
await engine.ready
await engine.produce('events', [{ id: 'a' }, { id: 'b' }, { id: 'a' }])
const deadline = Date.now() + 30_000
while (seen() !== 3 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
await engine.stop()
console.log(seen() === 3 ? 'all seen' : 'seen: ' + seen())
`,
}

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { blocksOf, pageOf, root } from './pages.ts'

const tutorial = pageOf('docs/tutorials/first-pipeline.md')
const readme = pageOf('README.md')
const folders: string[] = []
const engines: ChildProcess[] = []

afterEach(async () => {
  await Promise.all(engines.splice(0).map(stopped))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

test.each([
  ['README.md', 'examples/hello/pipeline.ts'],
  ['docs/tutorials/first-pipeline.md', 'examples/hello/pipeline.ts'],
  ['docs/how-to/test-a-pipeline.md', 'tests/docs/testing-example.test.ts'],
])('the code in %s is that of %s', (page, file) => {
  const first = blocksOf(pageOf(page)).find(({ language }) => language === 'ts')
  expect(first?.code).toBe(readFileSync(join(root, file), 'utf8'))
})

/** A folder to run commands in, as if it were the repository: npm is left out, it would only start what is started here. */
function workplace(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-docs-'))
  folders.push(folder)
  for (const name of ['examples', 'node_modules']) symlinkSync(join(root, name), join(folder, name))
  return folder
}

function command(text: string, url: string): string {
  const millrace = `'${process.execPath}' '${join(root, 'src/cli/main.ts')}'`
  return text
    .replaceAll('npm run dev --', `${millrace} dev --port 0 --workers 1`)
    .replaceAll('npm run -s millrace --', millrace)
    .replaceAll('npx node', `'${process.execPath}'`)
    .replaceAll('http://127.0.0.1:7171', url)
}

function bash(script: string, cwd: string): ChildProcess {
  const env = { ...process.env, NODE_OPTIONS: '--conditions=millrace-source', FORCE_COLOR: '0' }
  return spawn('bash', ['-ec', script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

interface Ended {
  readonly code: unknown
  readonly text: string
  readonly trouble: string
}

async function attempt(script: string, cwd: string): Promise<Ended> {
  const child = bash(script, cwd)
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  let trouble = ''
  child.stderr?.on('data', (chunk: Buffer) => (trouble += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  return { code, text, trouble }
}

async function output(script: string, cwd: string): Promise<string> {
  const { code, text, trouble } = await attempt(script, cwd)
  if (code !== 0) throw new Error(`${script} ended with ${String(code)}: ${trouble}`)
  return text
}

/** Starts the engine as the page says; gives its address. */
async function run(text: string, cwd: string): Promise<string> {
  const child = bash(`exec ${command(text, '')}`, cwd)
  engines.push(child)
  let told = ''
  return new Promise((resolve, reject) => {
    child.once('close', () => reject(new Error(`the engine ended: ${told}`)))
    child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()))
    child.stdout?.on('data', (chunk: Buffer) => {
      told += chunk.toString()
      const url = /Millrace runs hello at (\S+)/.exec(told)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
}

function stopped(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  const over = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  return over
}

/** Looks again until the text is there; the test's own timeout is the only limit. */
async function untilShown(script: string, part: string, cwd: string): Promise<string> {
  for (;;) {
    const { code, text } = await attempt(script, cwd)
    if (code === 0 && text.includes(part)) return text.trim()
  }
}

test('the commands of the tutorial do what it says', { timeout: 120_000 }, async () => {
  const cwd = workplace()
  const blocks = blocksOf(tutorial).filter(({ language }) => language !== 'ts')
  const [plan, dev, send, answer, table, rows, tail, wrong, refusal, later] = blocks.map(
    ({ code }) => code,
  ) as [string, string, string, string, string, string, string, string, string, string]
  expect(blocks).toHaveLength(10)

  expect(await output(command(plan, ''), cwd)).toContain('pipeline hello')
  const first = await run(dev, cwd)
  expect((await output(command(send, first), cwd)).trim()).toBe(answer.trim())
  // Rows of two pages may come one after the other, and a row may be replaced by a newer one.
  const [home = '', pricing = ''] = rows.split('\n').slice(3)
  await untilShown(command(table, first), pricing, cwd)
  expect(await untilShown(command(table, first), home, cwd)).toBe(rows.trim())
  expect((await output(command(tail, first), cwd)).split('\n').filter(Boolean).toSorted()).toEqual([
    '{"page":"/home","window_start":"2024-01-01T10:00:00.000Z","window_end":"2024-01-01T10:01:00.000Z","views":2,"seconds":6}',
    '{"page":"/pricing","window_start":"2024-01-01T10:01:00.000Z","window_end":"2024-01-01T10:02:00.000Z","views":1,"seconds":20}',
  ])
  expect((await output(command(wrong, first), cwd)).trim()).toBe(refusal.trim())

  await Promise.all(engines.splice(0).map(stopped))
  const second = await run(dev, cwd)
  expect(await output(command(later, second), cwd)).toContain('"accepted":1')
  const grown = await untilShown(command(table, second), '12:00:00', cwd)
  // The first three lines are the head, the last is the foot.
  const before = rows.trim().split('\n').slice(3, -1)
  const cells = (line: string): string => line.replace(/^│ \d+ +/, '')
  expect(grown.split('\n').map(cells)).toEqual(expect.arrayContaining(before.map(cells)))
})

test('the commands of the README do what it says', { timeout: 120_000 }, async () => {
  const cwd = workplace()
  const shell = blocksOf(readme).filter(({ language }) => language === 'sh')
  const [, dev = '', send = ''] = shell.map(({ code }) => code)
  expect(shell).toHaveLength(3)
  const url = await run(dev, cwd)
  const [event = '', look = ''] = command(send, url).split(/\n(?=')/)
  expect(await output(event, cwd)).toContain('"accepted":1')
  expect(await untilShown(look, "'/home'", cwd)).toContain('views')
})

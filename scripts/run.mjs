// The one entry of every `npm run` task. Plain JavaScript, because it may start under an old system Node:
// it installs what the lockfile says if that is missing, then runs the task under the pinned Node.
//
//   node scripts/run.mjs <task> [arguments]

import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './run/install.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** @type {Record<string, { script: string, fixed?: string[], about: string }>} */
const tasks = {
  test: { script: 'node_modules/vitest/vitest.mjs', fixed: ['run'], about: 'all tests' },
  check: { script: 'scripts/check.ts', about: 'types, lint, format, layers, package' },
  build: { script: 'scripts/build.ts', about: 'src to dist' },
  demo: { script: 'examples/demo/main.ts', about: 'a running example' },
  bench: { script: 'bench/main.ts', about: 'benchmarks' },
  sim: { script: 'tests/simulate/main.ts', about: 'the engine in a simulated world' },
  kill: { script: 'tests/crash/kill.ts', about: 'a real process, killed many times' },
  exhaust: { script: 'tests/exhaustive/main.ts', about: 'every case of what is small' },
  mutants: { script: 'tests/mutants/main.ts', about: 'planted bugs, and what notices them' },
  dev: {
    script: 'src/cli/main.ts',
    fixed: ['dev'],
    about: 'a pipeline that restarts when its file changes',
  },
  millrace: { script: 'src/cli/main.ts', about: 'the command line, from source' },
  wasm: { script: 'scripts/wasm.ts', about: 'the scanner, from AssemblyScript' },
  docs: { script: 'scripts/docs.ts', about: 'the parts of docs/ that are made from the code' },
  ci: { script: '.ci/run', about: 'everything, as the build machine runs it' },
}

const [name = '', ...args] = process.argv.slice(2)
const task = tasks[name]
if (task === undefined) {
  console.error('Tasks:')
  for (const [key, { about }] of Object.entries(tasks))
    console.error(`  npm run ${key.padEnd(8)} ${about}`)
  process.exit(2)
}

const node = await ensureInstalled(root)
const script = join(root, task.script)
if (!existsSync(script)) {
  console.error(`There is no ${task.script} yet.`)
  process.exit(2)
}

// The condition makes `import 'millrace'` inside this repository mean src/, not dist/.
const condition = '--conditions=millrace-source'
const env = { ...process.env }
env.PATH = [dirname(node), join(root, 'node_modules', '.bin'), env.PATH ?? ''].join(delimiter)
if (!(env.NODE_OPTIONS ?? '').includes(condition))
  env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ''} ${condition}`.trim()
// Engines start here by the hundred, with a handful of threads each: what was compiled once is kept. A benchmark measures
// what users have, who keep nothing.
if (name !== 'bench') env.NODE_COMPILE_CACHE ??= join(root, 'node_modules', '.cache', 'compiled')

const isShell = readFileSync(script, 'utf8').startsWith('#!/usr/bin/env bash')
const [command, head] = isShell ? ['bash', []] : [node, []]
const child = spawn(command, [...head, script, ...(task.fixed ?? []), ...args], {
  cwd: root,
  env,
  stdio: 'inherit',
})

// A terminal sends Ctrl-C to the child as well; a `kill` reaches only this process: pass it on once, and wait.
let passedOn = false
function passOn(signal) {
  if (!passedOn) child.kill(signal)
  passedOn = true
}
process.on('SIGINT', () => process.stdin.isTTY || passOn('SIGINT'))
process.on('SIGTERM', passOn)
process.on('SIGHUP', passOn)

// npm does not pass a `kill` on to its scripts: notice that it is gone, and end the task as well.
const parent = process.ppid
const watch = setInterval(() => process.ppid !== parent && passOn('SIGTERM'), 500)
if (env.npm_lifecycle_event === undefined) clearInterval(watch)

child.on('error', (error) => {
  console.error(`Could not start ${script.split(sep).slice(-2).join('/')}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.exit(128 + (signal === 'SIGINT' ? 2 : signal === 'SIGTERM' ? 15 : 9))
})

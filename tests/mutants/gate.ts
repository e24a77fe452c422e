/** Runs a gate in a scratch copy, for so long at most. */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Gate } from './mutant.ts'

export interface Verdict {
  readonly outcome: 'passed' | 'failed' | 'timeout'
  readonly seconds: number
  /** What noticed: the name of a test, or what the simulator says. */
  readonly by: string
  readonly output: string
}

const report = '.mutant-report.json'
/** The simulator goes on to make a failing run smaller: that is not waited for. */
const broke = /^seed (\d+) broke (.*)\n/m

export async function runGate(directory: string, gate: Gate, seconds: number): Promise<Verdict> {
  rmSync(join(directory, report), { force: true })
  const began = performance.now()
  const { code, output } = await run(directory, argumentsOf(gate), seconds * 1_000)
  const took = (performance.now() - began) / 1_000
  if (code === 'timeout')
    return { outcome: 'timeout', seconds: took, by: `no end within ${seconds} s`, output }
  if (code === 0) return { outcome: 'passed', seconds: took, by: '', output }
  return { outcome: 'failed', seconds: took, by: noticedBy(directory, gate, output), output }
}

function argumentsOf(gate: Gate): string[] {
  if ('seeds' in gate)
    return [
      'tests/simulate/main.ts',
      ...['--cores', '1', '--from', `${gate.from}`, '--seeds', `${gate.seeds}`],
    ]
  const only = gate.only === undefined ? [] : ['-t', gate.only]
  const how = ['--bail=1', '--maxWorkers=1', '--reporter=json', `--outputFile=${report}`]
  return ['node_modules/vitest/vitest.mjs', 'run', ...how, ...only, ...gate.tests]
}

function run(
  cwd: string,
  args: readonly string[],
  ms: number,
): Promise<{ code: number | 'timeout'; output: string }> {
  return new Promise((resolve) => {
    // A process group of its own: what hangs goes with all it started.
    const child = spawn(process.execPath, args, {
      cwd,
      detached: true,
      env: { ...process.env, CI: 'true', NO_COLOR: '1', NO_SHRINKING: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-20_000)
      if (broke.test(output)) end(child.pid)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    let late = false
    const timer = setTimeout(() => {
      late = true
      end(child.pid)
    }, ms)
    const stop = (): void => end(child.pid)
    process.once('exit', stop)
    child.on('close', (code) => {
      clearTimeout(timer)
      process.off('exit', stop)
      end(child.pid)
      resolve({ code: late ? 'timeout' : (code ?? 1), output })
    })
  })
}

/** Ends the process group: a test that failed may have left an engine behind. */
function end(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly message: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

function noticedBy(directory: string, gate: Gate, output: string): string {
  if ('seeds' in gate) {
    const seed = broke.exec(output)
    if (seed !== null) return `simulator, seed ${seed[1]}: ${seed[2]}`
    return `simulator: ${lastError(output)}`
  }
  try {
    const { testResults } = JSON.parse(readFileSync(join(directory, report), 'utf8')) as Report
    for (const { name, message, assertionResults } of testResults) {
      const failed = assertionResults.find(({ status }) => status === 'failed')
      const file = name.slice(directory.length + 1)
      if (failed !== undefined) return `${file}: ${failed.fullName}`
      if (message !== '') return `${file}: ${message.split('\n')[0]}`
    }
  } catch {
    // It ended before it could report.
  }
  return lastError(output)
}

function lastError(output: string): string {
  const lines = output.split('\n').filter((line) => /\w*Error\b/.test(line))
  return lines[0]?.trim().slice(0, 200) ?? 'an exit status'
}

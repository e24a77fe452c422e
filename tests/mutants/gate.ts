/** Runs a gate in a scratch copy, for so long at most. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
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

interface How {
  readonly env?: Readonly<Record<string, string>>
  /** All tests, however long they take, and not only up to the first that fails. */
  readonly all?: boolean
}

export async function runGate(
  directory: string,
  gate: Gate,
  seconds: number,
  how: How = {},
): Promise<Verdict> {
  if ('tests' in gate) rmSync(join(directory, report), { force: true })
  const began = performance.now()
  const order = 'tests' in gate ? gate.tests.join(',') : ''
  const env = { CI: 'true', NO_COLOR: '1', NO_SHRINKING: '1', GATE_ORDER: order, ...how.env }
  const { code, output } = await run(directory, argumentsOf(gate, how.all), env, seconds * 1_000)
  const took = (performance.now() - began) / 1_000
  if (code === 'timeout')
    return { outcome: 'timeout', seconds: took, by: `no end within ${seconds} s`, output }
  if (code === 0) return { outcome: 'passed', seconds: took, by: '', output }
  const by = noticedBy(directory, gate, output)
  return { outcome: 'failed', seconds: took, by, output: messagesOf(directory, gate) ?? output }
}

/** Of the last gate that was run there: how long each test file took; undefined where it failed. */
export function secondsOf(directory: string): Map<string, number | undefined> {
  const { testResults } = reportIn(directory)
  return new Map(
    testResults.map(({ name, status, startTime, endTime }) => [
      name.slice(directory.length + 1),
      status === 'passed' ? Math.round(endTime - startTime) / 1_000 : undefined,
    ]),
  )
}

function argumentsOf(gate: Gate, all = false): string[] {
  if ('seeds' in gate)
    return [
      'tests/simulate/main.ts',
      ...['--cores', '1', '--from', `${gate.from}`, '--seeds', `${gate.seeds}`],
    ]
  const only = gate.only === undefined ? [] : ['-t', gate.only]
  const until = all ? '--testTimeout=120000' : '--bail=1'
  const how = [until, '--maxWorkers=1', '--config', 'tests/mutants/vitest.config.ts']
  const told = ['--reporter=json', `--outputFile=${report}`]
  return ['node_modules/vitest/vitest.mjs', 'run', ...how, ...told, ...only, ...gate.tests]
}

function run(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  ms: number,
): Promise<{ code: number | 'timeout'; output: string }> {
  return new Promise((resolve) => {
    // A process group of its own: what hangs goes with all it started.
    const child = spawn(process.execPath, args, {
      cwd,
      detached: true,
      env: { ...process.env, ...env },
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
    child.on('exit', () => {
      clearTimeout(timer)
      end(child.pid)
      // A process that left the group may hold the pipes for ever.
      setTimeout(
        () => [child.stdout, child.stderr].forEach((pipe) => pipe.destroy()),
        1_000,
      ).unref()
    })
    child.on('close', (code) => {
      process.off('exit', stop)
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
    readonly status: string
    readonly startTime: number
    readonly endTime: number
    readonly message: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

function messagesOf(directory: string, gate: Gate): string | undefined {
  if ('seeds' in gate || !existsSync(join(directory, report))) return undefined
  const { testResults } = reportIn(directory)
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
  return results.flatMap(({ failureMessages }) => failureMessages).join('\n')
}

function reportIn(directory: string): Report {
  return JSON.parse(readFileSync(join(directory, report), 'utf8')) as Report
}

function noticedBy(directory: string, gate: Gate, output: string): string {
  if ('seeds' in gate) {
    const seed = broke.exec(output)
    if (seed !== null) return `simulator, seed ${seed[1]}: ${seed[2]}`
    return `simulator: ${lastError(output)}`
  }
  try {
    const { testResults } = reportIn(directory)
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

#!/usr/bin/env node
import { createRequire } from 'node:module'
import { CommanderError } from '@commander-js/extra-typings'
import { MillraceError } from '../errors.ts'
import { exitCodeOf } from './exit-codes.ts'
import { terminalOutput } from './output.ts'
import { program } from './program.ts'

/** Edge: the command line as a process. The first signal asks to stop, the second ends it at once, by that signal. */
const output = terminalOutput(process.stdout, process.stderr)
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) return stop.abort()
    // `process.exit` would wait for every thread, and one that does not end may be why somebody is out of patience.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
// A reader that goes away (`millrace tail … | head`) ends the command, and is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
)

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
const asJson = process.argv.includes('--json')

try {
  if (process.platform === 'win32') throw new MillraceError('MR6012', 'This is Windows.')
  let code = 0
  const surroundings = {
    output,
    stdin: process.stdin,
    signal: stop.signal,
    pid: process.pid,
    exitWith: (wanted: number) => void (code = wanted),
  }
  await program(surroundings, version).parseAsync(process.argv)
  await leave(code)
} catch (error) {
  if (error instanceof CommanderError) await leave(error.exitCode === 0 ? 0 : 2)
  output.error(error, asJson)
  if (error instanceof MillraceError && error.code === 'MR6015') {
    await output.flushed()
    // An orderly exit would wait for the very thread that does not end.
    process.kill(process.pid, 'SIGKILL')
  }
  await leave(exitCodeOf(error))
}

/** Exits once everything was written: `process.exit` alone would cut off what a pipe has not taken yet. */
async function leave(code: number): Promise<never> {
  await output.flushed()
  process.exit(code)
}

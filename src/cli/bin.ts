#!/usr/bin/env node
import { createRequire } from 'node:module'
import { MillraceError } from '../errors.ts'
import { exitCodeOf } from './exit-codes.ts'

/** Edge: what a user starts. An older Node would fail on the imports of the rest, in words that help nobody. */
const { engines } = createRequire(import.meta.url)('../../package.json') as {
  engines: { node: string }
}
const wanted = engines.node.replace('>=', '')

if (isOlder(process.versions.node, wanted)) {
  const what = `Millrace runs on Node ${wanted} and newer; this is ${process.versions.node}.`
  const error = new MillraceError('MR6017', what)
  const told = process.argv.includes('--json')
    ? JSON.stringify({ error })
    : `error ${error.message}`
  process.stderr.write(`${told}\n`)
  process.exitCode = exitCodeOf(error)
} else {
  await import('./main.ts')
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = than.split('.').map(Number)
  return major < leastMajor || (major === leastMajor && minor < leastMinor)
}

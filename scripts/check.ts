// `npm run check`: every rule of this repository, in one run.
//
//   npm run check                 all of them
//   npm run check -- lint layers  only these
//   npm run check -- oldest       the package under the oldest Node it admits

import { fileURLToPath } from 'node:url'
import { ambient } from './check/ambient.ts'
import { contracts } from './check/contracts.ts'
import { edges } from './check/edges.ts'
import type { Check, Finding } from './check/finding.ts'
import { invariants } from './check/invariants.ts'
import { layers } from './check/layers.ts'
import { hygiene } from './check/hygiene.ts'
import { independence } from './check/oracles.ts'
import { packageHealth } from './check/package.ts'
import { oldest, packed } from './check/packed.ts'
import { format, lint, lockfile, types, unused } from './check/tools.ts'
import { wasm } from './check/wasm.ts'

const known: Check[] = [
  types,
  lint,
  format,
  layers,
  independence,
  invariants,
  ambient,
  edges,
  contracts,
  hygiene,
  lockfile,
  unused,
  packageHealth,
  packed,
  wasm,
]

/** Only when asked by name. */
const onDemand: Check[] = [oldest]
const all = [...known, ...onDemand]

const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = process.argv.slice(2)
const stranger = wanted.find((name) => !all.some((check) => check.name === name))
if (stranger !== undefined) {
  console.error(
    `No check is called ${stranger}. There are: ${all.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}
const chosen = wanted.length === 0 ? known : all.filter(({ name }) => wanted.includes(name))

const started = performance.now()
const queue = chosen.values()
let problems = 0
let failed = 0
// Two lanes over one queue: each tool is parallel in itself.
await Promise.all([lane(), lane()])
const total = ((performance.now() - started) / 1000).toFixed(1)
if (problems > 0) {
  console.log(`\n${problems} problems in ${failed} of ${chosen.length} checks (${total} s)`)
  process.exit(1)
}
console.log(`\n${chosen.length} checks passed (${total} s)`)

async function lane(): Promise<void> {
  for (const check of queue) {
    const from = performance.now()
    const found = await run(check)
    report(check.name, found, (performance.now() - from) / 1000)
  }
}

function report(name: string, found: Finding[], seconds: number): void {
  problems += found.length
  if (found.length > 0) failed++
  const verdict = found.length === 0 ? 'ok' : `${found.length} found`
  console.log(`${name.padEnd(10)} ${verdict.padEnd(10)} ${seconds.toFixed(1)} s`)
  for (const { file, line, rule, message } of found) {
    console.log(`  ${file}:${line}  ${rule}  ${message.replaceAll('\n', '\n    ')}`)
  }
}

async function run(check: Check): Promise<Finding[]> {
  try {
    return await check.run(root)
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return [{ file: 'scripts/check.ts', line: 1, rule: check.name, message }]
  }
}

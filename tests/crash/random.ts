/**
 * Kills the real engine with SIGKILL, again and again, at random moments under load, and holds what it stored against
 * the producer's books: `npm run kill -- random --kills 500 --serves-within 3000`. Exit status 0 only if nothing differs.
 *
 * "Open commit" is read from the directory as the kill left it: bytes in the log behind the durable mark belong to a
 * commit that was being written, not yet acknowledged.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../examples/demo/engine.ts'
import { numbers } from '../support/numbers.ts'
import { Load } from './load.ts'
import { openCommit } from './open-commit.ts'
import { World } from './world.ts'

/** Fewer kills than this say nothing about shares. */
const KILLS_FOR_SHARES = 100
const OPEN_COMMITS_AT_LEAST = 0.2

const usage =
  'npm run kill -- random [--kills COUNT] [--check-every KILLS] [--serves-within MILLISECONDS]'
const given = numbers(usage, ['kills', 'check-every', 'serves-within'])
const kills = given.kills ?? 500
const checkEvery = given['check-every'] ?? 100
const servesWithin = given['serves-within'] ?? Infinity

const directory = mkdtempSync(join(tmpdir(), 'millrace-kill-'))
const world = new World('windows', directory, await freePort(), 'usual')
const engine = world.engine()
engine.endWithUs(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))
const problems: string[] = []
const serveMs: number[] = []
let openCommits = 0
let beside = ''

try {
  await engine.start()
  const load = new Load(world.url, { lanes: 6, batch: 40 })
  const neighbours = world.neighbours()
  for (let kill = 1; kill <= kills && load.problems.length === 0; kill++) {
    await sleep(20 + Math.random() * 300)
    await engine.end('SIGKILL')
    if (openCommit(world.dataDir)) openCommits++
    await restart(load)
    if (kill % checkEvery === 0 || kill === kills) {
      process.stdout.write(
        `${kill} kills, ${openCommits} in an open commit, ${load.ledger.acknowledged.size} events acknowledged\n`,
      )
    }
  }
  problems.push(...(await world.settle(engine, load, neighbours)))
  beside = `${neighbours.halves} halves of requests, ${neighbours.shown} records shown to slow readers`
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  await engine.end('SIGKILL')
}

const slowest = Math.max(0, ...serveMs)
if (slowest > servesWithin) {
  problems.push(`one restart served after ${Math.round(slowest)} ms; the limit is ${servesWithin}`)
}
const share = openCommits / Math.max(1, kills)
if (kills >= KILLS_FOR_SHARES && share < OPEN_COMMITS_AT_LEAST) {
  problems.push(`only ${(share * 100).toFixed(0)} % of the kills hit an open commit`)
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
if (problems.length === 0) rmSync(directory, { recursive: true, force: true })
else process.stdout.write(`everything is kept in ${directory}\n`)
const median = serveMs.toSorted((a, b) => a - b)[Math.floor(serveMs.length / 2)] ?? 0
process.stdout.write(
  `${kills} kills, ${(share * 100).toFixed(0)} % in an open commit; first acknowledgement after a restart: median ${Math.round(median)} ms, slowest ${Math.round(slowest)} ms; ${beside}; ${problems.length} problems\n`,
)
process.exit(problems.length === 0 ? 0 : 1)

/** Starts the engine again; it serves once a request of the load is acknowledged. */
async function restart(load: Load): Promise<void> {
  const began = performance.now()
  const before = load.acknowledged
  await engine.start()
  while (load.acknowledged === before && load.problems.length === 0) await sleep(2)
  serveMs.push(performance.now() - began)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

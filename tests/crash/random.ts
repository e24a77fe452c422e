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
import { DatabaseSync } from 'node:sqlite'
import { EngineProcess, freePort } from '../../examples/demo/engine.ts'
import { numbers } from '../support/numbers.ts'
import type { Sent } from './ledger.ts'
import { Load } from './load.ts'
import { openCommit } from './open-commit.ts'
import { readTopic } from './read-topic.ts'

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
const dataDir = join(directory, 'data')
const database = join(directory, 'kill.sqlite')
const engine = new EngineProcess(await freePort(), 'tests/crash/pipeline.ts', dataDir, {
  KILL_DATABASE: database,
})
engine.endWithUs(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))
const problems: string[] = []
const serveMs: number[] = []
let openCommits = 0

try {
  await engine.start()
  const load = new Load(`${engine.url}/views`, { lanes: 6, batch: 40 })
  for (let kill = 1; kill <= kills && load.problems.length === 0; kill++) {
    await sleep(20 + Math.random() * 300)
    await engine.end('SIGKILL')
    if (openCommit(dataDir)) openCommits++
    await restart(load)
    if (kill % checkEvery === 0 || kill === kills) {
      process.stdout.write(
        `${kill} kills, ${openCommits} in an open commit, ${load.ledger.acknowledged.size} events acknowledged\n`,
      )
    }
  }
  await load.stop()
  await engine.caughtUp((topic) => !topic.endsWith('.repartition'), 60_000)
  await engine.end('SIGTERM')
  problems.push(...load.problems)
  await check(load)
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
  `${kills} kills, ${(share * 100).toFixed(0)} % in an open commit; first acknowledgement after a restart: median ${Math.round(median)} ms, slowest ${Math.round(slowest)} ms; ${problems.length} problems\n`,
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

async function check({ ledger }: Load): Promise<void> {
  const topic = await readTopic<Sent>(dataDir, 'views')
  problems.push(...ledger.differencesInTopic(topic))
  const db = new DatabaseSync(database, { readOnly: true })
  const rows = db
    .prepare('select page, window_start, views, total from pages')
    .all() as unknown as Row[]
  db.close()
  problems.push(...ledger.differencesInWindows(rows).map((difference) => `SQLite: ${difference}`))
  const output = await readTopic<Row>(dataDir, 'kill.pages')
  const last = new Map(output.flat().map((row) => [`${row.page}|${row.window_start}`, row]))
  problems.push(
    ...ledger
      .differencesInWindows([...last.values()])
      .map((difference) => `output topic: ${difference}`),
  )
}

interface Row {
  page: string
  window_start: string
  views: number
  total: number
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

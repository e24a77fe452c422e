/**
 * The real engine on one core, and on another a generator: `npm run kill -- overload --minutes 10 --dead-sink-minutes 30`.
 *
 * First what the engine can serve is found, then the time to an answer at 70 % of that, by the engine's own clock. Then ten
 * times as much is asked for: memory stays within what was configured, what is stored is answered within twice that time,
 * everything else is refused in so many words, and what was acknowledged is there once, in order. Then somebody locks the
 * database of one sink: the other goes on, memory stays, and when the lock is gone every row comes, once.
 *
 * Needs taskset and two cores; without them it says so in a line and exits with 0.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { numbers } from '../support/numbers.ts'
import { Comparison, Windows, type View } from './overload/compare.ts'
import { eventsPerRequest } from './overload/books.ts'
import { missing, Stage, type Told } from './overload/stage.ts'
import { eachRecord } from './read-topic.ts'

const given = numbers(
  'npm run kill -- overload [--minutes M] [--dead-sink-minutes M] [--memory MIB] [--connections COUNT] [--slower-at-most TIMES]',
  ['minutes', 'dead-sink-minutes', 'memory', 'connections', 'slower-at-most'],
)
const minutes = given.minutes ?? 10
const deadMinutes = given['dead-sink-minutes'] ?? 30
const memoryMb = given.memory ?? 512
const connections = given.connections ?? 1_000
const ASKED_FOR = 10
const CALM = 0.7
/** On a machine that does other things besides, times say little, and more may be allowed. */
const slowerAtMost = given['slower-at-most'] ?? 2
const MEMORY_AT_MOST = 1.1
/** While a sink is dead: far below what one core can do. */
const STEADY_PER_SECOND = 200
/** What the other sink may be behind then, seconds of load. */
const BEHIND_AT_MOST = 5
/** With segments of 512 KiB and nothing to keep but what came in the last seconds, open files and snapshots. */
const LOG_BYTES_AT_LAST = 16 * 2 ** 20

const skipped = missing()
if (skipped !== undefined) {
  process.stdout.write(`skipped: no two cores to pin to: ${skipped}\n`)
  process.exit(0)
}
const directory = mkdtempSync(join(tmpdir(), 'millrace-overload-'))
const problems: string[] = []
let stage: Stage | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void stage?.kill()
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    process.exit(130)
  })
}
try {
  if (minutes > 0) await overload()
  if (deadMinutes > 0) await deadSink()
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  await stage?.kill()
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
process.stdout.write(`${problems.length} problems\n`)
process.exit(problems.length === 0 ? 0 : 1)

async function overload(): Promise<void> {
  stage = await Stage.make('windows', directory, memoryMb, false)
  await stage.start()
  // Fewer than may wait at once: nothing is refused that could be served.
  const closed = { connections: 200, perSecond: 0 }
  await stage.phase({ ...closed, seconds: 5 })
  const most = storedPerSecond(tell('all it can', await stage.phase({ ...closed, seconds: 10 })))
  const calmSeconds = Math.min(60, Math.max(10, minutes * 10))
  const calm = tell(
    `${CALM * 100} % of that`,
    await stage.phase({ seconds: calmSeconds, connections, perSecond: most * CALM }),
  )
  const heavy = tell(
    `${ASKED_FOR} times`,
    await stage.phase({ seconds: minutes * 60, connections, perSecond: most * ASKED_FOR }),
  )
  if ((heavy.statuses['429'] ?? 0) + (heavy.statuses['503'] ?? 0) === 0)
    problems.push('nothing was refused: that was no overload')
  if (heavy.p99 > slowerAtMost * calm.p99)
    problems.push(`p99 ${ms(heavy.p99)} under overload, ${ms(calm.p99)} at ${CALM * 100} %`)
  problems.push(...(await stage.end()))
  const views = new Comparison('topic', stage.books)
  const windows = new Windows()
  await eachRecord<View>(stage.dataDir, 'views', (view) => {
    views.take(view)
    windows.take(view)
  })
  const { problems: found, acknowledged } = views.end()
  const database = new DatabaseSync(stage.target, { readOnly: true })
  const rows = database.prepare('select page, window_start, views, total from pages').iterate()
  problems.push(...found, ...windows.differences(rows as Iterable<never>))
  database.close()
  process.stdout.write(`${acknowledged} events acknowledged and compared\n`)
}

async function deadSink(): Promise<void> {
  const own = (stage = await Stage.make('copies', directory, memoryMb, true))
  await own.start()
  const load = { connections, perSecond: STEADY_PER_SECOND }
  tell('both sinks alive', await own.phase({ ...load, seconds: 5 }))
  const path = join(own.target, 'dead.sqlite')
  const lock = new DatabaseSync(path, { timeout: 10_000 })
  lock.exec('begin immediate')
  const lag = watchLag(own)
  tell('one sink dead', await own.phase({ ...load, seconds: deadMinutes * 60 }))
  const { alive, dead } = await lag.end()
  const logAtMost = logBytes(own)
  lock.exec('rollback')
  lock.close()
  tell('alive again', await own.phase({ ...load, seconds: 5 }))
  await own.engine.caughtUp((topic) => topic === 'views', 900_000)
  const logAtLast = await shrunk(own)
  const behind = BEHIND_AT_MOST * STEADY_PER_SECOND * eventsPerRequest
  process.stdout.write(
    `the dead sink was ${dead} rows behind, the other at most ${alive}; log ${mib(logAtMost)}, at last ${mib(logAtLast)}\n`,
  )
  if (dead < deadMinutes * 60 * STEADY_PER_SECOND * eventsPerRequest * 0.9)
    problems.push('the dead sink took rows: it was not dead')
  if (alive > behind) problems.push(`the other sink was ${alive} rows behind, over ${behind}`)
  if (logAtLast > LOG_BYTES_AT_LAST)
    problems.push(`the log still has ${mib(logAtLast)} when all is delivered`)
  problems.push(...(await own.end()))
  const inTable = new Comparison('SQLite', own.books)
  const database = new DatabaseSync(path, { readOnly: true })
  const rows = database.prepare('select id, user, page, n, at from views order by rowid').iterate()
  for (const row of rows) inTable.take(row as unknown as View)
  database.close()
  const inFiles = new Comparison('files', own.books)
  const files = join(own.target, 'alive')
  for (const name of readdirSync(files).toSorted())
    if (name.endsWith('.ndjson'))
      for (const line of readFileSync(join(files, name), 'utf8').split('\n'))
        if (line !== '') inFiles.take(JSON.parse(line) as View)
  const { problems: found, acknowledged } = inTable.end()
  problems.push(...found, ...inFiles.end().problems)
  process.stdout.write(`${acknowledged} events acknowledged and compared, in both sinks\n`)
}

/** Prints what a phase was like, and judges what must hold in each. */
function tell(name: string, told: Told): Told {
  const { statuses, unsent, broken, residentBytes, p50, p99 } = told
  const answers = Object.entries(statuses).map(([status, count]) => `${count} × ${status}`)
  process.stdout.write(
    `${name}: ${Math.round(told.seconds)} s, ${Math.round(told.sent / told.seconds)} requests/s sent, ${Math.round(unsent / told.seconds)}/s due without a free connection; ${answers.join(', ')}; ${Math.round(storedPerSecond(told))}/s stored, by the engine's clock in p50 ${ms(p50)}, p99 ${ms(p99)} (by the generator's ${ms(told.storedMs.p50)}, ${ms(told.storedMs.p99)}); at most ${mib(residentBytes)} resident\n`,
  )
  if (residentBytes > memoryMb * 2 ** 20 * MEMORY_AT_MOST)
    problems.push(`${name}: ${mib(residentBytes)} resident of ${memoryMb} MiB configured`)
  for (const status of Object.keys(statuses))
    if (!['200', '429', '503'].includes(status)) problems.push(`${name}: an answer ${status}`)
  if (told.withoutRetryAfter > 0)
    problems.push(`${name}: ${told.withoutRetryAfter} refusals without Retry-After`)
  if (broken > 0) problems.push(`${name}: ${broken} connections ended without an answer`)
  problems.push(...told.odd.map((answer) => `${name}: ${answer}`))
  return told
}

/** How far both sinks are behind, looked at every second. */
function watchLag({ engine }: Stage): { end(): Promise<{ alive: number; dead: number }> } {
  const most = { alive: 0, dead: 0 }
  let going = true
  const watching = (async () => {
    while (going) {
      await sleep(1_000)
      const rows = await engine.get<{ group: string; lag: number }[]>('/admin/lag')
      const sum = (sink: string): number =>
        rows.filter(({ group }) => group.includes(sink)).reduce((all, { lag }) => all + lag, 0)
      most.alive = Math.max(most.alive, sum('file'))
      most.dead = sum('sqlite')
    }
  })()
  return {
    end: async () => {
      going = false
      await watching
      return most
    },
  }
}

/** Waits until retention has let go of what was delivered. */
async function shrunk(own: Stage): Promise<number> {
  const until = performance.now() + 60_000
  while (logBytes(own) > LOG_BYTES_AT_LAST && performance.now() < until) await sleep(500)
  return logBytes(own)
}

function logBytes({ dataDir }: Stage): number {
  const log = join(dataDir, 'log')
  let bytes = 0
  for (const name of readdirSync(log))
    bytes += statSync(join(log, name), { throwIfNoEntry: false })?.size ?? 0
  return bytes
}

function storedPerSecond({ statuses, seconds }: Told): number {
  return (statuses['200'] ?? 0) / seconds
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}

function sleep(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time))
}

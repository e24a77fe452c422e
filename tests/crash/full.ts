/**
 * A small disk under the real engine fills up and empties again, under load: `npm run kill -- full --times 8`. While it is
 * full the engine says so (507, not ready) and can still be read; with space it goes on by itself; in between it is killed,
 * or stopped, and started on the full disk. What was acknowledged is there once, in order. Then the disk turns read-only.
 *
 * Needs root and mount for a tmpfs; without them it says so in a line and exits with 0.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type EngineProcess } from '../../examples/demo/engine.ts'
import { numbers } from '../support/numbers.ts'
import { Load } from './load.ts'
import type { Sent } from './ledger.ts'
import { World } from './world.ts'

const usage = 'npm run kill -- full [--times COUNT]'
const given = numbers(usage, ['times'])
const times = given.times ?? 8
const DISK = '128m'
/** How soon it has to notice, either way. */
const NOTICES_WITHIN_MS = 30_000

const directory = mkdtempSync(join(tmpdir(), 'millrace-full-'))
const disk = join(directory, 'disk')
const ballast = join(disk, 'ballast')
const problems: string[] = []
const counts = { full: 0, killed: 0, stopped: 0, events: 0 }
let running: EngineProcess | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void running?.end('SIGKILL').then(() => cleanUp(130))
  })
}

mkdirSync(disk)
const mounted = mount(['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', disk])
if (mounted !== undefined) {
  process.stdout.write(`skipped: no small disk can be made here: ${mounted}\n`)
  cleanUp(0)
}
try {
  await fullDisk('windows', { batch: 40 })
  await fullDisk('files', { batch: 20, filler: 1_500 })
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  await running?.end('SIGKILL')
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
process.stdout.write(
  `full ${counts.full} times, killed while full ${counts.killed} times, stopped while full ${counts.stopped} times, then read-only; ${counts.events} events acknowledged; ${problems.length} problems\n`,
)
cleanUp(problems.length === 0 ? 0 : 1)

async function fullDisk(
  kind: 'windows' | 'files',
  size: { batch: number; filler?: number },
): Promise<void> {
  const base = join(disk, kind)
  mkdirSync(base)
  const world = new World(kind, base, await freePort())
  let engine = (running = world.engine())
  await engine.start()
  const load = new Load(world.url, { lanes: 4, ...size })
  for (let time = 0; time < times; time++) {
    await sleep(200 + Math.random() * 400)
    fill()
    await answers(world, load, 507)
    counts.full++
    const ready = await fetch(new URL('/readyz', world.url))
    if (ready.status !== 503) problems.push(`ready (${ready.status}) on a full disk`)
    await engine.get('/admin/lag')
    if (time % 3 > 0) {
      const signal = time % 3 === 1 ? 'SIGKILL' : 'SIGTERM'
      await engine.end(signal)
      const { code, stderr } = await engine.ended()
      if (signal === 'SIGTERM' && code !== 0)
        problems.push(`a stop on a full disk ended with ${code}:\n${stderr}`)
      counts[signal === 'SIGKILL' ? 'killed' : 'stopped']++
      engine = running = world.engine()
      // It is not ready before there is space; what it must do until then is not end.
      const started = engine.start()
      started.catch(() => undefined)
      await Promise.race([started, sleep(3_000)])
      rmSync(ballast)
      await started
    } else rmSync(ballast)
    await answers(world, load, 200)
  }
  problems.push(...(await world.settle(engine, load)))
  counts.events += load.ledger.acknowledged.size
  await readOnly(world, load)
  rmSync(base, { recursive: true })
}

/** A start on a read-only disk ends with a sentence; nothing is lost by it. */
async function readOnly(world: World, load: Load): Promise<void> {
  const failure = mount(['-o', 'remount,ro', disk])
  if (failure !== undefined) throw new Error(failure)
  const engine = (running = world.engine())
  const [start] = await Promise.allSettled([engine.start()])
  const { code, stderr } =
    start.status === 'rejected' ? await engine.ended() : { code: 0, stderr: '' }
  await engine.end('SIGKILL')
  mount(['-o', 'remount,rw', disk])
  if (code !== 4 || !stderr.includes('EROFS'))
    problems.push(`on a read-only disk it ended with ${code}:\n${stderr}`)
  const again = (running = world.engine())
  await again.start()
  problems.push(...(await world.settle(again, load)))
}

/** Sends one event after another until one is answered so. */
async function answers(world: World, { ledger }: Load, wanted: number): Promise<void> {
  const until = performance.now() + NOTICES_WITHIN_MS
  let last = ''
  for (let n = 10; performance.now() < until; n += 10) {
    const id = `probe-${Date.now()}-${n}`
    const event: Sent = { id, user: id, page: '/', n, at: Date.now() }
    const answer = await fetch(world.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
    })
    last = `${answer.status} ${await answer.text()}`
    if (answer.status === 200) ledger.acknowledge([event])
    else if (![429, 503, 507].includes(answer.status)) problems.push(`a probe was answered ${last}`)
    if (answer.status === wanted) return
    await sleep(20)
  }
  throw new Error(`no answer ${wanted} within ${NOTICES_WITHIN_MS} ms; the last one was ${last}`)
}

/** Takes all the space there is, to the last page. */
function fill(): void {
  const fd = openSync(ballast, 'w')
  try {
    for (let size = 1024 * 1024; size >= 4096;) {
      try {
        if (writeSync(fd, new Uint8Array(size)) < size) size /= 2
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        size /= 2
      }
    }
  } finally {
    closeSync(fd)
  }
}

/** Why it failed; undefined where it did not. */
function mount(args: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
  if (error !== undefined) return error.message
  return status === 0 ? undefined : stderr.trim()
}

function cleanUp(status: number): never {
  spawnSync('umount', [status === 0 ? '--quiet' : '--lazy', disk])
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
  process.exit(status)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

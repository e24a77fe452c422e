/**
 * Kills the real engine with SIGKILL at named places of its work on disk, each some times, under load, and holds what it
 * stored against the producer's books: `npm run kill -- points --times 3`. A place that is not reached is a problem, too.
 * `--only TEXT` takes the places with that in their name.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, type EngineProcess } from '../../examples/demo/engine.ts'
import { Load } from './load.ts'
import { pointVariable, type Point } from './point.ts'
import { table, type PlannedPoint } from './points-table.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: { times: { type: 'string', default: '3' }, only: { type: 'string', default: '' } },
})
const times = Number(values.times)
/** Longer than this no start needs to come to a place. */
const PATIENCE_MS = 60_000
/** Between the occurrences tried of what happens many times a second. */
const APART = 30

const directory = mkdtempSync(join(tmpdir(), 'millrace-points-'))
const problems: string[] = []
const port = await freePort()
let running: EngineProcess | undefined
let kills = 0
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void running?.end('SIGKILL')
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    process.exit(130)
  })
}

const wanted = table.filter(({ name }) => name.includes(values.only))
try {
  await underLoad('windows', { batch: 40, filler: 0 })
  await underLoad('files', { batch: 20, filler: 1_500 })
  await creations()
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  await running?.end('SIGKILL')
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
if (problems.length === 0) rmSync(directory, { recursive: true, force: true })
else process.stdout.write(`everything is kept in ${directory}\n`)
process.stdout.write(
  `${wanted.length} places, each ${times} times: ${kills} kills; ${problems.length} problems\n`,
)
process.exit(problems.length === 0 && wanted.length > 0 ? 0 : 1)

/** All places of one world, one after another on the same data directory, without ever stopping the load. */
async function underLoad(
  name: 'windows' | 'files',
  size: { batch: number; filler: number },
): Promise<void> {
  const own = wanted.filter((point) => point.world === name)
  if (own.length === 0 || problems.length > 0) return
  mkdirSync(join(directory, name))
  const world = new World(name, join(directory, name), port)
  const load = new Load(world.url, { lanes: 6, ...size })
  for (const point of own) {
    for (let time = 0; time < times; time++) {
      const later = time * (point.often ? APART : 1)
      if (point.left === undefined) await killedAt(world, point, later)
      else {
        await killedAt(
          world,
          { ...point.left, name: `${point.name} (what it finds)` },
          time * APART,
        )
        await killedAt(world, point, 0)
      }
    }
    if (problems.length > 0) return
    const { size: events } = load.ledger.acknowledged
    process.stdout.write(`${point.name}: ${times} kills, ${events} events acknowledged\n`)
  }
  const engine = (running = world.engine())
  await engine.start()
  problems.push(...(await world.settle(engine, load)))
}

/** A directory that was being made when the engine ended is made again, and serves. */
async function creations(): Promise<void> {
  for (const point of wanted.filter(({ world }) => world === 'new')) {
    for (let time = 0; time < times && problems.length === 0; time++) {
      const base = join(directory, 'new')
      rmSync(base, { recursive: true, force: true, maxRetries: 10 })
      mkdirSync(base)
      const world = new World('windows', base, port)
      await killedAt(world, point, 0)
      const engine = (running = world.engine())
      await engine.start()
      const load = new Load(world.url, { lanes: 1, batch: 10 })
      while (load.acknowledged < 3 && load.problems.length === 0) await sleep(5)
      problems.push(...(await world.settle(engine, load)))
    }
    if (problems.length > 0) return
    process.stdout.write(`${point.name}: ${times} kills\n`)
  }
}

/** Starts the engine and waits for it to end at the place. */
async function killedAt(
  world: World,
  point: Point & Pick<PlannedPoint, 'longer'>,
  later: number,
): Promise<void> {
  if (problems.length > 0) return
  const nth = (point.from ?? 1) + later
  const engine = (running = world.engine({
    [pointVariable]: JSON.stringify({ ...point, nth }),
    ...(point.longer === true ? { KILL_KEEP: 'longer' } : {}),
  }))
  let late = false
  const timer = setTimeout(() => {
    late = true
    void engine.end('SIGKILL')
  }, PATIENCE_MS)
  // Most places are behind the start; some are in it, and then it is the start that fails.
  await Promise.allSettled([engine.start()])
  const { code, signal, stderr } = await engine.ended()
  clearTimeout(timer)
  if (late)
    problems.push(`${point.name}: occurrence ${nth} not within ${PATIENCE_MS} ms\n${stderr}`)
  else if (signal === 'SIGKILL') kills++
  else problems.push(`${point.name}: the engine ended by itself, ${code ?? signal}:\n${stderr}`)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * Stops the real engine with SIGTERM under load, every other time with a second one right behind:
 * `npm run kill -- signals --times 20`. The first drains and exits with 0 within the time stated in the docs; the second
 * ends the process at once, by that signal. Both leave a log that opens, and what was acknowledged is there once, in order.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type EngineProcess } from '../../examples/demo/engine.ts'
import { numbers } from '../support/numbers.ts'
import { Load } from './load.ts'
import { World } from './world.ts'

const given = numbers('npm run kill -- signals [--times COUNT]', ['times'])
const times = given.times ?? 20
/** Stated in docs/reference/cli.md. */
const DRAINS_WITHIN_MS = 15_000
/** Nothing is waited for; the machine may be busy. */
const ENDS_WITHIN_MS = 2_000

const directory = mkdtempSync(join(tmpdir(), 'millrace-signals-'))
const problems: string[] = []
const drained: number[] = []
const ended: number[] = []
let events = 0
let running: EngineProcess | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void running?.end('SIGKILL')
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    process.exit(130)
  })
}
try {
  for (const kind of ['windows', 'files'] as const) {
    const world = new World(kind, join(directory, kind), await freePort())
    const load = new Load(world.url, { lanes: 6, batch: 40, filler: kind === 'files' ? 500 : 0 })
    for (let time = 0; time < times && problems.length === 0; time++)
      await stop(world, load, time % 2)
    running = world.engine()
    await running.start()
    problems.push(...(await world.settle(running, load)))
    events += load.ledger.acknowledged.size
  }
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  await running?.end('SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
process.stdout.write(
  `${drained.length} stops by one signal: ${shown(drained)}; ${ended.length} by a second one: ${shown(ended)}; ${events} events acknowledged; ${problems.length} problems\n`,
)
process.exit(problems.length === 0 ? 0 : 1)

async function stop(world: World, load: Load, second: number): Promise<void> {
  const engine = (running = world.engine())
  const before = load.acknowledged
  await engine.start()
  while (load.acknowledged === before && load.problems.length === 0) await sleep(2)
  await sleep(Math.random() * 400)
  let began = performance.now()
  process.kill(engine.pid, 'SIGTERM')
  if (second === 1) {
    await sleep(Math.random() * 20)
    began = performance.now()
    process.kill(engine.pid, 'SIGTERM')
  }
  const { code, signal, stderr } = await engine.ended()
  const ms = performance.now() - began
  const bySecond = second === 1 && signal === 'SIGTERM'
  ;(bySecond ? ended : drained).push(ms)
  // With a second signal it may have ended just before that.
  if (code !== 0 && !bySecond) problems.push(`a stop ended with ${code ?? signal}:\n${stderr}`)
  if (ms > (bySecond ? ENDS_WITHIN_MS : DRAINS_WITHIN_MS))
    problems.push(`${bySecond ? 'a second signal' : 'a stop'} took ${Math.round(ms)} ms`)
}

function shown(ms: readonly number[]): string {
  const sorted = ms.toSorted((a, b) => a - b)
  return `median ${Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0)} ms, slowest ${Math.round(sorted.at(-1) ?? 0)} ms`
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

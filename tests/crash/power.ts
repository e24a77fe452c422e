/**
 * Cuts the power of the file system under the real engine, again and again, under load: `npm run kill -- power --cuts 200`.
 * Ext4 and XFS in turn, each on a loop device, ended with FS_IOC_SHUTDOWN without a flush of the journal, then mounted anew.
 * The engine has to end by itself with exit status 4, or by SIGBUS where SQLite lies on that disk: SQLite shares a file with
 * its other readers as memory, and memory whose disk is gone ends any process. Either way what was acknowledged has to be there once, in order.
 *
 * Needs root, loop devices, mkfs and Python; without them it says so in a line and exits with 0.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type EngineProcess } from '../../examples/demo/engine.ts'
import { numbers } from '../support/numbers.ts'
import { Load } from './load.ts'
import { LoopDevice, type FileSystem } from './loop-device.ts'
import { World } from './world.ts'

const usage = 'npm run kill -- power [--cuts COUNT] [--round CUTS]'
const given = numbers(usage, ['cuts', 'round'])
const cuts = given.cuts ?? 200
/** So many cuts on one file system; then everything is compared, and the next one begins. */
const perRound = given.round ?? 25
/** An engine over a dead disk that still runs after this does not stop by itself. */
const ENDS_WITHIN_MS = 20_000

const directory = mkdtempSync(join(tmpdir(), 'millrace-power-'))
/** On a disk that lives on: what a cut takes of the compiled modules, every start would have to compile again. */
const lasting = { NODE_COMPILE_CACHE: join(directory, 'cache') }
const problems: string[] = []
const endMs: number[] = []
const byFileSystem: Record<FileSystem, number> = { ext4: 0, xfs: 0 }
let events = 0
let shown = 0
let halves = 0
let bySigbus = 0
let running: EngineProcess | undefined
let device: LoopDevice | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void running?.end('SIGKILL').then(() => cleanUp(130))
  })
}

for (const fileSystem of ['ext4', 'xfs'] as const) {
  try {
    new LoopDevice(fileSystem, directory).release()
  } catch (error) {
    process.stdout.write(`skipped: power cannot be cut here: ${(error as Error).message}\n`)
    cleanUp(0)
  }
}

let done = 0
for (let round = 0; done < cuts && problems.length === 0; round++) {
  const fileSystem = round % 2 === 0 ? 'ext4' : 'xfs'
  const kind = round % 4 < 2 ? 'windows' : 'files'
  const count = Math.min(perRound, cuts - done)
  try {
    await oneRound(fileSystem, kind, count)
  } catch (error) {
    problems.push(`${fileSystem}, ${kind}: ${(error as Error).stack ?? String(error)}`)
  } finally {
    await running?.end('SIGKILL')
    device?.release()
  }
  done += count
  byFileSystem[fileSystem] += count
  process.stdout.write(
    `${done} cuts, the last ones on ${fileSystem} with ${kind}; ${events} events\n`,
  )
}
for (const problem of problems.slice(0, 20)) process.stdout.write(`PROBLEM ${problem}\n`)
const sorted = endMs.toSorted((a, b) => a - b)
const median = Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0)
process.stdout.write(
  `${done} power cuts (${byFileSystem.ext4} on ext4, ${byFileSystem.xfs} on XFS), ${events} events acknowledged, ${halves} halves of requests, ${shown} records shown to slow readers; the engine ended by itself after: median ${median} ms, slowest ${Math.round(sorted.at(-1) ?? 0)} ms, ${bySigbus} times by SIGBUS; ${problems.length} problems\n`,
)
cleanUp(problems.length === 0 ? 0 : 1)

async function oneRound(
  fileSystem: FileSystem,
  kind: 'windows' | 'files',
  count: number,
): Promise<void> {
  const disk = (device = new LoopDevice(fileSystem, directory))
  const world = new World(kind, disk.mountPoint, await freePort())
  const size = kind === 'windows' ? { batch: 40 } : { batch: 20, filler: 1_500 }
  const load = new Load(world.url, { lanes: 6, ...size })
  const neighbours = world.neighbours()
  for (let cut = 0; cut < count && problems.length === 0; cut++) {
    const engine = (running = world.engine(lasting))
    const before = load.acknowledged
    await engine.start()
    while (load.acknowledged === before && load.problems.length === 0) await sleep(2)
    await sleep(Math.random() * 400)
    disk.cutPower()
    await mustEnd(engine, kind)
    disk.unmount()
    disk.mount()
  }
  const engine = (running = world.engine(lasting))
  await engine.start()
  problems.push(...(await world.settle(engine, load, neighbours)))
  shown += neighbours.shown
  halves += neighbours.halves
  events += load.ledger.acknowledged.size
}

/** With exit status 4: its log failed. Its clients would wait for ever for one that goes on. */
async function mustEnd(engine: EngineProcess, kind: 'windows' | 'files'): Promise<void> {
  const began = performance.now()
  let late = false
  const timer = setTimeout(() => {
    late = true
    void engine.end('SIGKILL')
  }, ENDS_WITHIN_MS)
  const { code, signal, stderr } = await engine.ended()
  clearTimeout(timer)
  endMs.push(performance.now() - began)
  if (late) problems.push(`it still ran ${ENDS_WITHIN_MS} ms after the power cut:\n${stderr}`)
  else if (signal === 'SIGBUS' && kind === 'windows') bySigbus++
  else if (code !== 4) problems.push(`it ended with ${code ?? signal} instead of 4:\n${stderr}`)
}

function cleanUp(status: number): never {
  device?.release()
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
  process.exit(status)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

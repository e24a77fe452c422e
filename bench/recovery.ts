/**
 * `npm run bench -- recovery`: how long after SIGKILL, under full load, until the engine acknowledges again, with a large
 * log and many keys of state. Prints what each part of the start took. `--tries 100 --mb 1024 --keys 100000`.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { EngineProcess, freePort } from '../examples/demo/engine.ts'
import { Lane } from '../examples/demo/lane.ts'
import { numbers } from '../tests/support/numbers.ts'

const usage = 'npm run bench -- recovery [--tries COUNT] [--mb MEGABYTES] [--keys COUNT]'
const given = numbers(usage, ['tries', 'mb', 'keys'])
const tries = given.tries ?? 100
const bytes = (given.mb ?? 1024) * 1e6
const keys = given.keys ?? 100_000
const LANES = 4
const BATCH = 250
const filler = 'x'.repeat(3_000)

const directory = mkdtempSync(join(tmpdir(), 'millrace-recovery-'))
const dataDir = join(directory, 'data')
const engine = new EngineProcess(await freePort(), 'bench/pipeline-recovery.ts', dataDir, {})
engine.endWithUs(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))

interface Start {
  /** Milliseconds from the start of the process on. */
  readonly recovered: number
  readonly listening: number
  readonly ready: number
  readonly acknowledged: number
}

let stopping = false
let acknowledged = 0
const starts: Start[] = []
try {
  await engine.start()
  const lanes = Array.from({ length: LANES }, (_, lane) => produce(lane))
  // All keys have been there, and the log is as large as wanted.
  while (logBytes() < bytes || acknowledged * BATCH < keys * 1.05) await sleep(100)
  for (let n = 0; n < tries; n++) {
    await sleep(500 + Math.random() * 500)
    await engine.end('SIGKILL')
    starts.push(await oneStart())
  }
  await engine.end('SIGKILL')
  stopping = true
  await Promise.all(lanes)
  report()
} finally {
  await engine.end('SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
}

async function oneStart(): Promise<Start> {
  const before = acknowledged
  const began = Date.now()
  const clock = performance.now()
  const ready = await engine.start()
  while (acknowledged === before) await sleep(1)
  const first = performance.now() - clock
  const at = (message: string): number => {
    const line = engine.stderr.split('\n').find((text) => text.includes(message)) ?? '{}'
    return Date.parse((JSON.parse(line) as { time?: string }).time ?? '') - began
  }
  const recovered = at('Recovered the log')
  return { recovered, listening: at('Started at'), ready, acknowledged: first }
}

function report(): void {
  const largest = starts.length - 1
  const shown = (pick: (start: Start) => number): string => {
    const sorted = starts.map(pick).toSorted((a, b) => a - b)
    const [median, p99, slowest] = [0.5, 0.99, 1].map((share) =>
      Math.round(sorted[Math.min(largest, Math.floor(share * starts.length))] ?? Number.NaN),
    )
    return `median ${median} ms, p99 ${p99} ms, slowest ${slowest} ms`
  }
  const lines = [
    `machine             ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}`,
    `log                 ${(logBytes() / 1e6).toFixed(0)} MB, ${(sinceSnapshot() / 1e6).toFixed(0)} MB of it behind the oldest of the newest snapshots of the state; ${keys.toLocaleString('en')} keys`,
    `kills               ${starts.length}, under the load of ${LANES} producers on the same machine`,
    `log recovered       ${shown(({ recovered }) => recovered)}`,
    `listening           ${shown(({ listening }) => listening)}`,
    `ready               ${shown(({ ready }) => ready)}`,
    `acknowledges again  ${shown(({ acknowledged: ms }) => ms)}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

async function produce(index: number): Promise<void> {
  const lane = new Lane(`${engine.url}/events`, `recovery-${index}`)
  for (let n = index * BATCH; !stopping; n += LANES * BATCH) {
    const at = Date.now()
    const events = Array.from({ length: BATCH }, (_, i) =>
      JSON.stringify({ key: `key_${(n + i) % keys}`, at, filler }),
    )
    const answer = await Promise.race([lane.send(events.join('\n')), whenStopping()])
    if (answer === undefined) break
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text.slice(0, 300)}`)
    acknowledged++
  }
  lane.close()
}

async function whenStopping(): Promise<undefined> {
  while (!stopping) await sleep(50)
}

function segments(): { lsn: number; size: number }[] {
  const folder = join(dataDir, 'log')
  return readdirSync(folder).flatMap((name) => {
    const lsn = /^\d+-(\d+)\.seg$/.exec(name)?.[1]
    return lsn === undefined ? [] : [{ lsn: Number(lsn), size: statSync(join(folder, name)).size }]
  })
}

function logBytes(): number {
  return segments().reduce((sum, { size }) => sum + size, 0)
}

/** Whole segments behind the snapshot that a restore of the aggregate's state begins with. */
function sinceSnapshot(): number {
  const folder = join(dataDir, 'state')
  const stores = readdirSync(folder).filter((name) => name.startsWith('recovery.'))
  const newest = stores.flatMap((store) =>
    readdirSync(join(folder, store)).map((partition) =>
      Math.max(
        0,
        ...readdirSync(join(folder, store, partition)).map((name) => Number.parseInt(name, 10)),
      ),
    ),
  )
  const oldest = newest.length === 0 ? 0 : Math.min(...newest)
  return segments().reduce((sum, { lsn, size }) => (lsn > oldest ? sum + size : sum), 0)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * `npm run bench -- recovery`: how long after SIGKILL, under full load, until the engine acknowledges again and until all of
 * it runs, with a large log since the last snapshot and many keys of state. The log is made once; each try gets a copy of it,
 * puts the load on, kills, starts again under the same load, and compares every count with the books of the producers.
 * `--within` ends it with exit code 1 where the 99th percentile of either is more milliseconds.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { EngineProcess, freePort } from '../examples/demo/engine.ts'
import { numbers } from '../tests/support/numbers.ts'
import { bytesSinceSnapshot, changelogBytes, copyDirectory } from './recovery-directory.ts'
import { Load } from './recovery-load.ts'
import type { Book, LoadOptions } from './recovery-load.ts'

const usage =
  'npm run bench -- recovery [--times COUNT] [--mb MEGABYTES] [--keys COUNT] [--within MILLISECONDS]'
const given = numbers(usage, ['times', 'mb', 'keys', 'within'])
const times = given.times ?? 100
const bytes = (given.mb ?? 1024) * 1e6
const keys = given.keys ?? 100_000
const within = given.within ?? Infinity
/** Each event changes the state: their size decides how much log comes with how many changes. */
const large = { batch: 100, fillerBytes: 8_000 }
const midnight = Math.floor(Date.now() / 86_400_000) * 86_400_000
const COUNTS_TOPIC = 'counts'

interface Start {
  /** Milliseconds from the start of the process on. */
  readonly acknowledged: number
  readonly ready: number
  /** What the engine says of its own start. */
  readonly phases: Readonly<Record<string, number>>
  readonly sinceSnapshot: number
  readonly loadBytesPerSecond: number
}

const directory = mkdtempSync(join(tmpdir(), 'millrace-recovery-'))
const remove = (path: string): void =>
  rmSync(path, { recursive: true, force: true, maxRetries: 10 })
const port = await freePort()
let engine = engineOn('base')
engine.endWithUs(() => remove(directory))
const starts: Start[] = []
let wrong = 0
try {
  const base = await makeBase()
  for (let n = 0; n < times; n++) {
    starts.push(await oneTry(n, base))
    if (process.stderr.isTTY) process.stderr.write(`\r${n + 1} of ${times} tries `)
  }
  report(base)
} finally {
  await engine.end('SIGKILL')
  remove(directory)
}

interface Base {
  readonly book: Book
  /** Next offset of each partition of the counts. */
  readonly offsets: readonly number[]
  readonly changelog: number
}

function engineOn(name: string): EngineProcess {
  return new EngineProcess(port, 'bench/pipeline-recovery.ts', join(directory, name), {})
}

function load(name: string, book: Book, size: Pick<LoadOptions, 'batch' | 'fillerBytes'>): Load {
  return new Load({ url: engine.url, name, at: midnight, book, ...size })
}

/** All keys in a state of which snapshots are taken, then as much log as is wanted. */
async function makeBase(): Promise<Base> {
  const book = new Uint32Array(keys)
  const dataDir = join(directory, 'base')
  await engine.start()
  const filling = load('fill', book, { batch: 2_000, fillerBytes: 0 })
  while (filling.touched.size < keys) await filling.acknowledged()
  await filling.stop()
  await engine.caughtUp((topic) => topic === 'events', 60_000)
  const answer = await fetch(`${engine.url}/admin/snapshot`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  const growing = load('grow', book, large)
  while (bytesSinceSnapshot(dataDir) < bytes) await growing.acknowledged()
  await growing.stop()
  await check(book, 'earliest', new Set(book.keys()))
  const { offsets } = await engine.get<{ offsets: { next: number }[] }>(
    `/admin/topics/${COUNTS_TOPIC}`,
  )
  await engine.end('SIGKILL')
  const changelog = await changelogBytes(dataDir)
  return { book, offsets: offsets.map(({ next }) => next), changelog }
}

async function oneTry(n: number, base: Base): Promise<Start> {
  const dataDir = join(directory, `try-${n}`)
  copyDirectory(join(directory, 'base'), dataDir)
  engine = engineOn(`try-${n}`)
  const book = base.book.slice()
  await engine.start()
  const running = load(`try-${n}`, book, large)
  const began = performance.now()
  await sleep(700 + Math.random() * 500)
  await running.acknowledged()
  const loadBytesPerSecond = (running.acknowledgedBytes * 1e3) / (performance.now() - began)
  await engine.end('SIGKILL')
  const sinceSnapshot = bytesSinceSnapshot(dataDir)
  const clock = performance.now()
  const acknowledging = running.acknowledged().then(() => performance.now() - clock)
  const [ready, acknowledged] = await Promise.all([engine.start(), acknowledging])
  const { phases } = JSON.parse(lineWith('phases')) as { phases: Record<string, number> }
  await running.stop()
  const from = base.offsets.map((offset, partition) => `${partition}:${offset}`).join(',')
  await check(book, from, running.touched)
  await engine.end('SIGKILL')
  remove(dataDir)
  return { acknowledged, ready, phases, sinceSnapshot, loadBytesPerSecond }
}

function lineWith(field: string): string {
  return engine.stderr.split('\n').find((text) => text.includes(`"${field}"`)) ?? '{"phases":{}}'
}

/** The last count of each key against the producers' book: what is missing there is lost, what is too much is doubled. */
async function check(book: Book, from: string, touched: ReadonlySet<number>): Promise<void> {
  await engine.caughtUp((topic) => topic === 'events', 60_000)
  const answer = await fetch(`${engine.url}/topics/${COUNTS_TOPIC}/records?from=${from}`)
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  const seen = new Map<number, number>()
  for (const line of (await answer.text()).split('\n')) {
    if (line === '') continue
    const { value } = JSON.parse(line) as { value: { key: string; seen: number } }
    seen.set(Number(value.key.slice('key_'.length)), value.seen)
  }
  for (const key of new Set([...touched, ...seen.keys()])) {
    if (seen.get(key) === book[key]) continue
    if (wrong++ < 5)
      process.stderr.write(`key_${key}: ${book[key]} acknowledged, ${seen.get(key)} counted\n`)
  }
}

function report({ changelog }: Base): void {
  const least = (pick: (start: Start) => number): number => Math.min(...starts.map(pick)) / 1e6
  const phases = Object.keys(starts[0]?.phases ?? {})
  const lines = [
    `machine  ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}`,
    `log      at least ${least((s) => s.sinceSnapshot).toFixed(0)} MB since the last snapshot, ${(changelog / 1e6).toFixed(1)} MB of it changes of state behind a snapshot; ${keys.toLocaleString('en')} keys`,
    `load     4 producers that wait only for their answers; before the kills at least ${least((s) => s.loadBytesPerSecond).toFixed(0)} MB/s`,
    ...phases.map(
      (name) => `${name.padEnd(20)} ${shown(percentiles((s) => s.phases[name] ?? Number.NaN))}`,
    ),
  ]
  const [acknowledged, ready] = [percentiles((s) => s.acknowledged), percentiles((s) => s.ready)]
  const late = Math.max(acknowledged.p99, ready.p99) > within
  const failed = late || wrong > 0 || least((s) => s.sinceSnapshot) * 1e6 < bytes
  const limit = within === Infinity ? '' : `; p99 within ${within} ms: ${late ? 'no' : 'yes'}`
  lines.push(
    `${failed ? 'FAILED' : 'ok'}: ${times} kills, acknowledges again ${shown(acknowledged)}; ready ${shown(ready)}; ${wrong} wrong counts${limit}`,
  )
  process.stdout.write(`${lines.join('\n')}\n`)
  if (failed) process.exitCode = 1
}

interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

function percentiles(pick: (start: Start) => number): Percentiles {
  const sorted = starts.map(pick).toSorted((a, b) => a - b)
  const at = (share: number): number =>
    Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function shown({ p50, p99, max }: Percentiles): string {
  return `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

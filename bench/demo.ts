/**
 * `npm run bench -- demo`: the demo's pipeline under a sustained load of HTTP NDJSON, exactly-once, into SQLite windows.
 * Prints the rate that was acknowledged, the resident memory of the engine over time, and whether the table agrees.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { comparePages } from '../examples/demo/compare.ts'
import { EngineProcess, freePort } from '../examples/demo/engine.ts'
import { Lane } from '../examples/demo/lane.ts'
import { writeOrders } from '../examples/demo/orders.ts'
import type { ProducerReport } from '../examples/demo/producer.ts'
import { startReceiver } from '../examples/demo/receiver.ts'
import { isPro } from '../examples/demo/tally.ts'

const { values } = parseArgs({
  options: { rate: { type: 'string', default: '100000' }, for: { type: 'string', default: '60' } },
})
const rate = Number(values.rate)
const seconds = Number(values.for)
const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
const receiver = await startReceiver('bench')
const orders = join(directory, 'orders.ndjson')
writeOrders(orders, 8_000, Date.now())
const database = join(directory, 'demo.sqlite')
const engine = new EngineProcess(
  await freePort(),
  'examples/demo/pipeline.ts',
  join(directory, 'data'),
  {
    DEMO_DATABASE: database,
    DEMO_ORDERS: orders,
    DEMO_WEBHOOK: receiver.url,
    DEMO_WEBHOOK_SECRET: 'bench',
  },
)

try {
  await engine.start()
  const users = new Lane(`${engine.url}/topics/users`, 'bench-users')
  await users.send(
    Array.from({ length: 5_000 }, (_, n) =>
      JSON.stringify({ user_id: `user_${n}`, plan: isPro(n) ? 'pro' : 'free' }),
    ).join('\n'),
  )
  users.close()
  await engine.caughtUp((topic) => topic === 'users', 30_000)
  const began = performance.now()
  const memory: number[] = []
  const sampler = setInterval(() => memory.push(residentMb(engine.pid)), 1_000)
  const report = await produce()
  const producedS = (performance.now() - began) / 1000
  await engine.caughtUp(
    (topic) => !topic.startsWith('host') && !topic.startsWith('demo.cpu'),
    120_000,
  )
  const drainedS = (performance.now() - began) / 1000 - producedS
  clearInterval(sampler)
  const cpuS = cpuSeconds(engine.pid)
  await engine.end('SIGTERM')
  const pages = comparePages(database, new Map(report.pages))
  const quarters = [0, 1, 2, 3].map((quarter) =>
    median(memory.slice((memory.length * quarter) / 4, (memory.length * (quarter + 1)) / 4)),
  )
  const lines = [
    `machine               ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}`,
    `asked for             ${rate.toLocaleString('en')} events/s for ${seconds} s, producer on the same machine`,
    `acknowledged          ${report.acknowledged.toLocaleString('en')} events, ${Math.round(report.acknowledged / producedS).toLocaleString('en')} events/s`,
    `left to process       ${drainedS.toFixed(1)} s after the last answer`,
    `engine CPU            ${cpuS.toFixed(1)} s, ${((cpuS * 1e6) / report.acknowledged).toFixed(2)} µs per event`,
    `engine memory         ${quarters.join(', ')} MB (resident size, median of each quarter of the run)`,
    `request latency       p50 ${report.latencyMs.p50.toFixed(1)} ms, p99 ${report.latencyMs.p99.toFixed(1)} ms`,
    `SQLite and tally      ${pages.windows} windows, ${pages.views.toLocaleString('en')} views, ${pages.differences.length} differences`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  for (const problem of [...report.wrongAnswers, ...pages.differences])
    process.stdout.write(`PROBLEM ${problem}\n`)
  process.exitCode = report.wrongAnswers.length + pages.differences.length === 0 ? 0 : 1
} finally {
  await engine.end('SIGKILL')
  receiver.close()
  rmSync(directory, { recursive: true, force: true })
}

async function produce(): Promise<ProducerReport> {
  const args = [`${engine.url}/actions`, String(rate), String(seconds)]
  const child = fork(new URL('../examples/demo/producer.ts', import.meta.url), args)
  let report: ProducerReport | undefined
  child.on('message', (message: { report?: ProducerReport }) => (report = message.report ?? report))
  await once(child, 'exit')
  if (report === undefined) throw new Error('the producer ended without a report')
  return report
}

function residentMb(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(found?.[1] ?? 0) / 1024)
}

/** User and system time of all its threads; the kernel counts in ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}

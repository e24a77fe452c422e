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
  options: {
    rate: { type: 'string', default: '100000' },
    for: { type: 'string', default: '60' },
    'warm-up': { type: 'string', default: '60' },
  },
})
const rate = Number(values.rate)
const seconds = Number(values.for)
/** Until then compiled code, pools and the allocator's memory are still growing; the same load, not measured. */
const warmUpS = Number(values['warm-up'])
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
engine.endWithUs(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))

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
  const produced = await produce()
  const { report, measured } = produced
  const began = performance.now()
  await engine.caughtUp(
    (topic) => !topic.startsWith('host') && !topic.startsWith('demo.cpu'),
    120_000,
  )
  const drainedS = (performance.now() - began) / 1000
  await engine.end('SIGTERM')
  const pages = comparePages(database, new Map(report.pages))
  const { memoryMb } = produced
  const quarters = [0, 1, 2, 3].map((quarter) =>
    median(memoryMb.slice((memoryMb.length * quarter) / 4, (memoryMb.length * (quarter + 1)) / 4)),
  )
  const perSecond = (events: number): string =>
    Math.round(events / measured.seconds).toLocaleString('en')
  const lines = [
    `machine               ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}`,
    `asked for             ${rate.toLocaleString('en')} events/s for ${seconds} s after ${warmUpS} s of warm-up, producer on the same machine`,
    `answered              ${perSecond(measured.acknowledged + measured.refused)} events/s over ${measured.seconds.toFixed(1)} s: ${measured.acknowledged.toLocaleString('en')} acknowledged, ${measured.refused.toLocaleString('en')} invalid ones refused`,
    `sent                  ${report.sent.toLocaleString('en')} of ${(rate * (warmUpS + seconds)).toLocaleString('en')} events that the rate makes, warm-up included`,
    `left to process       ${drainedS.toFixed(1)} s after the last answer`,
    `engine CPU            ${measured.cpuS.toFixed(1)} s, ${((measured.cpuS * 1e6) / (measured.acknowledged + measured.refused)).toFixed(2)} µs per event`,
    `engine memory         ${quarters.join(', ')} MB (resident size, median of each quarter)`,
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

/** What was counted since the warm-up, up to the producer's end. */
interface Measured {
  readonly seconds: number
  readonly acknowledged: number
  readonly refused: number
  readonly cpuS: number
}

interface Ledger {
  readonly acknowledged: number
  readonly refused: number
}

interface Produced {
  readonly report: ProducerReport
  readonly measured: Measured
  readonly memoryMb: readonly number[]
}

async function produce(): Promise<Produced> {
  const args = [`${engine.url}/actions`, String(rate), String(warmUpS + seconds)]
  const child = fork(new URL('../examples/demo/producer.ts', import.meta.url), args)
  const memoryMb: number[] = []
  let sampler: NodeJS.Timeout | undefined
  let began: { readonly at: number; readonly ledger: Ledger; readonly cpuS: number } | undefined
  let ended: { readonly report: ProducerReport; readonly measured: Measured } | undefined
  let firstAt: number | undefined
  child.on('message', ({ progress, report }: { progress?: Ledger; report?: ProducerReport }) => {
    const at = performance.now()
    const cpuS = cpuSeconds(engine.pid)
    firstAt ??= at
    if (progress !== undefined && began === undefined && at - firstAt >= warmUpS * 1000) {
      began = { at, ledger: progress, cpuS }
      sampler = setInterval(() => memoryMb.push(residentMb(engine.pid)), 500)
    }
    if (report === undefined || began === undefined) return
    const measured = {
      seconds: (at - began.at) / 1000,
      acknowledged: report.acknowledged - began.ledger.acknowledged,
      refused: report.refused - began.ledger.refused,
      cpuS: cpuS - began.cpuS,
    }
    ended = { report, measured }
  })
  await once(child, 'exit')
  clearInterval(sampler)
  if (ended === undefined) throw new Error('the producer ended without a report')
  return { ...ended, memoryMb }
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

/**
 * `npm run demo`: starts the engine, a producer and a webhook receiver as they would run in earnest, kills the engine
 * half way, and holds the results against books kept apart from it. Exit status 0 only if everything agrees.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { comparePages, compareRevenue } from './compare.ts'
import { EngineProcess, freePort } from './engine.ts'
import { Lane } from './lane.ts'
import { demoOptions } from './options.ts'
import { writeOrders } from './orders.ts'
import type { ProducerReport } from './producer.ts'
import { startReceiver } from './receiver.ts'
import { isPro, tallyOrders } from './tally.ts'
import { printReport, type DemoReport } from './report.ts'
import { LiveView } from './view.ts'

const SECRET = 'demo-secret'
const USERS = 5_000
const ORDERS = 8_000

const options = demoOptions(process.argv.slice(2))
const directory = mkdtempSync(join(tmpdir(), 'millrace-demo-'))
const database = join(directory, 'demo.sqlite')
const ordersFile = join(directory, 'orders.ndjson')
const view = new LiveView(options)
const receiver = await startReceiver(SECRET)
writeOrders(ordersFile, ORDERS, Date.now())
const engine = new EngineProcess(
  await freePort(),
  'examples/demo/pipeline.ts',
  join(directory, 'data'),
  {
    DEMO_DATABASE: database,
    DEMO_ORDERS: ordersFile,
    DEMO_WEBHOOK: receiver.url,
    DEMO_WEBHOOK_SECRET: SECRET,
    // A fifth of one processor is busy: so it is wherever the demo runs, however many there are.
    DEMO_CPU_ALERT: String(0.2 / cpus().length),
  },
)

engine.endWithUs(() => {
  view.end()
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
})

let agrees = false
try {
  const report = await run()
  agrees = report.problems.length === 0
  view.end()
  printReport(report, options.json)
} catch (error) {
  view.end()
  process.stderr.write(`demo: ${(error as Error).message}\n`)
} finally {
  await engine.end('SIGKILL')
  receiver.close()
  if (agrees) rmSync(directory, { recursive: true, force: true })
  else process.stderr.write(`demo: everything it wrote is kept in ${directory}\n`)
}
process.exit(agrees ? 0 : 1)

async function run(): Promise<DemoReport> {
  const startMs = await engine.start()
  view.say(`engine ready after ${Math.round(startMs)} ms; live page: ${engine.url}/`)
  await seedUsers()
  const follow = view.follow(engine, () => receiver.alerts())
  const [producer, restartMs] = await Promise.all([
    produce(),
    options.crash ? crashHalfWay() : undefined,
  ])
  view.say('the producer is done; waiting for the last windows')
  await engine.caughtUp(
    (topic) => !topic.startsWith('host') && !topic.startsWith('demo.cpu'),
    60_000,
  )
  follow.stop()
  const actions = await engine.counters('ingest/actions/')
  const stages = await engine.counters('demo/')
  const late = await engine.get<{ records: number }>('/admin/topics/late-actions')
  const letters = await engine.get<{ open: number }>('/admin/dlq/demo')
  await engine.end('SIGTERM')
  const pages = comparePages(database, new Map(producer.pages))
  const revenue = compareRevenue(database, tallyOrders(readFileSync(ordersFile, 'utf8')))
  const books = { producer, actions, stages, late: late.records, deadLetters: letters.open }
  const alerts = { received: receiver.alerts(), badSignatures: receiver.badSignatures() }
  return {
    startMs,
    restartMs,
    books,
    pages,
    revenue,
    alerts,
    problems: problemsIn({ ...books, pages, revenue, alerts }),
  }
}

async function seedUsers(): Promise<void> {
  const lane = new Lane(`${engine.url}/topics/users`, 'demo-users')
  const lines = Array.from({ length: USERS }, (_, user) =>
    JSON.stringify({ user_id: `user_${user}`, plan: isPro(user) ? 'pro' : 'free' }),
  )
  const answer = await lane.send(lines.join('\n'))
  lane.close()
  if (answer.status !== 200)
    throw new Error(`the users were refused: ${answer.status} ${answer.text}`)
  await engine.caughtUp((topic) => topic === 'users', 30_000)
}

async function produce(): Promise<ProducerReport> {
  const args = [`${engine.url}/actions`, String(options.rate), String(options.seconds)]
  const child = fork(new URL('./producer.ts', import.meta.url), args)
  let report: ProducerReport | undefined
  child.on('message', (message: { report?: ProducerReport; progress?: Record<string, number> }) => {
    report = message.report ?? report
    if (message.progress !== undefined) view.produced(message.progress)
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (report === undefined) throw new Error(`the producer ended with ${code} and without a report`)
  return report
}

async function crashHalfWay(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, options.seconds * 500))
  await engine.end('SIGKILL')
  view.say('kill -9: the engine is gone; starting it again')
  const ms = await engine.start()
  view.say(`engine back after ${Math.round(ms)} ms`)
  return ms
}

/** Everything that must agree, and does not. */
function problemsIn(
  found: DemoReport['books'] & Pick<DemoReport, 'pages' | 'revenue' | 'alerts'>,
): string[] {
  const { producer, actions } = found
  const problems = [
    ...producer.wrongAnswers,
    ...found.pages.differences,
    ...found.revenue.differences,
  ]
  const equal = (what: string, a: number, b: number): void => {
    if (a !== b) problems.push(`${what}: ${a} is not ${b}`)
  }
  equal('events sent and answered', producer.acknowledged + producer.refused, producer.sent)
  equal('invalid events refused', producer.refused, producer.refusedExpected)
  equal(
    'events the engine appended and acknowledged ones',
    actions['emitted'] ?? 0,
    producer.acknowledged,
  )
  equal('late events kept and sent too late', found.late, producer.tooLate)
  equal('dead letters', found.deadLetters, 0)
  if (found.alerts.received === 0) problems.push('no CPU alert reached the webhook')
  if (found.alerts.badSignatures > 0)
    problems.push(`${found.alerts.badSignatures} webhook calls with a wrong signature`)
  return problems
}

/**
 * The demo's producer, a process of its own: many simulated users over real HTTP, with a ledger of what was acknowledged.
 *
 * Some requests are repeated on purpose after their answer came, as a client does that lost it; some events are a little late (they count), far too late (they go to `late-actions`), or invalid (refused).
 */
import { Lane, type Answer } from './lane.ts'
import { countPage, isPro, type PageTally } from './tally.ts'

export interface ProducerReport {
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
  readonly refusedExpected: number
  readonly tooLate: number
  readonly resent: number
  readonly retries: number
  readonly latencyMs: { readonly p50: number; readonly p99: number }
  readonly wrongAnswers: readonly string[]
  readonly pages: readonly (readonly [string, { views: number; seconds: number; pro: number }])[]
}

interface Made {
  readonly line: string
  readonly fate: 'counted' | 'ignored' | 'too-late' | 'invalid'
  readonly page: string
  readonly atMs: number
  readonly duration: number
  readonly user: number
}

const LANES = 4
const USERS = 5_000
const PAGES = 20
const TICK_MS = 50

const [url, rateText, secondsText] = process.argv.slice(2)
if (url === undefined || rateText === undefined || secondsText === undefined) {
  process.stderr.write('usage: producer.ts URL EVENTS_PER_SECOND SECONDS\n')
  process.exit(2)
}
const target = url
const rate = Number(rateText)
const endAt = Date.now() + Number(secondsText) * 1000
const startedAt = Date.now()

const tally: PageTally = new Map()
const ledger = {
  sent: 0,
  acknowledged: 0,
  refused: 0,
  refusedExpected: 0,
  tooLate: 0,
  resent: 0,
  retries: 0,
}
const wrongAnswers: string[] = []
const latenciesMs: number[] = []
let nextEvent = 0

function make(now: number): Made {
  const n = nextEvent++
  const user = (n * 7919) % USERS
  const page = `/page/${(n * 31) % PAGES}`
  // Far-too-late events start once every partition has surely seen recent ones.
  const warm = now - startedAt > 2_000
  const tooLate = warm && n % 997 === 0
  const invalid = n % 499 === 7
  const atMs = tooLate ? now - 300_000 : n % 50 === 3 ? now - (n % 3_000) : now
  const duration = n % 40 === 9 ? 0 : (n % 600) / 10 + 0.1
  const view = n % 5 !== 4
  const event: Record<string, unknown> = {
    event_id: `evt_${n}`,
    event_type: view ? 'page_view' : 'click',
    timestamp: new Date(atMs).toISOString(),
    user_id: `user_${user}`,
    properties: { page, duration },
  }
  if (invalid) delete event['user_id']
  const line = invalid && n % 2 === 0 ? '{"event_id":' : JSON.stringify(event)
  const counts = view && duration > 0
  const fate = invalid ? 'invalid' : !counts ? 'ignored' : tooLate ? 'too-late' : 'counted'
  return { line, fate, page, atMs, duration, user }
}

function settle(batch: readonly Made[], answer: Answer): void {
  if (answer.status !== 200) {
    wrongAnswers.push(`status ${answer.status}: ${answer.text.slice(0, 300)}`)
    return
  }
  const verdict = JSON.parse(answer.text) as {
    accepted: number
    refused: number
    verdicts: { index: number }[]
  }
  const refused = new Set(verdict.verdicts.map((v) => v.index))
  ledger.acknowledged += verdict.accepted
  ledger.refused += verdict.refused
  for (const [index, made] of batch.entries()) {
    if (made.fate === 'invalid') ledger.refusedExpected++
    if (refused.has(index) !== (made.fate === 'invalid'))
      wrongAnswers.push(`event ${index} of a batch: ${made.line.slice(0, 200)}`)
    if (made.fate === 'too-late') ledger.tooLate++
    if (made.fate === 'counted')
      countPage(tally, made.page, made.atMs, made.duration, isPro(made.user))
  }
}

async function runLane(index: number): Promise<void> {
  const lane = new Lane(target, `demo-${startedAt}-${index}`)
  const perTick = Math.round((rate * TICK_MS) / 1000 / LANES)
  let due = Date.now() + (index * TICK_MS) / LANES
  for (let turn = 0; Date.now() < endAt; turn++) {
    const now = Date.now()
    if (due > now) await new Promise((resolve) => setTimeout(resolve, due - now))
    // After an outage the lane goes on at its rate; at most a second of what it could not send is made up.
    due = Math.max(due + TICK_MS, Date.now() - 1_000)
    const batch = Array.from({ length: perTick }, () => make(Date.now()))
    const body = batch.map((made) => made.line).join('\n')
    ledger.sent += batch.length
    const sentAt = performance.now()
    const answer = await lane.send(body)
    latenciesMs.push(performance.now() - sentAt)
    settle(batch, answer)
    if (turn % 20 === 11) {
      ledger.resent++
      const second = await lane.again(body)
      if (second.text !== answer.text)
        wrongAnswers.push(`repeated request: ${second.status} ${second.text.slice(0, 300)}`)
    }
  }
  ledger.retries += lane.retries
  lane.close()
}

// Without the demo nobody wants the rest.
process.once('disconnect', () => process.exit())
const progress = setInterval(() => process.send?.({ progress: { ...ledger } }), 250)
await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(lane)))
clearInterval(progress)
latenciesMs.sort((a, b) => a - b)
const quantile = (q: number): number => latenciesMs[Math.floor(latenciesMs.length * q)] ?? 0
const report: ProducerReport = {
  ...ledger,
  latencyMs: { p50: quantile(0.5), p99: quantile(0.99) },
  wrongAnswers: wrongAnswers.slice(0, 10),
  pages: [...tally],
}
if (process.send === undefined) process.stdout.write(`${JSON.stringify(report)}\n`)
else process.send({ report }, () => process.disconnect())

/** The same work as a loop of JSON.parse over lines in memory: no log, no commit, no lateness. Usage: ysb-parse.ts seed count */
import type { RunResult } from './stored-run.ts'
import {
  adCount,
  adId,
  campaignId,
  campaignOf,
  choices,
  eventJson,
  viewsPerCampaign,
  windowMs,
} from './workload.ts'

const [seed, count] = process.argv.slice(2).map(Number) as [number, number]
const campaigns = new Map<string, string>()
for (let ad = 0; ad < adCount; ad++) campaigns.set(adId(ad), campaignId(campaignOf(ad)))
const lines: Buffer[] = []
let n = 0
for (const choice of choices(seed, count)) lines.push(Buffer.from(eventJson(choice, n++)))

const views = new Map<string, number>()
const quarter = count >> 2
for (const line of lines.slice(0, quarter)) take(line)
const cpu = process.cpuUsage()
const began = performance.now()
for (const line of lines.slice(quarter)) take(line)
const seconds = (performance.now() - began) / 1000
const { user, system } = process.cpuUsage(cpu)

for (const [key, expected] of viewsPerCampaign(seed, count))
  if (views.get(key) !== expected) throw new Error(`${key}: ${views.get(key)} and not ${expected}`)
const result: RunResult = {
  events: count - quarter,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakRssBytes: process.resourceUsage().maxRSS * 1024,
}
process.stdout.write(`${JSON.stringify(result)}\n`)

function take(line: Buffer): void {
  const event = JSON.parse(line.toString('latin1')) as {
    event_type: string
    ad_id: string
    event_time: number
  }
  if (event.event_type !== 'view') return
  const start = Math.floor(event.event_time / windowMs) * windowMs
  const key = `${start} ${campaigns.get(event.ad_id)}`
  views.set(key, (views.get(key) ?? 0) + 1)
}

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
const texts: string[] = []
let n = 0
for (const choice of choices(seed, count)) texts.push(eventJson(choice, n++))
// One after another in memory, as they would come from a socket or a file.
const lines = Buffer.from(texts.join(''), 'latin1')
const ends = new Float64Array(count)
for (let i = 0, at = 0; i < count; i++) ends[i] = at += texts[i]!.length
texts.length = 0

const views = new Map<string, number>()
const quarter = count >> 2
take(0, quarter)
const cpu = process.cpuUsage()
const began = performance.now()
take(quarter, count)
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

function take(from: number, to: number): void {
  let at = from === 0 ? 0 : ends[from - 1]!
  for (let i = from; i < to; i++) {
    const event = JSON.parse(lines.toString('latin1', at, ends[i])) as {
      event_type: string
      ad_id: string
      event_time: number
    }
    at = ends[i]!
    if (event.event_type !== 'view') continue
    const start = Math.floor(event.event_time / windowMs) * windowMs
    const key = `${start} ${campaigns.get(event.ad_id)}`
    views.set(key, (views.get(key) ?? 0) + 1)
  }
}

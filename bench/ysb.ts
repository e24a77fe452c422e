/**
 * `npm run bench -- ysb`: the Yahoo streaming benchmark from the durable log, exactly-once, beside a loop of JSON.parse over
 * the same events in memory, by turns. Prints minimum, median and maximum; a wrong count fails it.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readAll } from './stored.ts'
import type { RunResult } from './stored-run.ts'
import { viewsPerCampaign } from './workload.ts'
import { seed, storeYsb } from './ysb-store.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '4000000' },
    runs: { type: 'string', default: '5' },
    workers: { type: 'string', default: String(cpus().length) },
    json: { type: 'string' },
  },
})
const count = Number(values.events)
const runs = Number(values.runs)
const workers = Number(values.workers)
const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const expected = viewsPerCampaign(seed, count)

const directory = join(folder, 'stored')
const total = await storeYsb(directory, count)

async function engine(): Promise<RunResult> {
  const data = join(folder, 'run')
  cpSync(directory, data, { recursive: true })
  const result = child(
    'stored-run.ts',
    data,
    join(import.meta.dirname, 'pipeline-ysb.ts'),
    'ysb/events',
    total,
    workers,
  )
  const rows = (await readAll(data, 'results')) as {
    campaign_id: string
    window_start: string
    views: number
  }[]
  rmSync(data, { recursive: true })
  const found = new Map(
    rows.map((row) => [`${Date.parse(row.window_start)} ${row.campaign_id}`, row.views]),
  )
  for (const [key, views] of expected)
    if (found.get(key) !== views)
      throw new Error(`${key}: ${found.get(key)} and not ${views} views`)
  if (found.size !== expected.size)
    throw new Error(`${found.size} windows and not ${expected.size}`)
  return result
}

function child(script: string, ...args: readonly (string | number)[]): RunResult {
  const path = join(import.meta.dirname, script)
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args.map(String)], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${script} ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as RunResult
}

const contenders: readonly (readonly [string, () => Promise<RunResult>])[] = [
  [`millrace, ${workers} workers`, engine],
  ['JSON.parse, 1 core', async () => child('ysb-parse.ts', seed, Math.min(count, 2_000_000))],
]
const results = contenders.map((): RunResult[] => [])
for (let run = 0; run < runs; run++)
  for (const [i, [, once]] of contenders.entries()) results[i]!.push(await once())

process.stdout.write(
  `${cpus()[0]?.model ?? ''}, ${cpus().length} cores; Node ${process.versions.node}; ${count} events\n`,
)
process.stdout.write(
  '                       M events/s: min, median, max    per CPU second    peak MiB\n',
)
const table = contenders.map(([name], i) => {
  const rates = results[i]!.map(({ events: n, seconds }) => n / seconds / 1e6)
  const perCpu = results[i]!.map(({ events: n, cpuSeconds }) => n / cpuSeconds / 1e6)
  const peak = Math.max(...results[i]!.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20
  const row = {
    name,
    rates: spread(rates),
    perCpuSecond: spread(perCpu),
    peakMiB: Math.round(peak),
  }
  const cells = row.rates.map((rate) => rate.toFixed(2).padStart(8)).join(' ')
  process.stdout.write(
    `${name.padEnd(22)} ${cells}     ${row.perCpuSecond[1].toFixed(2).padStart(8)}     ${row.peakMiB}\n`,
  )
  return row
})
const ratio = table[0]!.perCpuSecond[1] / table[1]!.perCpuSecond[1]
process.stdout.write(`per CPU second ${ratio.toFixed(1)} times the JSON.parse loop\n`)
if (values.json !== undefined)
  writeFileSync(values.json, JSON.stringify({ count, workers, results }))

function spread(list: readonly number[]): readonly [number, number, number] {
  const sorted = list.toSorted((a, b) => a - b)
  return [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!]
}

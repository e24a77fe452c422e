/**
 * One run over a stored topic, as a process of its own: starts an engine on a copy of the directory, and prints when it has
 * worked through it. The clock runs from the first quarter of the records to the last: what comes before is warming up.
 * Usage: node bench/stored-run.ts directory pipeline.ts stage records workers
 */
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { start } from 'millrace'

export interface RunResult {
  /** Records behind the first quarter, and how long they took. */
  readonly events: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakRssBytes: number
}

interface Sample {
  readonly read: number
  readonly at: number
  readonly cpu: number
}

const [directory = '', pipeline = '', stage = '', records = '0', workers = '1'] =
  process.argv.slice(2)
const total = Number(records)
const engine = await start(pathToFileURL(pipeline), {
  dataDir: directory,
  workers: Number(workers),
  port: 0,
  scrubBytesPerSecond: 0,
})
let warm: Sample | undefined
for (;;) {
  const now = await sample()
  if (warm === undefined && now.read >= total / 4) warm = now
  if (now.read >= total && warm !== undefined) {
    // Later stages are not part of the figure, but of what is compared afterwards.
    for (let quiet = 0; quiet < 5;) {
      quiet = (await tasks()).every(({ lag }) => lag === 0) ? quiet + 1 : 0
      await pause(50)
    }
    await engine.stop()
    const result: RunResult = {
      events: now.read - warm.read,
      seconds: (now.at - warm.at) / 1000,
      cpuSeconds: now.cpu - warm.cpu,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    }
    process.stdout.write(`${JSON.stringify(result)}\n`)
    break
  }
  await pause(10)
}

interface Task {
  readonly id: string
  readonly lag: number
  readonly counters: { readonly read: number }
}

async function tasks(): Promise<readonly Task[]> {
  const answer = await fetch(`${engine.url}/admin/tasks`)
  return ((await answer.json()) as { tasks: Task[] }).tasks
}

async function sample(): Promise<Sample> {
  const { user, system } = process.cpuUsage()
  const read = (await tasks())
    .filter(({ id }) => id.startsWith(`${stage}/`))
    .reduce((sum, { counters }) => sum + counters.read, 0)
  return { read, at: performance.now(), cpu: (user + system) / 1e6 }
}

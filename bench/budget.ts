/**
 * `npm run bench -- budget [--events N]`: where the nanoseconds of an event go. One thread runs the whole of the Yahoo
 * streaming benchmark, log thread and worker, under the CPU profiler of V8; its samples are added up by stage.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import type { Profiler } from 'node:inspector'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { realEnv } from '../src/core/env/real/index.ts'
import { openEmbeddedLog } from '../src/log/embedded/index.ts'
import { planOf } from '../src/plan/of.ts'
import { ProcessRunner } from '../src/process/process-runner.ts'
import { runWorker } from '../src/process/worker.ts'
import definition from './pipeline-ysb.ts'
import { storeYsb } from './ysb-store.ts'

const { values } = parseArgs({ options: { events: { type: 'string', default: '4000000' } } })
const count = Number(values.events)
const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const total = await storeYsb(directory, count)

const env = realEnv()
const log = await openEmbeddedLog({ env, directory })
const plan = planOf(definition)
const runners = plan.stages.map((stage) => {
  const partitions = Array.from({ length: stage.partitions }, (_, p) => p)
  return new ProcessRunner({ env, log, plan, stage, definition, partitions })
})
const first = runners[0]!
const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.setSamplingInterval', { interval: 200 })
const stop = new AbortController()
let from: { read: number; at: number } | undefined
let measured: { events: number; profile: Profiler.Profile; seconds: number } | undefined

const timer = setInterval(() => void look(), 10)
await runWorker({ env, log, owner: 'bench', runners, signal: stop.signal })
await log.stop()
if (measured === undefined) throw new Error('it ended before it was measured')
report(measured)

/** From the first quarter on, when what is hot is compiled. */
async function look(): Promise<void> {
  const read = first.report().reduce((sum, { counters }) => sum + counters.read, 0)
  if (from === undefined && read >= total / 4) {
    from = { read, at: performance.now() }
    await session.post('Profiler.start')
  }
  if (read < total || from === undefined || measured !== undefined) return
  clearInterval(timer)
  const seconds = (performance.now() - from.at) / 1000
  const { profile } = await session.post('Profiler.stop')
  measured = { events: read - from.read, profile, seconds }
  stop.abort()
}

/** The stage of a function, by its name and file; undefined: that of its caller. */
function stageOf(name: string, url: string): string | undefined {
  if (name === 'read' && url === '') return 'read: from the page cache'
  if (name === 'h64Raw') return 'checksum'
  if (name === '(garbage collector)') return 'garbage collector'
  if (name === '(idle)' || name === '(program)') return 'outside of JavaScript'
  if (/\/(schema\/scan|process\/(scanned|text-cache))/.test(url)) return 'scan'
  if (/\/process\/(operators|windows|keys|rows)|\/state\//.test(url)) return 'operators and state'
  if (
    /\/process\/(worker|staging|stage-time|task|time)|\/log\/embedded\/(host|decide|disk|staging|client)/.test(
      url,
    )
  )
    return 'commit'
  if (name === 'fdatasync' || name === 'writeBuffer') return 'commit'
  if (/\/(log|process)\//.test(url)) return 'blocks, rows and time'
  return url.includes('/src/') ? 'everything else' : undefined
}

function report({ events, profile, seconds }: NonNullable<typeof measured>): void {
  const stages = new Map<string, number>()
  const stageOfNode = new Map<number, string>()
  const visit = (id: number, callers: string): void => {
    const node = profile.nodes.find((one) => one.id === id)!
    const stage = stageOf(node.callFrame.functionName, node.callFrame.url) ?? callers
    stageOfNode.set(id, stage)
    for (const child of node.children ?? []) visit(child, stage)
  }
  visit(profile.nodes[0]!.id, 'everything else')
  for (const [i, id] of (profile.samples ?? []).entries()) {
    const stage = stageOfNode.get(id)!
    stages.set(stage, (stages.get(stage) ?? 0) + (profile.timeDeltas?.[i] ?? 0))
  }
  const out = (line: string): void => void process.stdout.write(`${line}\n`)
  out(
    `${cpus()[0]?.model ?? ''}; Node ${process.versions.node}; ${events} events in ${seconds.toFixed(2)} s, profiled`,
  )
  for (const [stage, us] of [...stages].toSorted(([, a], [, b]) => b - a))
    out(`${((us * 1000) / events).toFixed(1).padStart(8)} ns an event   ${stage}`)
}

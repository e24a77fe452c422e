import type { FastifyInstance } from 'fastify'
import { httpMeter } from '../observe/http-meter.ts'
import type { HttpMeter } from '../observe/http-meter.ts'
import type { Facts } from '../observe/metrics.ts'
import { observeRoutes } from '../observe/routes.ts'
import type { Engine } from './engine.ts'
import { degradedBy } from './status-of.ts'

/** Registers metrics, health and readiness of an engine. */
export function observeEngine(app: FastifyInstance, engine: Engine): void {
  const meter = httpMeter(app)
  observeRoutes(app, {
    gather: () => gather(engine, meter),
    notReady: async () => engine.notReady(await engine.reports.tasks()),
    degraded: () => degradedBy(engine.snapshots.scrub),
    paused: () => engine.steering.paused,
  })
}

async function gather(engine: Engine, meter: HttpMeter): Promise<Facts> {
  const { env, config } = engine.inputs
  const workers = await engine.reports.workers()
  const status = engine.status()
  const space = env.disk.space(config.dataDir)
  const { user, system } = process.cpuUsage()
  const tasks = workers.flatMap(({ report }) => report.tasks)
  return {
    ready: engine.notReady(tasks).length === 0,
    tasks,
    topics: await topicFacts(engine),
    workers: workers.map(({ slot, report }) => ({
      slot,
      restarts: status.workers[slot]?.restarts ?? 0,
      commits: report.commits,
      commitSeconds: report.commitSeconds,
    })),
    http: meter.facts(),
    pipelines: status.pipelines.map(({ name, state }) => ({ name, running: state === 'running' })),
    process: {
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
      startedSeconds: env.clock.now() / 1_000 - process.uptime(),
    },
    scrub: engine.snapshots.scrub,
    disk: { freeBytes: space.free, totalBytes: space.total },
  }
}

async function topicFacts({ log }: Engine): Promise<Facts['topics']> {
  const facts = []
  for (const { name, kind } of await log.topics.list()) {
    let appended = 0
    let kept = 0
    for (const { earliest, next } of await log.topics.offsets(name)) {
      appended += next
      kept += next - earliest
    }
    facts.push({ name, kind, appended, kept })
  }
  return facts
}

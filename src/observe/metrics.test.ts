import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { deliveryQuantiles, histograms, ingestBounds, metrics, taskLabels } from './metrics.ts'
import type { Facts } from './metrics.ts'
import { metricsText } from './prometheus.ts'

const counters = {
  read: 7,
  processed: 4,
  deadLettered: 1,
  late: 2,
  skipped: 0,
  shed: 0,
  expired: 0,
  emitted: 3,
}

function factsWith(tasks: Facts['tasks']): Facts {
  return {
    ready: true,
    tasks,
    topics: [{ name: 'or"ders\n', kind: 'user', appended: 9, kept: 8 }],
    workers: [
      { slot: 0, restarts: 1, commits: 5, commitSeconds: { p50: 0.001, p99: 0.002, max: 0.003 } },
    ],
    http: {
      answers: { 200: 3, 429: 1 },
      seconds: { p50: 0.001, p99: 0.002, max: 0.003 },
      ingest: { 200: { counts: [2, 1, ...ingestBounds.slice(1).map(() => 0)], sum: 0.003 } },
    },
    pipelines: [{ name: 'shop', running: true }],
    process: { residentBytes: 1, cpuSeconds: 2, startedSeconds: 3 },
    scrub: { doneBytes: 1, totalBytes: 2, lastPassAt: 3_000, damaged: [] },
    disk: { freeBytes: 1, totalBytes: 2 },
  }
}

const task = (partition: number, status: 'running' | 'paused' = 'running') => ({
  id: `shop/main/${partition}`,
  status,
  counters,
  lag: 12,
  watermark: 1_500,
  stateKeys: 2,
  stateBytes: 64,
  delivery: { boundsMs: [1, 10], counts: [1, 98, 1], sumMs: 5, failures: 2 },
})

describe('metrics', () => {
  it('expose every entry of the table, with its help and type, and each value', async () => {
    const facts = factsWith([task(0)])
    const page = await metricsText(facts)
    for (const { name, type, help } of [...metrics, ...histograms]) {
      const shown = type === 'counter' ? `${name}_total` : name
      expect(page).toContain(`# HELP ${shown} ${help}\n# TYPE ${shown} ${type}\n${shown}`)
    }
    expect(page).toContain('millrace_records_read_total{stage="shop/main",partition="0"} 7\n')
    expect(page).toContain(
      'millrace_records_done_total{stage="shop/main",partition="0",outcome="late"} 2\n',
    )
    expect(page).toContain('millrace_watermark_seconds{stage="shop/main",partition="0"} 1.5\n')
    expect(page).toContain(
      'millrace_topic_appended_records_total{topic="or\\"ders\\n",kind="user"} 9\n',
    )
  })

  it('count requests in buckets that hold all of those before them', async () => {
    const page = await metricsText(factsWith([]))
    const shown = page.split('\n').filter((line) => line.startsWith('millrace_ingest_request'))
    expect(shown).toContain('millrace_ingest_request_seconds_bucket{status="200",le="0.001"} 2')
    expect(shown).toContain('millrace_ingest_request_seconds_bucket{status="200",le="0.0015"} 3')
    expect(shown.slice(-3)).toEqual([
      'millrace_ingest_request_seconds_bucket{status="200",le="+Inf"} 3',
      'millrace_ingest_request_seconds_sum{status="200"} 0.003',
      'millrace_ingest_request_seconds_count{status="200"} 3',
    ])
  })

  it('are what Prometheus takes, where promtool is installed', async () => {
    const facts = factsWith([task(0)])
    const checked = spawnSync('promtool', ['check', 'metrics'], {
      input: await metricsText(facts),
      encoding: 'utf8',
    })
    if (checked.error !== undefined) return
    expect(`${checked.stdout}${checked.stderr}`).toBe('')
    expect(checked.status).toBe(0)
  })

  it('keep apart more series than the default limit of their library', async () => {
    const tasks = Array.from({ length: 2_500 }, (_, partition) => task(partition))
    const facts = factsWith(tasks)
    const page = await metricsText(facts)
    expect(page.match(/^millrace_lag_records\{/gm)).toHaveLength(2_500)
    expect(page).not.toContain('overflow')
  })

  it('forget what is no longer so', async () => {
    let facts = factsWith([task(0)])
    await metricsText(facts)
    facts = factsWith([task(0, 'paused')])
    const page = await metricsText(facts)
    expect(page).toContain('status="paused"} 0')
    expect(page).not.toContain('status="running"')
  })

  it('name a task by its stage and partition', () => {
    expect(taskLabels('ingest/orders/3')).toEqual({ stage: 'ingest/orders', partition: '3' })
  })

  it('take quantiles from the bounds of buckets', () => {
    const delivery = { boundsMs: [1, 10, 100], counts: [50, 48, 1, 1], sumMs: 0, failures: 0 }
    expect(deliveryQuantiles(delivery)).toEqual({ p50: 0.001, p99: 0.1, max: 0.1 })
  })
})

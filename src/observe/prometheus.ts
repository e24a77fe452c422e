import type { Observable } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { histograms, metrics } from './metrics.ts'
import type { Facts, HistogramMetric } from './metrics.ts'

/** Series per metric past which OpenTelemetry would fold the rest into one; its default of 2,000 is too few for tasks. */
const seriesPerMetric = 50_000

/**
 * The metrics in Prometheus text format. Each scrape has instruments of its own: kept ones would go on showing series whose
 * task or status is gone, and there is nothing to keep, since the counters live where they count.
 */
export async function metricsText(facts: Facts): Promise<string> {
  const reader = new PrometheusExporter({ preventServerStart: true })
  const views = [{ instrumentName: '*', aggregationCardinalityLimit: seriesPerMetric }]
  const provider = new MeterProvider({ readers: [reader], views })
  const meter = provider.getMeter('millrace')
  for (const metric of metrics) {
    const options = { description: metric.help }
    const instrument: Observable =
      metric.type === 'counter'
        ? meter.createObservableCounter(metric.name, options)
        : meter.createObservableGauge(metric.name, options)
    instrument.addCallback((result) => {
      for (const [value, labels] of metric.samples(facts))
        if (value !== undefined && Number.isFinite(value)) result.observe(value, labels)
    })
  }
  try {
    const { resourceMetrics, errors } = await reader.collect()
    if (errors.length > 0) throw errors[0] as Error
    const page = new PrometheusSerializer(undefined, false, undefined, true, true).serialize(
      resourceMetrics,
    )
    return page + histograms.map((metric) => histogramText(metric, facts)).join('')
  } finally {
    await provider.shutdown()
  }
}

/** OpenTelemetry has no histogram that is read when it is asked. Labels are names and statuses: nothing to escape. */
function histogramText({ name, help, bounds, samples }: HistogramMetric, facts: Facts): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const [{ counts, sum }, labels] of samples(facts)) {
    const own = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    let below = 0
    for (const [i, count] of counts.entries()) {
      below += count
      lines.push(`${name}_bucket{${[...own, `le="${bounds[i] ?? '+Inf'}"`].join(',')}} ${below}`)
    }
    lines.push(`${name}_sum{${own.join(',')}} ${sum}`, `${name}_count{${own.join(',')}} ${below}`)
  }
  return `${lines.join('\n')}\n`
}

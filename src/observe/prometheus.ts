import type { Observable } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { metrics } from './metrics.ts'
import type { Facts } from './metrics.ts'

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
    return new PrometheusSerializer(undefined, false, undefined, true, true).serialize(
      resourceMetrics,
    )
  } finally {
    await provider.shutdown()
  }
}

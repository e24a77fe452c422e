import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import type { Observable } from '@opentelemetry/api'
import { metrics } from './metrics.ts'
import type { Facts } from './metrics.ts'

/** Series per metric past which OpenTelemetry would fold the rest into one; its default of 2,000 is too few for tasks. */
const seriesPerMetric = 50_000

export interface Exposition {
  /** The metrics now, in Prometheus text format. */
  text(): Promise<string>
  close(): Promise<void>
}

/** Exposes the table of metrics; `gather` is called once per scrape. */
export function exposition(gather: () => Promise<Facts>): Exposition {
  const reader = new PrometheusExporter({ preventServerStart: true })
  const views = [{ instrumentName: '*', aggregationCardinalityLimit: seriesPerMetric }]
  const provider = new MeterProvider({ readers: [reader], views })
  const meter = provider.getMeter('millrace')
  const instruments = metrics.map((metric): { metric: (typeof metrics)[number]; instrument: Observable } => {
    const options = { description: metric.help }
    const instrument =
      metric.type === 'counter'
        ? meter.createObservableCounter(metric.name, options)
        : meter.createObservableGauge(metric.name, options)
    return { metric, instrument }
  })
  meter.addBatchObservableCallback(
    async (result) => {
      const facts = await gather()
      for (const { metric, instrument } of instruments) {
        metric.observe(facts, (value, labels) => result.observe(instrument, value, labels))
      }
    },
    instruments.map(({ instrument }) => instrument),
  )
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true)
  return {
    text: async () => {
      const { resourceMetrics, errors } = await reader.collect()
      if (errors.length > 0) throw errors[0]
      return serializer.serialize(resourceMetrics)
    },
    close: () => provider.shutdown(),
  }
}

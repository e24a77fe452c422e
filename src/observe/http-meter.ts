import { createHistogram } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import { ingestBounds } from './metrics.ts'
import type { Buckets, HttpFacts, Quantiles } from './metrics.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requests to this route bring events, and are timed by themselves. */
    bringsEvents?: boolean
  }
}

/** Counts answers and their times. */
export interface HttpMeter {
  facts(): HttpFacts
}

export function httpMeter(app: FastifyInstance): HttpMeter {
  const answers: Record<string, number> = {}
  const ingest: Record<string, BucketMeter> = {}
  const latency = new LatencyMeter()
  app.addHook('onResponse', ({ query, routeOptions }, reply, done) => {
    const status = String(reply.statusCode)
    answers[status] = (answers[status] ?? 0) + 1
    // Who follows a topic stays as long as it likes, which says nothing of how fast answers are.
    const follows =
      typeof query === 'object' && query !== null && 'follow' in query && query.follow === 'true'
    if (!follows) latency.record(reply.elapsedTime)
    if (routeOptions.config.bringsEvents === true)
      (ingest[status] ??= new BucketMeter(ingestBounds)).record(reply.elapsedTime / 1_000)
    done()
  })
  return { facts: () => ({ answers, seconds: latency.seconds(), ingest }) }
}

/** More than an hour, in microseconds. */
const longestUs = 2 ** 32

/** Times up to an hour, to one percent, in 30 KB of memory, at a cost of about 50 ns each. */
export class LatencyMeter {
  readonly #histogram = createHistogram({ lowest: 1, highest: longestUs, figures: 2 })
  #count = 0

  get count(): number {
    return this.#count
  }

  record(ms: number): void {
    this.#count++
    this.#histogram.record(Math.min(longestUs, Math.max(1, Math.round(ms * 1_000))))
  }

  seconds(): Quantiles {
    if (this.#count === 0) return { p50: 0, p99: 0, max: 0 }
    const at = (percentile: number): number => this.#histogram.percentile(percentile) / 1e6
    return { p50: at(50), p99: at(99), max: this.#histogram.max / 1e6 }
  }
}

/** Counts per bucket, as Prometheus reads them. */
class BucketMeter implements Buckets {
  readonly counts: number[]
  sum = 0
  readonly #bounds: readonly number[]

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  record(value: number): void {
    const above = this.#bounds.findIndex((bound) => value <= bound)
    this.counts[above === -1 ? this.#bounds.length : above]!++
    this.sum += value
  }
}

import type { FastifyInstance } from 'fastify'
import type { Facts } from './metrics.ts'

export interface ObserveContext {
  readonly gather: () => Promise<Facts>
  /** What is not ready, one sentence each; empty when everything is. */
  readonly notReady: () => Promise<readonly string[]>
  /** Damage that costs nothing yet, one sentence each: no reason to be unready, and to be looked at. */
  readonly degraded: () => readonly string[]
  /** Tasks that an operator paused: no reason to be unready, and good to know. */
  readonly paused: () => readonly string[]
}

/** `/metrics` for Prometheus, `/healthz` (the process answers) and `/readyz` (everything runs, or what does not and why). */
export function observeRoutes(app: FastifyInstance, context: ObserveContext): void {
  app.get('/metrics', async (_request, reply) => {
    // Loaded at the first scrape: it costs a start more than everything else that main needs.
    const { metricsText } = await import('./prometheus.ts')
    return reply
      .type('text/plain; version=0.0.4; charset=utf-8')
      .send(await metricsText(await context.gather()))
  })
  app.get('/healthz', () => ({ healthy: true }))
  app.get('/readyz', async (_request, reply) => {
    const reasons = await context.notReady()
    return reply.code(reasons.length === 0 ? 200 : 503).send({
      ready: reasons.length === 0,
      reasons,
      degraded: context.degraded(),
      paused: context.paused(),
    })
  })
}

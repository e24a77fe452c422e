import { fastify } from 'fastify'
import type { HTTPMethods } from 'fastify'
import { describe, expect, test } from 'vitest'
import { MillraceError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import { adminRoutes } from './routes.ts'
import type { AdminContext } from './routes.ts'

const plan = {
  pipeline: 'p',
  stages: [{ id: 'p/events', inputs: [{ topic: 'events' }] }],
  delivers: [{ id: 'p/out', topic: 'rows' }],
} as unknown as Plan

/** One partition per topic with the offsets 2 to 7; `p/events` stands at 5 of it. */
const log = {
  topics: { offsets: () => Promise.resolve([{ earliest: 2, next: 7 }]) },
  positions: (group: string) =>
    Promise.resolve(group === 'p/events' ? [{ topic: 'events', partition: 0, offset: 5 }] : []),
} as unknown as Log

/** The routes, and what can be asked to change something: method and path. */
function served(context: Partial<AdminContext>) {
  const app = fastify()
  const changing: { method: HTTPMethods; url: string }[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) {
      if (one !== 'GET' && one !== 'HEAD')
        changing.push({ method: one as HTTPMethods, url: url.replace(/:\w+/g, 'p') })
    }
  })
  app.setErrorHandler((error, _request, reply) =>
    reply.code(500).send(error instanceof MillraceError ? error.code : String(error)),
  )
  adminRoutes(app, { overSocket: () => false, plans: () => [plan], ...context } as AdminContext)
  return { app, changing }
}

describe('admin routes', () => {
  test('that change something are for programs on this machine alone, every one of them', async () => {
    const { app, changing } = served({ log })
    expect(changing.map(({ method, url }) => `${String(method)} ${url}`)).toEqual([
      'POST /admin/pause',
      'POST /admin/resume',
      'POST /admin/snapshot',
      'POST /admin/topics',
      'DELETE /admin/topics/p',
      'POST /admin/dlq/p/replay',
      'POST /admin/dlq/p/drop',
    ])
    const host = 'localhost:7171'
    for (const { method, url } of changing) {
      const ask = async (headers: Record<string, string>, remoteAddress?: string) => {
        const from = remoteAddress === undefined ? {} : { remoteAddress }
        const payload = method === 'POST' ? { payload: {} } : {}
        const answer = await app.inject({
          method: method as 'POST',
          url,
          headers,
          ...payload,
          ...from,
        })
        return `${url} ${answer.body}`
      }
      const refused = `${url} MR6009`
      expect(await ask({ host, origin: 'http://evil.example' })).toBe(refused)
      expect(await ask({ host: 'evil.example' })).toBe(refused)
      expect(await ask({ host }, '10.0.0.7')).toBe(refused)
      expect(await ask({ host })).not.toBe(refused)
    }
  })

  test('say how far each task is behind', async () => {
    const { app } = served({ log })
    const answer = await app.inject({ url: '/admin/lag' })
    const partition = 0
    const next = 7
    expect(answer.json()).toEqual([
      { group: 'p/events', topic: 'events', partition, position: 5, next, lag: 2 },
      { group: 'p/out', topic: 'rows', partition, next, lag: 5 },
    ])
  })
})

import { fastify } from 'fastify'
import { expect, test } from 'vitest'
import { httpMeter } from './http-meter.ts'

test('answers are counted and timed, but for the time that somebody follows a topic', async () => {
  const app = fastify()
  const meter = httpMeter(app)
  app.get('/', () => 'here')
  await app.inject('/?follow=true')
  expect(meter.facts()).toEqual({
    answers: { 200: 1 },
    seconds: { p50: 0, p99: 0, max: 0 },
    ingest: {},
  })
  await app.inject('/')
  await app.inject('/nowhere')
  const { answers, seconds } = meter.facts()
  expect(answers).toEqual({ 200: 2, 404: 1 })
  expect(seconds.max).toBeGreaterThan(0)
})

test('requests that bring events are timed apart, by status', async () => {
  const app = fastify()
  const meter = httpMeter(app)
  app.post('/events', { config: { bringsEvents: true } }, (request, reply) =>
    reply.code((request.body as { status: number }).status).send(''),
  )
  app.post('/other', () => '')
  for (const status of [200, 429, 200])
    await app.inject({ method: 'POST', url: '/events', payload: { status } })
  await app.inject({ method: 'POST', url: '/other' })
  const { ingest } = meter.facts()
  const counted = Object.entries(ingest).map(([status, { counts, sum }]) => [
    status,
    counts.reduce((all, count) => all + count),
    sum > 0,
  ])
  expect(counted).toEqual([
    ['200', 2, true],
    ['429', 1, true],
  ])
})

import { fastify } from 'fastify'
import { expect, test } from 'vitest'
import { httpMeter } from './http-meter.ts'

test('answers are counted and timed, but for the time that somebody follows a topic', async () => {
  const app = fastify()
  const meter = httpMeter(app)
  app.get('/', () => 'here')
  await app.inject('/?follow=true')
  expect(meter.facts()).toEqual({ answers: { 200: 1 }, seconds: { p50: 0, p99: 0, max: 0 } })
  await app.inject('/')
  await app.inject('/nowhere')
  const { answers, seconds } = meter.facts()
  expect(answers).toEqual({ 200: 2, 404: 1 })
  expect(seconds.max).toBeGreaterThan(0)
})

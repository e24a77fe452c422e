import { count, pipeline, tumbling } from 'millrace'
import { memory } from 'millrace/sinks'
import { SimulatedEngine, Simulation } from 'millrace/testing'
import { Type } from 'typebox'
import { expect, test } from 'vitest'

const View = Type.Object({ user_id: Type.String(), page: Type.String(), at: Type.String() })
const results = memory()

const pages = pipeline('pages', (p) => {
  p.stream('views', { schema: View, key: 'user_id', time: 'at' })
    .keyBy('page')
    .window(tumbling('1m'), { emit: 'update' })
    .aggregate('per_minute', { views: count() })
    .to(results)
})

test('views are counted once per page, though the process dies in between', async () => {
  const simulation = new Simulation({ seed: 1 })
  const engine = new SimulatedEngine({ simulation, pipelines: [pages] })
  const start = async (): Promise<void> => {
    engine.start()
    await simulation.runUntil(() => engine.state === 'running')
  }
  const send = async (event: object): Promise<void> => {
    const body = new TextEncoder().encode(JSON.stringify(event))
    let status: number | undefined
    engine.submit('views', { body, format: 'json' }, (answer) => (status = answer.status))
    await simulation.runUntil(() => status !== undefined)
    expect(status).toBe(200)
  }

  await start()
  await send({ user_id: 'u1', page: '/home', at: '2024-01-01T00:00:00Z' })
  engine.kill()
  await start()
  await send({ user_id: 'u2', page: '/home', at: '2024-01-01T00:00:30Z' })
  await simulation.runUntil(() => results.rows.some((row) => row['views'] === 2))

  expect(results.rows.at(-1)).toMatchObject({ page: '/home', views: 2 })
})

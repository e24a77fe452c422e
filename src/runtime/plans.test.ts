import { describe, expect, it } from 'vitest'
import { pipeline } from '../pipeline/pipeline.ts'
import { planOf } from '../plan/index.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { Simulation } from '../testing/index.ts'
import { http } from '../sources/index.ts'
import { saveJson } from './data-files.ts'
import { admitPlans, createTopics, readPlans, savePlans } from './plans.ts'

const planned = (name: string, topic: string, key: 'a' | 'b') => ({
  url: `file:///${name}.ts`,
  plan: planOf(
    pipeline(name, (p) => {
      const properties = { a: { type: 'string' }, b: { type: 'string' } } as const
      p.stream(topic, {
        schema: { type: 'object', properties, required: ['a', 'b'] } as const,
        key,
      })
    }),
  ),
})

describe('admitting plans', () => {
  it('refuses a second pipeline of one name and one that contradicts another, each alone', () => {
    const clash = planned('three', 'orders', 'b')
    const { plans, pipelines } = admitPlans([
      planned('one', 'orders', 'a'),
      planned('one', 'other', 'a'),
      planned('two', 'orders', 'a'),
      clash,
    ])
    expect(plans.map((plan) => plan.pipeline)).toEqual(['one', 'two'])
    expect(pipelines.map(({ state, error }) => error?.code ?? state)).toEqual([
      'running',
      'MR3021',
      'running',
      'MR3020',
    ])
  })

  it('lets a pipeline change schema and retention of its topics, and not their key', async () => {
    const define = (key: 'a' | 'b', field: string, time: '1d' | '2d') => {
      const properties = { a: { type: 'string' }, b: { type: 'string' }, [field]: {} }
      const schema = { type: 'object', properties, required: ['a', 'b'] }
      const plan = planOf(
        pipeline('one', (p) => {
          p.stream('orders', { schema, key, retention: { time } })
        }),
      )
      return admitPlans([{ url: 'file:///one.ts', plan }])
    }
    const simulation = new Simulation({ seed: 'changes' })
    const env = simulation.env('engine')
    let done = false
    const work = async (): Promise<void> => {
      const log = await openEmbeddedLog({ env, directory: '/data' })
      const states = []
      for (const admitted of [
        define('a', 'c', '1d'),
        define('a', 'd', '2d'),
        define('b', 'd', '2d'),
      ]) {
        const { pipelines } = await createTopics(log, admitted)
        states.push(pipelines[0]?.error?.message ?? pipelines[0]?.state)
      }
      expect(states).toEqual([
        'running',
        'running',
        expect.stringContaining('made with the key a and would have the key b'),
      ])
      const orders = (await log.topics.list()).find(({ name }) => name === 'orders')
      expect(orders).toMatchObject({ retentionMs: 2 * 86_400_000 })
      expect(JSON.stringify(orders?.labels)).toContain('"d"')
      await log.stop()
    }
    const ended = work().finally(() => (done = true))
    await simulation.runUntil(() => done)
    await ended
  })

  it('refuses a pipeline that takes events at the path of another, alone', () => {
    const at = (name: string) => ({
      url: `file:///${name}.ts`,
      plan: planOf(
        pipeline(
          name,
          (p) => void p.stream(name, { schema: { type: 'object' }, from: http({ path: '/in' }) }),
        ),
      ),
    })
    const { pipelines } = admitPlans([at('one'), at('two')])
    expect(pipelines.map(({ state, error }) => error?.code ?? state)).toEqual(['running', 'MR3097'])
  })

  it('leaves out the pipelines whose topic exists with another shape, and creates the rest', async () => {
    const simulation = new Simulation({ seed: 'plans' })
    const env = simulation.env('engine')
    let done = false
    const work = async (): Promise<void> => {
      const log = await openEmbeddedLog({ env, directory: '/data' })
      await log.topics.create({ name: 'orders', kind: 'user', partitions: 16 })
      const admitted = await createTopics(
        log,
        admitPlans([planned('one', 'orders', 'a'), planned('two', 'other', 'a')]),
      )
      expect(admitted.pipelines).toMatchObject([
        { name: 'one', state: 'failed', error: { kind: 'conflict' } },
        { name: 'two', state: 'running' },
      ])
      expect(admitted.modules.map((module) => module.pipeline)).toEqual(['two'])
      expect((await log.topics.list()).map(({ name }) => name)).toContain('other')
      expect(readPlans(env, '/data')).toEqual([])
      savePlans(env, '/data', admitted.plans)
      savePlans(env, '/data', admitted.plans)
      expect(readPlans(env, '/data')).toEqual(JSON.parse(JSON.stringify(admitted.plans)))
      const file = env.disk.open('/data/plans.json', 'write')
      file.write(new TextEncoder().encode('x'), 20)
      expect(() => readPlans(env, '/data')).toThrow(/MR6016.*plans\.json/)
      saveJson(env, '/data', 'plans.json', { pipeline: 'one' })
      expect(() => readPlans(env, '/data')).toThrow(/MR6016.*no list of plans/)
      savePlans(env, '/data', admitted.plans)
      expect(readPlans(env, '/data')).toEqual(JSON.parse(JSON.stringify(admitted.plans)))
      await log.stop()
    }
    const ended = work().finally(() => (done = true))
    await simulation.runUntil(() => done)
    await ended
  })
})

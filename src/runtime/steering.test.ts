import { describe, expect, it } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import type { MergedPlan } from '../plan/merge.ts'
import type { ToWorker } from './messages.ts'
import { Paused } from './paused.ts'
import { Steering } from './steering.ts'

const error = { code: 'MR6000', kind: 'internal', message: 'because', details: {} } as const
const running = { url: '', state: 'running', planHash: '1', error: undefined } as const
const admitted = ['shop', 'other'].map((name) => ({ ...running, name }))

/** Two workers: a stage on both, a sink with its replays and an ingest of the pipeline `shop` on the second. */
function world(alive = true) {
  const env = new Simulation({ seed: 'steering' }).env('engine')
  env.disk.mkdir('/data')
  const told: [slot: number, message: ToWorker][] = []
  const renewed: number[] = []
  const share = (kind: 'stage' | 'deliver' | 'ingest', id: string, ...partitions: number[]) => ({
    kind,
    id,
    pipeline: 'shop',
    partitions,
  })
  const make = (): Steering =>
    new Steering({
      assignment: [
        [share('stage', 'shop/main', 0)],
        [
          share('stage', 'shop/main', 1),
          share('deliver', 'shop/sink', 0),
          share('ingest', 'ingest/in', 0),
        ],
      ],
      merged: {
        plans: [{ delivers: [{ id: 'shop/sink', replay: 'shop.sink.replay' }] }],
      } as unknown as MergedPlan,
      paused: new Paused(env, '/data'),
      tell: (slot, message) => told.push([slot, message]) > 0 && alive,
      renew: (slot) => renewed.push(slot),
    })
  return { told, renewed, make, steering: make() }
}

const failed = (runner: string) =>
  ({ type: 'runner-failed', runner, pipeline: 'shop', error }) as const

describe('steering', () => {
  it('means by a name the task, or all tasks of the stage, sink or pipeline, and no namesake', () => {
    const all = (target: string): readonly string[] => world().make().pause(target).tasks
    expect(all('shop/main/1')).toEqual(['shop/main/1'])
    expect(all('shop/main')).toEqual(['shop/main/0', 'shop/main/1'])
    expect(all('shop/sink')).toEqual(['shop/sink/0', 'shop/sink.replay/0'])
    expect(all('shop')).toEqual(['shop/main/0', 'shop/main/1', 'shop/sink/0', 'shop/sink.replay/0'])
    expect(all('ingest/in')).toEqual(['ingest/in/0'])
    expect(() => all('sho')).toThrow(/MR6010.*"sho"/)
  })

  it('keeps what is paused for the next start', async () => {
    const { make, steering, told } = world()
    steering.pause('shop/main')
    expect(told).toEqual([
      [0, { type: 'pause', tasks: ['shop/main/0'] }],
      [1, { type: 'pause', tasks: ['shop/main/1'] }],
    ])
    expect(make().paused).toEqual(['shop/main/0', 'shop/main/1'])
    const resuming = steering.resume('shop/main/0')
    steering.resumed(0, ['shop/main/0'])
    expect(await resuming).toEqual({ tasks: ['shop/main/0'], unchanged: [] })
    expect(make().paused).toEqual(['shop/main/1'])
  })

  it('says which tasks went on and which ran already', async () => {
    const { steering } = world()
    const resuming = steering.resume('shop/main')
    steering.resumed(0, [])
    steering.resumed(1, ['shop/main/1'])
    expect(await resuming).toEqual({ tasks: ['shop/main/1'], unchanged: ['shop/main/0'] })
  })

  it('counts on nothing from a worker that is replaced: there everything begins again', async () => {
    const { steering } = world()
    const resuming = steering.resume('shop/main')
    steering.resumed(0, [])
    steering.gone(1)
    expect((await resuming).tasks).toEqual(['shop/main/1'])
    expect((await world(false).steering.resume('shop/main')).tasks).toHaveLength(2)
  })

  it('shows a pipeline as failed until what failed of it is resumed, or its worker replaced', async () => {
    const { steering } = world()
    const states = (): string[] => steering.pipelines(admitted).map(({ state }) => state)
    steering.failed(1, failed('shop/main'))
    steering.failed(1, failed('shop/sink'))
    steering.failed(1, failed('ingest/in'))
    expect(states()).toEqual(['failed', 'running'])
    const one = steering.resume('shop/main/1')
    steering.resumed(0, ['shop/main/1'])
    await one
    expect(states()).toEqual(['failed', 'running'])
    // By the name of the pipeline, what of its ingest failed is meant too.
    const two = steering.resume('shop')
    for (let id = 1; id < 5; id++) steering.resumed(id, id === 4 ? ['ingest/in/0'] : [])
    expect((await two).tasks).toEqual(['ingest/in/0'])
    expect(states()).toEqual(['running', 'running'])
    steering.failed(0, failed('shop/main'))
    steering.gone(0)
    expect(states()).toEqual(['running', 'running'])
  })

  it('has a worker replaced in which the module of the pipeline did not load', async () => {
    const { steering, renewed } = world()
    steering.failed(0, failed('shop'))
    const resuming = steering.resume('shop/main')
    steering.resumed(0, [])
    expect((await resuming).tasks).toEqual(['shop/main/0'])
    expect(renewed).toEqual([0])
  })
})

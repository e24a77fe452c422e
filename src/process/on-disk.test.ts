/** Stages over the embedded log: the process dies at any time, snapshots are made meanwhile, and the windows are right. */
import { describe, expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../core/env/simulated/index.ts'
import { count, pipeline, sum, tumbling } from '../index.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { SnapshotMaker } from '../state/snapshot.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import type { ModelEvent } from '../../tests/support/window-model.ts'
import { windowsOf } from '../../tests/support/window-model.ts'

const base = Date.UTC(2024, 0, 1)
const directory = 'data'
const snapshotDir = 'data/state'
const shape = { size: 100, lateness: 50, bound: 20 }
const Event = {
  type: 'object',
  properties: { user: { type: 'string' }, page: { type: 'string' }, value: { type: 'number' } },
  required: ['user', 'page', 'value'],
} as const

const definition = pipeline('p', { partitions: 2 }, (p) => {
  const out = p
    .stream('events', { schema: Event, key: 'user', bound: '20ms', future: '9000d', idle: '100d' })
    .keyBy('page')
    .window(tumbling('100ms'), { lateness: '50ms' })
    .aggregate('out', { count: count(), sum: sum('value') })
  out.to(p.topic('results'))
  out.late().to(p.topic('late'))
})

/** Lets virtual time pass until the work is done. */
async function until<T>(simulation: Simulation, work: Promise<T>): Promise<T> {
  let settled = false
  const done = (): void => void (settled = true)
  work.then(done, done)
  await simulation.runUntil(() => settled)
  return work
}

/** One life of the process: recovery, some work, and an end without warning. */
async function live(
  simulation: Simulation,
  random: SeededRandom,
  work: (world: StageWorld) => Promise<void>,
): Promise<void> {
  const env = simulation.env('engine')
  const log = await openEmbeddedLog({ env, directory, segmentBytes: 128 * 1024 })
  const world = new StageWorld(definition, { env, log, snapshotDir, workers: 1 + random.int(2) })
  for (const topic of world.plan.topics) await log.topics.create(topic)
  const changelogs = world.plan.topics
    .filter(({ role }) => role === 'changelog')
    .map(({ name, partitions }) => ({ topic: name, partitions }))
  const maker = await SnapshotMaker.open(env, log, snapshotDir, changelogs, 2_000)
  await work(world)
  await maker.round()
  await work(world)
  maker.close()
  env.crash(random.int(2) === 0 ? 'kill' : 'power')
}

describe('stages on the embedded log', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'windows survive kill and power cut, with snapshots, exactly once (seed %i)',
    async (seed) => {
      const simulation = new Simulation({ seed })
      const random = simulation.random('test')
      const events: ModelEvent[] = []
      let time = base
      for (let life = 0; life < 8; life++) {
        await until(
          simulation,
          live(simulation, random, async (world) => {
            const fresh: ModelEvent[] = []
            for (let i = random.int(40); i > 0; i--) {
              time += random.int(60) - 20
              fresh.push({
                partition: random.int(2),
                time,
                key: `/${random.int(5)}`,
                value: random.int(100),
              })
            }
            await world.produce('events', fresh.map(recordOf))
            events.push(...fresh)
            const rows = [1, 7, 1_000][random.int(3)] ?? 1
            for (let turns = random.int(6); turns > 0; turns--) {
              for (const worker of world.workers) await world.turn(worker, { rows, bytes: 1e6 }, 2)
            }
          }),
        )
      }
      const end = [0, 1].map((partition) => ({ partition, time: base + 1e9, key: 'end', value: 0 }))
      await until(
        simulation,
        live(simulation, random, async (world) => {
          await world.produce('events', end.splice(0).map(recordOf))
          await world.drain()
          const got = new Map<string, unknown>()
          for (const { value, timestamp } of await world.read('results')) {
            const { page, count: rows, sum: total } = value as Record<string, unknown>
            if (page !== 'end') got.set(`${String(page)}@${timestamp}`, { rows, total })
          }
          const model = windowsOf(events, shape)
          const expected = new Map(
            [...model.windows].map(([id, each]) => [id, { rows: each.count, total: each.sum }]),
          )
          expect(got).toEqual(expected)
          // Otherwise this would be a test of changelogs alone.
          expect(world.env.disk.list(snapshotDir).length).toBeGreaterThan(0)
          expect((await world.read('late')).length).toBe(model.late.length)
          expect(
            world
              .reports()
              .reduce(
                (all, { id, counters }) => all + (id.startsWith('p/events/') ? counters.read : 0),
                0,
              ),
          ).toBe(events.length + 2)
        }),
      )
    },
  )
})

function recordOf({ partition, time, key, value }: ModelEvent) {
  return {
    partition,
    timestamp: time,
    key: `u${partition}`,
    value: { user: `u${partition}`, page: key, value },
  }
}

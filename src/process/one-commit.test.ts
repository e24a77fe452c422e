/** What a stage does to a record is in one commit, beside the position and not behind it (I5). */
import { expect, test } from 'vitest'
import { count, pipeline, tumbling } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import type { Row } from '../../tests/support/stage-fixture.ts'
import { Event, row, withMap } from '../../tests/support/stage-fixture.ts'

test('a dead letter is in the commit that moves the position behind its record', async () => {
  const throws = (e: Row): object => {
    if (e.n === 13) throw new Error('unlucky')
    return { n: e.n }
  }
  const world = new StageWorld(withMap(throws))
  await world.produce('events', [row('k0', 1), row('k0', 13), row('k0', 2)])
  const [worker] = world.workers
  await world.turn(worker!, { rows: 1_000, bytes: 1e6 })
  const read = (await world.log.positions('p/events')).map(({ offset }) => offset)
  expect(Math.max(...read)).toBe(3)
  world.crash(worker!)
  await world.drain()
  expect((await world.read('p.dead-letters')).map(({ value }) => value)).toMatchObject([
    { code: 'MR4001', offset: 1 },
  ])
  expect((await world.read('out')).map(({ value }) => value)).toEqual([{ n: 1 }, { n: 2 }])
})

test('the watermark that a record raised is in the commit that moves the position behind it', async () => {
  const definition = pipeline('p', { partitions: 1 }, (p) => {
    const windows = p
      .stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1d', future: '1d' })
      .keyBy('id')
      .window(tumbling('1s'))
      .aggregate('out', { n: count() })
    windows.to(p.topic('out'))
    windows.late().to(p.topic('late'))
  })
  const world = new StageWorld(definition)
  const [worker] = world.workers
  const at = (id: string, ms: number) => ({ ...row(id, 1, world.now + ms), partition: 0 })
  await world.produce('events', [at('k1', 10_000), at('k2', 1_000)])
  await world.turn(worker!, { rows: 1, bytes: 1e6 })
  expect((await world.log.positions('p/events'))[0]?.offset).toBe(1)
  world.crash(worker!)
  await world.drain()
  expect((await world.read('late')).map(({ value }) => value)).toEqual([{ id: 'k2', n: 1 }])
})

test('rows that a window gives while nothing is read are counted in the commit that has them (I11)', async () => {
  const definition = pipeline('p', { partitions: 1 }, (p) => {
    p.stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1s', future: '1d' })
      .window(tumbling('1s'))
      .aggregate('out', { n: count() })
      .to(p.topic('out'))
  })
  const world = new StageWorld(definition)
  await world.produce('events', [{ ...row('k1', 1, world.now), partition: 0 }])
  await world.drain()
  expect(await world.read('out')).toEqual([])
  // Silence closes the window.
  for (let passed = 0; passed < 5; passed++) {
    world.now += 1_000
    await world.drain()
  }
  expect(await world.read('out')).toHaveLength(1)
  const [{ meta } = { meta: '' }] = await world.log.positions('p/events')
  expect(JSON.parse(meta)).toMatchObject({ counters: { read: 1, processed: 1, emitted: 1 } })
})

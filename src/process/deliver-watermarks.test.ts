import { expect, test } from 'vitest'
import { memory } from '../sinks/index.ts'
import { row, rowsOf, topic, World } from './deliver.suite.ts'

test('a deliver task comes to a record behind any number of watermarks', async () => {
  const world = new World()
  await world.start()
  const sink = memory()
  for (let i = 0; i < 10; i++) {
    for (let j = 0; j < 1_000; j++) world.producer!.control(topic, 0, j, i)
    expect((await world.inTime(world.producer!.commit())).outcome).toBe('committed')
  }
  await world.produce(0, [row(1)])
  world.deliver({ out: sink })
  await world.until(world.delivered('out', 1))
  expect(rowsOf(sink, 0)).toEqual([1])
  await world.halt()
})

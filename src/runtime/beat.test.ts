import { expect, it } from 'vitest'
import { BeatWriter, newBeat, readBeat } from './beat.ts'

it('a beat shows main the last phase, task and record of a worker', () => {
  const shared = newBeat()
  expect(readBeat(shared)).toEqual({
    count: 0,
    phase: 'starting',
    task: undefined,
    offset: undefined,
  })
  const writer = new BeatWriter(shared)
  writer.beat('working')
  writer.at('größe/main/3', 2 ** 40)
  expect(readBeat(shared)).toEqual({
    count: 1,
    phase: 'working',
    task: 'größe/main/3',
    offset: 2 ** 40,
  })
  writer.at('größe/main/3', undefined)
  writer.tick()
  expect(readBeat(shared)).toMatchObject({ count: 2, task: 'größe/main/3', offset: undefined })
  writer.at(undefined, undefined)
  expect(readBeat(shared).task).toBeUndefined()
})

import { expect, it, vi } from 'vitest'
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

it('a worker that dies while it says what it works on was at the record before, at the next, or between tasks', () => {
  const first = { task: 'p/first/12', offset: 7 }
  const second = { task: 'p/b/3', offset: 900 }
  const { store } = Atomics
  const { encode } = TextEncoder.prototype
  const { set } = Uint8Array.prototype
  const found = [0, 1, 2, 3, 4].map((calls) => {
    const shared = newBeat()
    const writer = new BeatWriter(shared)
    writer.at(first.task, first.offset)
    // Memory can run out in any of these.
    let left = calls
    const dying = <A extends unknown[], R>(call: (...given: A) => R) =>
      function (this: unknown, ...given: A): R {
        if (left-- === 0) throw new RangeError('out of memory')
        return call.apply(this, given)
      }
    vi.spyOn(Atomics, 'store').mockImplementation(dying(store) as typeof store)
    vi.spyOn(TextEncoder.prototype, 'encode').mockImplementation(dying(encode))
    vi.spyOn(Uint8Array.prototype, 'set').mockImplementation(dying(set))
    try {
      writer.at(second.task, second.offset)
    } catch {
      // It is dead.
    } finally {
      vi.restoreAllMocks()
    }
    const { task, offset } = readBeat(shared)
    return { task, offset }
  })
  const none = { task: undefined, offset: undefined }
  expect(found).toEqual([first, none, none, none, second])
})

import { expect, test } from 'vitest'
import { MillraceError } from '../errors.ts'
import { count, pipeline, tumbling } from '../index.ts'
import type { Reader } from '../log/log.ts'
import { Event, ran, row } from '../../tests/support/stage-fixture.ts'

test('a stage whose state cannot be restored keeps nothing open, however often it is tried', async () => {
  const definition = pipeline('p', { partitions: 2 }, (p) => {
    p.stream('events', { schema: Event, key: 'id' })
      .keyBy('id')
      .window(tumbling('1s'))
      .aggregate('counts', { n: count() })
      .to(p.topic('out'))
  })
  const { world } = await ran(definition, [row('k0', 1)])
  const { log } = world
  const open = new Set<Reader>()
  const reader = log.reader.bind(log)
  log.reader = async (from) => {
    if (from.some(({ topic }) => topic.endsWith('.changelog')))
      throw new MillraceError('MR4011', 'It is gone.')
    const made = await reader(from)
    const close = made.close.bind(made)
    open.add(made)
    made.close = () => {
      open.delete(made)
      close()
    }
    return made
  }
  world.start(1)
  for (const runner of world.workers[0]!.runners)
    await expect(runner.open()).rejects.toThrow('MR4011')
  expect(open.size).toBe(0)
})

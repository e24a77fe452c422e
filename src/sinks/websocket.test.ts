import { expect, test } from 'vitest'
import { websocket } from './websocket.ts'

test.each(['', 'live', '/live', '/a b', '/topics/views', '/topics/views/records', '/x/'])(
  'the path %j is refused: it is none, or the engine serves something there',
  (path) => {
    expect(() => websocket({ path })).toThrow(/MR5009/)
  },
)

test('any other path is served', () => {
  expect(websocket({ path: '/live/pages' }).serve).toEqual({ path: '/live/pages' })
})

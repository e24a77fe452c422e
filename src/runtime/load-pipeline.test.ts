import { expect, test } from 'vitest'
import { fileOf } from './load-pipeline.ts'

test('people are told of a pipeline by its path', () => {
  expect(fileOf('file:///srv/my%20shop.ts?version=3#x')).toBe('/srv/my shop.ts')
  expect(fileOf('data:text/javascript,1')).toBe('data:text/javascript,1')
})

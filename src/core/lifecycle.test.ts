import { expect, test } from 'vitest'
import { Resources } from './lifecycle.ts'

test('closes in reverse order, one after the other, each once', async () => {
  const resources = new Resources()
  const said: string[] = []
  const close = async (name: string): Promise<void> => {
    said.push(`${name} closing`)
    await Promise.resolve()
    said.push(`${name} closed`)
  }
  resources.own('log', 'log', close)
  expect(resources.own('reader', 'reader', close)).toBe('reader')
  await Promise.all([resources.close(), resources.close()])
  expect(said).toEqual(['reader closing', 'reader closed', 'log closing', 'log closed'])
})

test('closes the rest when one fails, and reports all failures', async () => {
  const resources = new Resources()
  let closed = 0
  resources.own('first', 1, () => void closed++)
  resources.own('second', 2, () => Promise.reject(new Error('stuck')))
  resources.own('third', 3, () => {
    throw new Error('gone')
  })
  const failure: unknown = await resources.close().catch((error: unknown) => error)
  expect(closed).toBe(1)
  expect(failure).toBeInstanceOf(AggregateError)
  expect(String(failure)).toMatch(
    /closing third failed: Error: gone; closing second failed: Error: stuck/,
  )
})

test('takes nothing more once closing began', async () => {
  const resources = new Resources()
  await resources.close()
  expect(() => resources.own('late', 1, () => {})).toThrow('late came after closing began')
})

import { expect, test } from 'vitest'
import { Arena } from './arena.ts'

test('holds blocks side by side up to its capacity, each where nothing else writes', () => {
  const arena = new Arena(64 * 1024)
  const taken: Uint8Array[] = []
  for (let i = 1; arena.fits(3_001); i++) taken.push(arena.take(3_001).fill(i))
  expect(taken.length).toBe(21)
  for (const [i, block] of taken.entries()) {
    expect(block.byteOffset % 8).toBe(0)
    expect(block.every((byte) => byte === i + 1)).toBe(true)
  }
  arena.reset()
  expect(arena.used).toBe(0)
})

test('takes a block larger than itself alone, and is no larger for it afterwards', () => {
  const arena = new Arena(1_000)
  expect(arena.take(100_000).length).toBe(100_000)
  expect(arena.fits(1)).toBe(false)
  arena.reset()
  expect(arena.take(800).buffer.byteLength).toBe(1_000)
  expect(arena.fits(800)).toBe(false)
})

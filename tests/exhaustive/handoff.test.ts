/** A little of `npm run exhaust -- handoff`: memory that threads share, and threads ended in the middle of what they do. */
import { expect, test } from 'vitest'
import { publication, wakeUp } from './handoff.ts'
import { endedWhilePublishing, handOver, racing } from './handoff-threads.ts'

test('whatever order the memory model allows, a reader gets a whole publication, and none from before (I9)', () => {
  const alone = publication(3, 1, 2)
  expect(alone.broken).toEqual([])
  expect(alone.runs).toBeGreaterThan(500)
  const two = publication(2, 2, 1)
  expect(two.broken).toEqual([])
  expect(two.runs).toBeGreaterThan(5_000)
})

test('whatever order the memory model allows, a reader that sleeps is woken (I7)', () => {
  const { broken, runs } = wakeUp(2)
  expect(broken).toEqual([])
  expect(runs).toBeGreaterThan(1_000)
})

test('real threads read whole publications while another publishes (I9)', async () => {
  for (const { reads, broken } of await racing(100_000, 1)) {
    expect(broken).toBeUndefined()
    expect(reads).toBeGreaterThan(0)
  }
})

test('a log thread that is ended in the middle of a publication leaves its readers the last one (I7, I9)', async () => {
  expect(await endedWhilePublishing(2)).toEqual({ reads: 1, broken: undefined })
})

test('workers ended while they hand over commits: each is there once and whole or not at all, and the next goes on', async () => {
  const { broken, commits } = await handOver(1, 4)
  expect(broken).toEqual([])
  expect(commits).toBeGreaterThan(5)
}, 60_000)

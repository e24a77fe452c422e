import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Admission } from './admission.ts'

const limits = { waitMs: 20, least: 8 }

/** Asks `perMs` of a worker that answers what waits for it every `commitMs`, at most `perCommit` at once. */
function run(load: { perMs: number; commitMs: number; perCommit: number; ms: number }) {
  let now = 0
  const admission = new Admission(() => now, limits)
  const waiting: number[] = []
  const waited: { at: number; ms: number }[] = []
  let refused = 0
  let due = 0
  for (; now < load.ms; now++) {
    for (due += load.perMs; due >= 1; due--) {
      if (admission.admits()) {
        admission.begin()
        waiting.push(now)
      } else refused++
    }
    if (now % load.commitMs > 0) continue
    for (const since of waiting.splice(0, load.perCommit)) {
      waited.push({ at: now, ms: now - since })
      admission.end(true)
    }
  }
  return { admission, waited, refused }
}

test('what is admitted waits for a few commits, whatever is asked, and the worker has enough to do', () => {
  const worker = {
    commitMs: fc.integer({ min: 1, max: limits.waitMs / 2 }),
    perMs: fc.integer({ min: 1, max: 20 }),
  }
  fc.assert(
    fc.property(
      fc.record(worker),
      fc.integer({ min: 2, max: 20 }),
      ({ commitMs, perMs }, times) => {
        const perCommit = perMs * commitMs
        const ms = 5_000
        const { waited, refused } = run({ perMs: perMs * times, commitMs, perCommit, ms })
        const later = waited.filter(({ at }) => at >= ms / 2)
        // One commit is under way when it comes, and the rate is known but to a commit in a window.
        const most = Math.max(2 * limits.waitMs + 2 * commitMs, limits.least / perMs + 2 * commitMs)
        expect(Math.max(...later.map((request) => request.ms))).toBeLessThanOrEqual(most)
        expect(later.length).toBeGreaterThanOrEqual(0.9 * perMs * (ms / 2) - perCommit)
        expect(refused).toBeGreaterThan(0)
      },
    ),
    { numRuns: 50 },
  )
})

test('a worker whose commits take longer than that still has as many as may always wait', () => {
  const { waited } = run({ perMs: 20, commitMs: 100, perCommit: 1_000, ms: 5_000 })
  expect(waited.length).toBeGreaterThanOrEqual((5_000 / 100 - 2) * limits.least)
  expect(Math.max(...waited.slice(-100).map(({ ms }) => ms))).toBeLessThanOrEqual(100)
})

test('a worker that keeps up refuses nothing, also where much comes at once', () => {
  expect(run({ perMs: 2, commitMs: 10, perCommit: 100, ms: 2_000 }).refused).toBe(0)
  const { admission } = run({ perMs: 2, commitMs: 10, perCommit: 100, ms: 2_000 })
  const before = admission.waiting
  let burst = 0
  for (; admission.admits(); burst++) admission.begin()
  expect(before + burst).toBeGreaterThanOrEqual(2 * 2 * limits.waitMs * 0.9)
})

test('how fast a worker answers is known as soon as it was watched for a while', () => {
  let now = 0
  const admission = new Admission(() => now, limits)
  const answer = (): void => {
    admission.begin()
    admission.end(true)
  }
  now = 99
  for (let answered = 1; answered < 1_000; answered++) answer()
  expect(admission.most).toBe(4 * limits.least)
  now = 100
  answer()
  // Ten in a millisecond, and twice what it answers in 20 ms.
  expect(admission.most).toBe(2 * 10 * limits.waitMs)
})

test('after a burst that was too much a part of it may wait, until it has been calm', () => {
  let now = 0
  const admission = new Admission(() => now, limits)
  while (admission.admits()) admission.begin()
  const most = admission.waiting
  expect(most).toBe(4 * limits.least)
  for (let left = most; left > limits.least; left--) {
    expect(admission.admits()).toBe(false)
    admission.end(false)
  }
  admission.end(false)
  expect(admission.admits()).toBe(true)
  now += 249
  expect(admission.most).toBe(limits.least)
  now += 1
  expect(admission.most).toBe(4 * limits.least)
})

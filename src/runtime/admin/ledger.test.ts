import { describe, expect, it } from 'vitest'
import type { Log } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import { ledgerOf } from './ledger.ts'

const plan = {
  ingests: [{ id: 'ingest/in', topic: 'in' }],
  stages: [],
  delivers: [],
} as unknown as Plan

/** A log whose topic has so many records at the first look and at the second, with positions read in between. */
function log(appended: readonly [first: number, second: number], emitted: number, read = emitted) {
  const looks = [...appended]
  const zero = { deadLettered: 0, late: 0, skipped: 0, shed: 0, expired: 0 }
  const counters = { ...zero, read, processed: emitted, emitted }
  const position = { topic: 'in', partition: 0, offset: 0, meta: JSON.stringify({ counters }) }
  return {
    topics: { offsets: () => Promise.resolve([{ earliest: 0, next: looks.shift() }]) },
    positions: () => Promise.resolve([position]),
  } as unknown as Log
}

describe('the ledger', () => {
  it('adds up also while events come in, and not where some are missing or too many', async () => {
    const balanced = async (...facts: Parameters<typeof log>): Promise<boolean> =>
      (await ledgerOf(log(...facts), [plan])).balanced
    expect(await balanced([7, 7], 7)).toBe(true)
    expect(await balanced([7, 12], 9)).toBe(true)
    expect(await balanced([7, 7], 8)).toBe(false)
    expect(await balanced([7, 12], 6)).toBe(false)
    expect(await balanced([7, 12], 13)).toBe(false)
    expect(await balanced([7, 7], 7, 8)).toBe(false)
  })
})

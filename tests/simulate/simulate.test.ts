import { describe, expect, test } from 'vitest'
import type { Config } from './config.ts'
import { regressions } from './regressions.ts'
import { runSeed } from './run.ts'
import type { RunResult } from './run.ts'

/** Tells which seed to look at. */
function kept({ seed, violation }: RunResult): void {
  const how = `npm run sim -- --seed ${seed}`
  expect(violation === undefined ? undefined : `${violation.message}\n${how}`).toBeUndefined()
}

/** The last row of each window, and every other row: what a run found out, whatever the order it did so in. */
function outcome({ walk }: RunResult): string[] {
  const rows = new Map<string, string>()
  for (const [name, partitions] of walk.records) {
    if (name.endsWith('.repartition') || name.includes('dead-letters')) continue
    for (const { key, text } of partitions.flat()) {
      const row = JSON.parse(text) as Record<string, unknown>
      rows.set(`${name} ${key} ${String(row['id'] ?? row['window_start'])}`, text)
    }
  }
  return [...rows].map(([key, text]) => `${key} ${text}`).toSorted()
}

describe('the whole engine, simulated', () => {
  test('keeps its promises whatever dies, at any moment (10 seeds)', async () => {
    const sum = { crashes: 0, midWrite: 0, workerKills: 0, torn: 0, snapshots: 0, inRecovery: 0 }
    for (let seed = 1; seed <= 10; seed++) {
      const result = await runSeed(seed)
      kept(result)
      const { kills, powerCuts, midWrite, workerKills, torn, snapshots, inRecovery } = result.tally
      sum.crashes += kills + powerCuts
      sum.midWrite += midWrite
      sum.workerKills += workerKills
      sum.torn += torn
      sum.snapshots += snapshots
      sum.inRecovery += inRecovery
    }
    // Faults that miss their moment prove nothing.
    expect(sum.crashes).toBeGreaterThan(250)
    expect(sum.midWrite / sum.crashes).toBeGreaterThan(0.2)
    expect(sum.workerKills).toBeGreaterThan(50)
    expect(sum.inRecovery).toBeGreaterThan(50)
    expect(sum.torn).toBeGreaterThan(1)
    expect(sum.snapshots).toBeGreaterThan(20)
  }, 120_000)

  test('does the same twice: the same trace, the same bytes', async () => {
    for (const seed of [1, 4, 5]) {
      const [first, again] = [await runSeed(seed), await runSeed(seed)]
      expect(again.traceHash).toBe(first.traceHash)
      expect(again.contents).toEqual(first.contents)
    }
  }, 120_000)

  test('keeps what it once broke', async () => {
    for (const { seed, change } of regressions) kept(await runSeed(seed, change))
  }, 120_000)

  test('finds out the same with one worker and four, with small batches and large', async () => {
    for (const seed of [11, 12, 13]) {
      // One producer, one request at a time: the source is the same in every run, and only how it is worked on differs.
      const fixed: Partial<Config> = {
        crashes: 0,
        producers: 1,
        plain: false,
        inside: false,
        versions: 1,
        closing: 'end',
        idleMs: 86_400_000,
        bodies: 20,
      }
      const outcomes: string[][] = []
      for (const [workers, stepRows, commitIntervalMs] of [
        [1, 1_000, 20],
        [4, 1_000, 1],
        [1, 1, 1],
        [4, 3, 20],
      ] as const) {
        const result = await runSeed(seed, {
          ...fixed,
          workers,
          changeWorkers: false,
          stepRows,
          commitIntervalMs,
        })
        kept(result)
        outcomes.push(outcome(result))
      }
      for (const other of outcomes.slice(1)) expect(other).toEqual(outcomes[0])
    }
  }, 120_000)
})

import { describe, expect, test } from 'vitest'
import { operate } from './operator.ts'
import { checkOwners } from './owners.ts'
import { pulled } from './pulled.ts'
import { runSeed } from './run.ts'

describe('a directory that a simulated run leaves', () => {
  test('is verified, read, backed up, restored and salvaged, and its copies go on (I6)', async () => {
    for (const rot of [false, true]) {
      const result = await runSeed(7, { crashes: 3, rot })
      expect(result.violation).toBeUndefined()
      expect(await operate(result)).toBeUndefined()
    }
  }, 60_000)

  test('says of each commit who wrote it, and nothing is of an owner that was replaced (I8)', async () => {
    const { contents } = await runSeed(6, { crashes: 3 })
    expect(checkOwners(contents)).toBeGreaterThan(20)
  }, 60_000)

  test('holds what an engine took from a source by itself while it was killed, once and in order (I1, I2, I4)', async () => {
    for (let seed = 1; seed <= 6; seed++) expect(await pulled(seed)).toBeUndefined()
  }, 60_000)
})

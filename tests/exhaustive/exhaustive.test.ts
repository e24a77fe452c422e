/** A little of every exhaustive gate, so that a change of the log is seen at once; `npm run exhaust` does all of it. */
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../src/core/env/simulated/index.ts'
import { bitOfSome, directories, flip } from './bits.ts'
import { crashStates, otherCrashStates } from './crash-states.ts'
import { decoders } from './decoders.ts'
import { subjects } from './decoder-subjects.ts'
import { faults } from './faults.ts'

describe('a sample of', () => {
  test('the disks that a power cut leaves: each opens with what was acknowledged (I1, I5)', async () => {
    const random = new SeededRandom(1, 'sample')
    const { states, broken } = await crashStates(
      400,
      () => random.float(),
      () => {},
    )
    expect(broken).toEqual([])
    expect(states).toBeGreaterThan(200)
  }, 60_000)

  test.each(['file sink', 'snapshots', 'small files'])(
    'every disk that a power cut leaves under %s: nothing acknowledged is lost (I1)',
    async (name) => {
      const { states, broken } = await otherCrashStates(name, () => {})
      expect(broken).toEqual([])
      expect(states).toBeGreaterThan(40)
    },
  )

  test.each(['write', 'file sink', 'snapshots', 'small files'])(
    'the disk calls that fail under %s: nothing acknowledged is lost (I1)',
    async (name) => {
      const { runs, broken } = await faults(name, name === 'write' ? 50 : 17, () => {})
      expect(broken).toEqual([])
      expect(runs).toBeGreaterThan(10)
    },
    60_000,
  )

  test('flipped bits: each changes nothing, or is refused or reported by file, offset and LSN (I6)', async () => {
    const all = await directories()
    const random = new SeededRandom(1, 'sample')
    const verdicts = new Set<string>()
    for (let i = 0; i < 600; i++) verdicts.add(await flip(all, bitOfSome(all, random)))
    expect([...verdicts].toSorted()).toEqual(['refused', 'reported', 'unchanged'])
  })

  test('mutated encodings: no decoder throws, hangs, or takes what it should not (I6, I10)', async () => {
    const { taken, broken } = await decoders(await subjects(), 2, 0, 40_000, () => {})
    expect(broken).toEqual([])
    expect(taken).toBeGreaterThan(1_000)
  })
})

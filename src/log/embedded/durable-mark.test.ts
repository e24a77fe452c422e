import { expect, test } from 'vitest'
import { must } from '../../core/assert.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { Log } from '../log.ts'
import { blockOf, topic } from '../log.suite.ts'
import { DIRECTORY, inSimulation, small } from './damage.suite.ts'
import { decodeMark, MARK_SLOT } from './format.ts'
import { openEmbeddedLog } from './index.ts'

/** What a power cut leaves of the mark, whatever else it takes. */
function durableLsn(sim: Simulation): number {
  const node = sim.disk().find(`${DIRECTORY}/MARK`)
  if (node?.kind !== 'file') throw new Error('there is no MARK')
  const bytes = Uint8Array.from(node.durable.view())
  const marks = [0, MARK_SLOT].map((at) => decodeMark(bytes.subarray(at, at + MARK_SLOT)))
  return Math.max(...marks.map((mark) => (mark.result === 'mark' ? mark.lsn : -1)))
}

test('what is acknowledged lies below a durable mark: damage to it cannot pass for a torn tail (I6)', async () => {
  const sim = new Simulation({ seed: 'mark' })
  const commits = async (log: Log): Promise<void> => {
    await log.topics.create(topic('a'))
    const writer = await log.open('w')
    for (let i = 0; i < 30; i++) {
      writer.append('a', 0, blockOf([`${i} ${'x'.repeat(300)}`]), 1)
      const result = await writer.commit()
      expect(result).toMatchObject({ outcome: 'committed' })
      const { lsn } = must(result.outcome === 'committed' ? result : undefined, 'just seen')
      expect(durableLsn(sim)).toBeGreaterThanOrEqual(lsn)
    }
  }
  const env = sim.env('engine')
  const log = await inSimulation(sim, openEmbeddedLog({ env, ...small }))
  await inSimulation(sim, commits(log))
  await inSimulation(sim, log.stop())
})

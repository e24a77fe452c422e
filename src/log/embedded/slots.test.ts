import { expect, test } from 'vitest'
import { must } from '../../core/assert.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { Log } from '../log.ts'
import { blockOf, topic } from '../log.suite.ts'
import { DIRECTORY, fill, inSimulation, small } from './damage.suite.ts'
import { decodeMark, decodeSuper, MARK_SLOT } from './format.ts'
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

test('SUPER is never written over the newest that is durable: torn, it would take the place of the checkpoint with it (I7)', async () => {
  const sim = new Simulation({ seed: 'super' })
  const disk = sim.disk()
  const sequenceOf = (path: string): number => {
    const node = disk.find(path)
    if (node?.kind !== 'file') return -1
    const made = decodeSuper(Uint8Array.from(node.durable.view()))
    return made.result === 'super' ? made.sequence : -1
  }
  await inSimulation(sim, fill(sim.env('engine'), 1))
  let writes = 0
  disk.hook = (operation, path) => {
    const slot = /SUPER\.([01])$/.exec(path)?.[1]
    if (operation !== 'write' || slot === undefined) return undefined
    writes++
    const other = `${DIRECTORY}/SUPER.${1 - Number(slot)}`
    expect(sequenceOf(other)).toBeGreaterThan(sequenceOf(`${DIRECTORY}/SUPER.${slot}`))
    return undefined
  }
  await inSimulation(sim, fill(sim.env('engine'), 40))
  expect(writes).toBeGreaterThan(3)
})

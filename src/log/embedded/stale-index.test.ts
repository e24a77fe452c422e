/** A segment that takes frames again must not be judged by an index from before. Found by simulation, seed 466. */
import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../../core/env/simulated/index.ts'
import { baseOf, fill, inSimulation, look } from './damage.suite.ts'
import { writeIndex } from './disk-log.ts'
import { decodeSegmentHeader, indexName, SEGMENT_HEADER } from './format.ts'
import { extendMap, SegmentMap } from './segment-map.ts'
import { readUpTo, runSteps } from './steps.ts'

const folder = 'data/log'

/** The index of the newest segment as it is now, durable: as left behind where the segment after it went again. */
function indexNow(env: SimulatedEnv): void {
  const [name] = env.disk
    .list(folder)
    .map((entry) => entry.name)
    .filter((each) => each.endsWith('.seg'))
    .toSorted((a, b) => baseOf(b) - baseOf(a))
  const file = env.disk.open(`${folder}/${name}`, 'read')
  const header = decodeSegmentHeader(readUpTo(file, 0, SEGMENT_HEADER))
  if (header.result === 'bad') throw new Error(header.why)
  const map = new SegmentMap(header, header.prevHash)
  extendMap(map, file, file.size())
  runSteps(writeIndex(env.disk, folder, map, header.uuid))
  const index = env.disk.open(`${folder}/${indexName(map.id)}`, 'write')
  index.fdatasync()
  index.close()
  env.disk.fsyncDir(folder)
}

test('a log starts where the index of a segment, written anew when it was sealed again, is lost with the power', async () => {
  for (let seed = 0; seed < 12; seed++) {
    const sim = new Simulation({ seed: `stale index ${seed}` })
    await inSimulation(sim, fill(sim.env('engine'), 5))
    indexNow(sim.env('operator'))
    const engine = sim.env('engine')
    await inSimulation(sim, fill(engine, 20, 5))
    engine.crash('power')
    const { refused, records } = await inSimulation(sim, look(sim.env('engine')))
    expect(refused).toBeUndefined()
    expect(records).toEqual(Array.from({ length: 25 }, (_, i) => i))
  }
})

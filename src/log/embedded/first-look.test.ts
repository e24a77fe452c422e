/** What a thread reads of the log before it reads records: no segment that another thread has walked, none it does not need. */
import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../../core/env/simulated/index.ts'
import { must } from '../../core/assert.ts'
import { drain, put, topic, valuesOf } from '../log.suite.ts'
import type { Log, Reader } from '../log.ts'
import { fill, inSimulation, named, small } from './damage.suite.ts'
import { decodeSuper, indexName, parseFileName } from './format.ts'
import { openEmbeddedLog, openReadOnly } from './index.ts'
import { SegmentMap } from './segment-map.ts'

const values = (reader: Reader): string[] => {
  const { blocks, end } = drain(reader)
  expect(end.result).toBe('caught-up')
  return valuesOf(blocks)
}

/** A few records of `rare`, then many segments without any. */
async function full(env: SimulatedEnv) {
  const log = await openEmbeddedLog({ env, ...small })
  await log.topics.create(topic('rare'))
  await log.topics.create(topic('often'))
  const writer = await log.open('w')
  for (let i = 0; i < 3; i++) await put(writer, 'rare', 0, `${i}`)
  await roll(log)
  return log
}

async function roll(log: Log): Promise<void> {
  const writer = await log.open('other')
  for (let i = 0; i < 80; i++) await put(writer, 'often', 0, 'x'.repeat(500))
}

test('a reader that begins at the end looks into no older segment, and a new thread into the newest not at all', async () => {
  const sim = new Simulation({ seed: 1 })
  const task = async (): Promise<void> => {
    const log = await full(sim.env('engine'))
    expect(named(sim.disk().contents(), '.seg').length).toBeGreaterThan(5)
    await log.stop()
    const again = await openEmbeddedLog({ env: sim.env('engine'), ...small })
    const read: string[] = []
    sim.disk().hook = (operation, path) => {
      if (operation === 'read' || operation === 'open') read.push(path)
      return undefined
    }
    const at = { partition: 0, offset: 3 }
    const reader = await again.reader([{ topic: 'rare', ...at }])
    expect(values(reader)).toEqual([])
    expect(read).toEqual([])
    sim.disk().hook = undefined
    const writer = await again.open('w')
    await put(writer, 'rare', 0, 'new')
    expect(values(reader)).toEqual(['new'])
    await again.stop()
  }
  await inSimulation(sim, task())
})

test('a reader that was opened at the end misses nothing of what comes before it first looks', async () => {
  const sim = new Simulation({ seed: 2 })
  const task = async (): Promise<void> => {
    const log = await full(sim.env('engine'))
    const end = await log.reader([{ topic: 'rare', partition: 0, offset: 3 }])
    const start = await log.reader([{ topic: 'rare', partition: 0, offset: 0 }])
    const writer = await log.open('w')
    await put(writer, 'rare', 0, '3', '4')
    await roll(log)
    await put(writer, 'rare', 0, '5')
    await roll(log)
    expect(values(end)).toEqual(['3', '4', '5'])
    expect(values(start)).toEqual(['0', '1', '2', '3', '4', '5'])
    end.seek({ topic: 'rare', partition: 0, offset: 1 })
    expect(values(end)).toEqual(['1', '2', '3', '4', '5'])
    await log.stop()
  }
  await inSimulation(sim, task())
})

test('so does one of a log that is opened for reading alone, which knows only where partitions ended then', async () => {
  const sim = new Simulation({ seed: 3 })
  const task = async (): Promise<void> => {
    const log = await full(sim.env('engine'))
    const alone = openReadOnly(sim.env('reader'), small.directory)
    const before = await alone.reader([{ topic: 'rare', partition: 0, offset: 3 }])
    expect(values(before)).toEqual([])
    const writer = await log.open('w')
    await put(writer, 'rare', 0, '3')
    await roll(log)
    await before.wait()
    const after = await alone.reader([{ topic: 'rare', partition: 0, offset: 3 }])
    for (const reader of [before, after]) expect(values(reader)).toEqual(['3'])
    alone.close()
    await log.stop()
  }
  await inSimulation(sim, task())
})

test('who asks how much there is gets what is known when the disk fails, and all of it when it does not', async () => {
  let failed = 0
  for (let nth = 1; failed === nth - 1; nth++) {
    const sim = new Simulation({ seed: nth })
    const task = async (): Promise<void> => {
      const log = await full(sim.env('engine'))
      const reader = await log.reader([
        { topic: 'rare', partition: 0, offset: 3 },
        { topic: 'often', partition: 0, offset: 0 },
      ])
      expect(reader.end('often', 0)).toBe(80)
      await roll(log)
      const writer = await log.open('w')
      await put(writer, 'rare', 0, '3')
      let calls = 0
      sim.disk().hook = () => (++calls === nth ? { error: 'EIO' } : undefined)
      const known = reader.lag()
      sim.disk().hook = undefined
      if (calls >= nth) failed++
      expect(known).toBeGreaterThanOrEqual(80)
      expect(known).toBeLessThanOrEqual(161)
      expect([reader.lag(), reader.end('often', 0), reader.end('rare', 0)]).toEqual([161, 160, 4])
      expect(values(reader)).toHaveLength(161)
      await log.stop()
    }
    await inSimulation(sim, task())
  }
  expect(failed).toBeGreaterThan(10)
})

test('behind every start the index of each sealed segment is whole, whenever the power went', async () => {
  let sealed = 0
  for (let nth = 1; nth < 200; nth++) {
    const sim = new Simulation({ seed: nth })
    const first = sim.env('engine')
    sim.disk().hook = (_operation, _path, changes) =>
      changes < nth ? undefined : { crash: 'power' }
    void fill(first, 40).catch(() => undefined)
    await sim.run()
    sim.disk().hook = undefined
    if (first.alive) break
    await inSimulation(sim, openEmbeddedLog({ env: sim.env('engine'), ...small }))
    const files = sim.disk().contents()
    const { uuid } = must(
      [...files].flatMap(([path, bytes]) => {
        const found = path.includes('/SUPER.') ? decodeSuper(bytes) : undefined
        return found?.result === 'super' ? [found] : []
      })[0],
      'a start leaves a SUPER',
    )
    for (const path of named(files, '.seg').slice(0, -1)) {
      const id = parseFileName(path.slice(path.lastIndexOf('/') + 1))!
      const index = files.get(`/data/log/${indexName(id)}`)
      expect(index && SegmentMap.decode(index, id, uuid), `${path}, cut at ${nth}`).toBeDefined()
      sealed++
    }
  }
  expect(sealed).toBeGreaterThan(100)
})

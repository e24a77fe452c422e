/**
 * Damage at rest. What was acknowledged is either read back unchanged or refused by name, at the start or by the
 * reader; it is never changed silently, never cut off, and a refused directory is left as it was.
 */
import { describe, expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../../core/env/simulated/index.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import {
  COMMITS,
  DIRECTORY,
  small,
  fill,
  look,
  restored,
  golden,
  digest,
  named,
  baseOf,
  judge,
  inSimulation,
  unacknowledged,
} from './damage.suite.ts'
import { decodeMark, encodeMark, encodeSuper, decodeSuper } from './format.ts'
import { openEmbeddedLog } from './index.ts'
import { openReadOnly } from './read-only.ts'

describe('a flipped bit', () => {
  test('anywhere in a closed directory changes nothing that is read, or is reported', async () => {
    const files = await golden()
    const random = new SeededRandom(1, 'bits')
    const tally = new Map<string, number>()
    for (const [path, bytes] of files) {
      for (let i = 0; i < Math.min(70, bytes.length * 4); i++) {
        // Half of them where the structures are, which is a small part of the bytes.
        const at = random.int(random.chance(0.5) ? Math.min(bytes.length, 120) : bytes.length)
        const damaged = bytes.slice()
        damaged[at]! ^= 1 << random.int(8)
        const seen = await judge(new Map(files).set(path, damaged))
        tally.set(seen.end, (tally.get(seen.end) ?? 0) + 1)
      }
    }
    for (const end of ['caught-up', 'refused', 'corrupt'])
      expect(tally.get(end)).toBeGreaterThan(20)
  })

  test('is named with file, offset and LSN', async () => {
    const files = await golden()
    const last = named(files, '.seg').at(-1)!
    const damaged = files.get(last)!.slice()
    damaged[4096 + 100]! ^= 1
    const { refused } = await judge(new Map(files).set(last, damaged))
    const file = last.slice(last.lastIndexOf('/') + 1)
    expect(refused).toMatchObject({
      code: 'MR2002',
      details: { file, offset: 4096, lsn: baseOf(last) },
    })
    expect(refused?.message).toContain(`In ${file} at byte 4096 (LSN ${baseOf(last)})`)
  })
})

describe('files that are cut, missing, swapped or foreign', () => {
  test('a segment cut anywhere is refused, and so is one that is missing', async () => {
    const files = await golden()
    const random = new SeededRandom(2, 'cuts')
    for (const path of named(files, '.seg')) {
      const bytes = files.get(path)!
      for (let i = 0; i < 12; i++) {
        const cut = bytes.subarray(0, random.chance(0.2) ? 4096 : random.int(bytes.length))
        expect((await judge(new Map(files).set(path, cut))).refused?.code).toBe('MR2002')
      }
      const without = new Map(files)
      without.delete(path)
      expect((await judge(without)).refused?.code).toBe('MR2002')
    }
  })

  test('indexes are rebuilt, one SUPER is enough, two are not too few to notice', async () => {
    const files = await golden()
    for (const path of [
      ...named(files, '.idx'),
      `/${DIRECTORY}/SUPER.0`,
      `/${DIRECTORY}/SUPER.1`,
      `/${DIRECTORY}/LOCK`,
    ]) {
      const without = new Map(files)
      without.delete(path)
      expect((await judge(without)).end).toBe('caught-up')
    }
    const without = new Map(files)
    without.delete(`/${DIRECTORY}/SUPER.0`)
    without.delete(`/${DIRECTORY}/SUPER.1`)
    expect((await judge(without)).refused?.code).toBe('MR2002')
    const unmarked = new Map(files)
    unmarked.delete(`/${DIRECTORY}/MARK`)
    expect((await judge(unmarked)).refused?.code).toBe('MR2002')
  })

  test('swapped and renamed segments are refused', async () => {
    const files = await golden()
    const [one, two] = named(files, '.seg')
    const swapped = new Map(files).set(one!, files.get(two!)!).set(two!, files.get(one!)!)
    expect((await judge(swapped)).refused?.code).toBe('MR2002')
    const renamed = new Map(files).set(`/${DIRECTORY}/log/9-9999.seg`, files.get(two!)!)
    renamed.delete(two!)
    expect((await judge(renamed)).refused?.code).toBe('MR2002')
    const doubled = new Map(files).set(`/${DIRECTORY}/log/9-${baseOf(two!)}.seg`, files.get(two!)!)
    expect((await judge(doubled)).refused?.code).toBe('MR2002')
  })

  test('files of another log are refused', async () => {
    const files = await golden()
    const sim = new Simulation({ seed: 'another' })
    await inSimulation(sim, fill(sim.env('engine'), COMMITS))
    const other = sim.disk().contents()
    for (const path of [...named(files, '.seg'), `/${DIRECTORY}/MARK`, `/${DIRECTORY}/SUPER.0`]) {
      expect((await judge(new Map(files).set(path, other.get(path)!))).refused?.code).toBe('MR2003')
    }
  })

  test('a newer format and unknown features are refused', async () => {
    const files = await golden()
    for (const change of [{ version: 2 }, { incompat: 1 }, { roCompat: 4 }]) {
      const changed = new Map(files)
      for (const slot of [0, 1]) {
        const s = decodeSuper(files.get(`/${DIRECTORY}/SUPER.${slot}`)!)
        if (s.result === 'super')
          changed.set(`/${DIRECTORY}/SUPER.${slot}`, encodeSuper({ ...s, ...change }))
      }
      expect((await judge(changed)).refused?.code).toBe('MR2004')
    }
  })

  test('a mark beyond the end of the log is refused: what it promises is missing', async () => {
    const files = await golden()
    const marks = files.get(`/${DIRECTORY}/MARK`)!.slice()
    for (const slot of [0, 4096]) {
      const mark = decodeMark(marks.subarray(slot, slot + 64))
      if (mark.result === 'mark')
        marks.set(encodeMark({ ...mark, lsn: mark.lsn + 5, end: mark.end + 500 }), slot)
    }
    const { refused } = await judge(new Map(files).set(`/${DIRECTORY}/MARK`, marks))
    expect(refused?.message).toContain('were acknowledged')
  })
})

describe('a torn tail', () => {
  test('that is whole is kept, and one that is flawed is quarantined and cut off', async () => {
    for (const flaw of [undefined, 40, 100, 300]) {
      const { sim, tail, end } = await unacknowledged()
      const size = sim.disk().contents().get(tail)!.length
      if (flaw !== undefined) sim.disk().flipBit(tail.slice(1), end + flaw, 3)
      const torn = sim.disk().contents().get(tail)!.slice(end)
      const seen = await inSimulation(sim, look(sim.env('engine')))
      expect(seen).toEqual({
        refused: undefined,
        end: 'caught-up',
        records: flaw === undefined ? [0, 1, 2, 3, 4, 5] : [0, 1, 2, 3, 4],
      })
      const quarantined = [...sim.disk().contents()].filter(([path]) => path.includes('quarantine'))
      expect(quarantined.map(([, bytes]) => bytes)).toEqual(flaw === undefined ? [] : [torn])
      expect(size).toBeGreaterThan(end)
      await inSimulation(sim, fill(sim.env('engine'), 3, 5))
    }
  })

  test('with a sound frame of a later commit behind it is damage, even where the mark was lost, and refused', async () => {
    const sim = new Simulation({ seed: 'later' })
    const env = sim.env('engine')
    const log = await inSimulation(sim, openEmbeddedLog({ env, directory: DIRECTORY }))
    await inSimulation(sim, log.topics.create(topic('a')))
    const writer = await inSimulation(sim, log.open('w'))
    const ends: number[] = []
    let marks = new Uint8Array(0)
    for (let i = 0; i < 7; i++) {
      writer.append('a', 0, blockOf([`${i} ${'x'.repeat(300)}`]), 1)
      await inSimulation(sim, writer.commit())
      ends.push(sim.disk().contents().get(`/${DIRECTORY}/log/1-1.seg`)!.length)
      // What the mark was after the third commit, as if both slots had rotted into older ones later.
      if (i === 2) marks = sim.disk().contents().get(`/${DIRECTORY}/MARK`)!.slice()
    }
    env.crash('kill')
    const files = sim.disk().contents().set(`/${DIRECTORY}/MARK`, marks)
    const whole = restored(files)
    expect(await inSimulation(whole.sim, look(whole.env))).toMatchObject({
      end: 'caught-up',
      records: [0, 1, 2, 3, 4, 5, 6],
    })
    const flawed = restored(files)
    flawed.disk.flipBit(`${DIRECTORY}/log/1-1.seg`, ends[3]! + 200, 1)
    const before = digest(flawed.disk)
    const { refused } = await inSimulation(flawed.sim, look(flawed.env))
    expect(refused).toMatchObject({ code: 'MR2002', details: { offset: ends[3] } })
    expect(refused?.message).toContain(`a later commit is sound at byte ${ends[4]}`)
    expect(digest(flawed.disk)).toEqual(before)
  })
})

test('a reader meets damage while the log runs: it says so every time and goes no further', async () => {
  const sim = new Simulation({ seed: 'live' })
  const env = sim.env('engine')
  await inSimulation(sim, fill(env, COMMITS))
  const log = await inSimulation(sim, openEmbeddedLog({ env: sim.env('engine'), ...small }))
  const path = named(sim.disk().contents(), '.seg')[1]!
  sim.disk().flipBit(path.slice(1), 4096 + 200, 0)
  const reader = await inSimulation(sim, log.reader([{ topic: 'a', partition: 0, offset: 0 }]))
  const { blocks, end } = drain(reader)
  expect(valuesOf(blocks).length).toBeLessThan(COMMITS)
  expect(end).toMatchObject({
    result: 'corrupt',
    error: { code: 'MR2005', details: { lsn: baseOf(path) } },
  })
  expect(drain(reader)).toEqual({ blocks: [], end })
})

test('damage that cuts a walk short is met by readers that begin behind it in the same segment, too', async () => {
  const sim = new Simulation({ seed: 'walk' })
  await inSimulation(sim, fill(sim.env('engine'), COMMITS))
  const log = await inSimulation(sim, openEmbeddedLog({ env: sim.env('engine'), ...small }))
  const files = sim.disk().contents()
  const path = named(files, '.seg')[1]!
  // The head of its third frame; without an index only walking the heads tells what is in a segment.
  const magic = Buffer.from('MRFR')
  let at = 4096
  for (let i = 0; i < 2; i++) at = Buffer.from(files.get(path)!).indexOf(magic, at + 1)
  sim.disk().flipBit(path.slice(1), at, 0)
  for (const index of named(files, '.idx')) sim.env('tool').disk.unlink(index.slice(1))
  const whole = valuesOf(
    drain(await inSimulation(sim, log.reader([{ topic: 'a', partition: 0, offset: 0 }]))).blocks,
  ).length
  expect(whole).toBeLessThan(COMMITS)
  for (let offset = whole; offset < whole + 3; offset++) {
    const client = await inSimulation(sim, log.connect())
    const reader = await inSimulation(sim, client.reader([{ topic: 'a', partition: 0, offset }]))
    const { blocks, end } = drain(reader)
    if (end.result === 'corrupt') expect(blocks).toEqual([])
    else expect([end.result, blocks.length]).toEqual(['caught-up', COMMITS - offset])
  }
  const later = inSimulation(sim, log.topics.offsetAt('a', 0, Infinity))
  await expect(later).rejects.toMatchObject({ code: 'MR2005' })
})

test('a directory opened for reading alone shows the same and is not changed, with or without an engine', async () => {
  const sim = new Simulation({ seed: 'read only' })
  const env = sim.env('engine')
  await inSimulation(sim, fill(env, COMMITS))
  const engine = sim.env('engine')
  const log = await inSimulation(sim, openEmbeddedLog({ env: engine, ...small }))
  for (const alive of [true, false]) {
    if (!alive) engine.crash('kill')
    const before = digest(sim.disk())
    const only = openReadOnly(sim.env('cli'), DIRECTORY)
    expect(await only.topics.list()).toMatchObject([{ name: 'a', partitions: 1 }])
    expect(await only.positions('g')).toMatchObject([{ offset: COMMITS - 1 }])
    const { blocks, end } = drain(await only.reader([{ topic: 'a', partition: 0, offset: 0 }]))
    expect([valuesOf(blocks).length, end.result]).toEqual([COMMITS, 'caught-up'])
    await expect(only.open('w')).rejects.toThrow('MR2009')
    await expect(only.topics.create(topic('b'))).rejects.toThrow('MR2009')
    only.close()
    expect(digest(sim.disk())).toEqual(before)
  }
  expect(log.report.created).toBe(false)
})

test('opening for reading alone looks again when a file went away meanwhile, and gives up on one that is missing', async () => {
  const sim = new Simulation({ seed: 'race' })
  await inSimulation(sim, fill(sim.env('engine'), COMMITS))
  const cli = sim.env('cli')
  const gone = { on: 'stat', path: '.seg', effect: { error: 'ENOENT' } } as const
  sim.disk().inject(gone)
  expect(await openReadOnly(cli, DIRECTORY).topics.list()).toHaveLength(1)
  sim.disk().inject({ ...gone, times: 1_000 })
  expect(() => openReadOnly(cli, DIRECTORY)).toThrow('MR2015')
})

test('every life of the log has an epoch of its own', async () => {
  const sim = new Simulation({ seed: 'epochs' })
  const epochs: number[] = []
  for (let life = 0; life < 4; life++) {
    const env = sim.env('engine')
    const log = await inSimulation(sim, openEmbeddedLog({ env, ...small }))
    epochs.push(log.report.epoch)
    if (life % 2 === 0) env.crash('power')
    else await inSimulation(sim, log.stop())
  }
  expect(new Set(epochs).size).toBe(4)
  expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
})

test('a second process on the same directory is refused', async () => {
  const sim = new Simulation({ seed: 'lock' })
  await inSimulation(sim, openEmbeddedLog({ env: sim.env('one'), ...small }))
  const second = inSimulation(sim, openEmbeddedLog({ env: sim.env('two'), ...small }))
  await expect(second).rejects.toMatchObject({ code: 'MR2001' })
})

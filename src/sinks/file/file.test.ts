import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedDisk } from '../../core/env/simulated/index.ts'
import { batchOf, contextFor, goodBatch, sinkSuite, transactionalSuite } from '../sink.suite.ts'
import type { SinkSuite } from '../sink.suite.ts'
import type { SinkWriter } from '../sink.ts'
import { file } from './index.ts'
import { safeName } from './parts.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The lines that another program sees, by partition, in the order of file names; fails on a line that is not whole. */
function visible(disk: SimulatedDisk, partition: number): unknown[] {
  const files = [...disk.contents()]
    .filter(([path]) => /\/[^./][^/]*\.ndjson$/.test(path))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const rows: unknown[] = []
  for (const [path, bytes] of files) {
    if (!path.includes(`-out-${partition}-`)) continue
    const text = decoder.decode(bytes)
    expect(text.endsWith('\n')).toBe(true)
    for (const line of text.slice(0, -1).split('\n')) rows.push(JSON.parse(line))
  }
  return rows
}

const suite: SinkSuite = {
  name: 'file',
  make: async () => {
    const simulation = new Simulation({ seed: 1 })
    return {
      sink: file({ path: '/deep/er/out' }),
      env: simulation.env('p'),
      keeps: 'append',
      contents: async (partition) => visible(simulation.disk(), partition),
      close: async () => {},
    }
  },
}
sinkSuite(suite)
transactionalSuite(suite)

/** Delivers until the process dies or `until` is reached; returns true when it got there. */
async function work(
  simulation: Simulation,
  epoch: number,
  until: number,
  rollBytes: number,
): Promise<boolean> {
  const env = simulation.env('p')
  let writer: SinkWriter | undefined
  try {
    writer = await file({ path: '/out', roll: { bytes: rollBytes } }).open!(
      contextFor(env, { epoch }),
    )
    let at = (await writer.stored!(0))?.offset ?? 0
    while (at < until) {
      const count = 1 + ((at * 7 + epoch) % 3)
      await writer.deliver(goodBatch(0, at, count))
      at += count
    }
    await writer.close()
    return true
  } catch (error) {
    // After its death a process does nothing more, not even closing.
    if (!env.alive) return false
    await writer?.close()
    const passing =
      error instanceof Error && (error.name === 'DiskError' || error.message.startsWith('MR5007'))
    if (!passing) throw error
    env.crash('kill')
    return false
  }
}

const rows = (to: number): unknown[] => goodBatch(0, 0, to).records.map((record) => record.value)

test.each(['kill', 'power'] as const)(
  'after a %s at any disk operation every row is there once, and no part of a line is ever seen',
  async (kind) => {
    for (const rollBytes of [1, 600, 1e9]) {
      for (let nth = 1; ; nth++) {
        const simulation = new Simulation({ seed: nth })
        const disk = simulation.disk()
        disk.inject({ on: 'change', nth, effect: { crash: kind } })
        const survived = await work(simulation, 1, 14, rollBytes)
        const seen = visible(disk, 0)
        expect(seen).toEqual(rows(seen.length))
        // A second crash while the first is being repaired.
        disk.inject({ on: 'change', nth: 1 + (nth % 5), effect: { crash: kind } })
        await work(simulation, 2, 20, rollBytes)
        const between = visible(disk, 0)
        expect(between).toEqual(rows(between.length))
        expect(between.length).toBeGreaterThanOrEqual(seen.length)
        disk.faults.clear()
        expect(await work(simulation, 3, 30, rollBytes)).toBe(true)
        const all = visible(disk, 0)
        expect(all).toEqual(rows(all.length))
        expect(all.length).toBeGreaterThanOrEqual(30)
        expect([...disk.contents().keys()].filter((path) => path.endsWith('.part'))).toEqual([])
        if (survived) break
      }
    }
  },
)

test.each(['EIO', 'ENOSPC'])(
  'after %s at any disk operation it goes on without loss when the disk is well again',
  async (errno) => {
    for (let nth = 1; ; nth++) {
      const simulation = new Simulation({ seed: nth })
      const disk = simulation.disk()
      disk.inject({ on: 'change', nth, effect: { error: errno } })
      const survived = await work(simulation, 1, 14, 600)
      expect(visible(disk, 0)).toEqual(rows(visible(disk, 0).length))
      disk.faults.clear()
      expect(await work(simulation, 2, 20, 600)).toBe(true)
      const all = visible(disk, 0)
      expect(all).toEqual(rows(all.length))
      if (survived && nth > 60) break
    }
  },
)

test('a file is finished after its time, without a further delivery', async () => {
  const simulation = new Simulation({ seed: 1 })
  const writer = await file({ path: '/out', roll: { ms: 500 } }).open!(
    contextFor(simulation.env('p')),
  )
  await writer.deliver(goodBatch(0, 0, 2))
  await writer.deliver(goodBatch(0, 2, 2))
  expect(visible(simulation.disk(), 0)).toEqual([])
  await simulation.advance(600)
  expect(visible(simulation.disk(), 0)).toEqual(rows(4))
  expect(
    [...simulation.disk().contents().keys()].filter((path) => path.endsWith('.ndjson')),
  ).toEqual(['/out/shop-out-0-0000000000000000-0000000000000004.ndjson'])
})

test('what the position counts on survives a power cut, whatever the disk keeps of the names', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const simulation = new Simulation({ seed })
    const disk = simulation.disk()
    disk.inject({ on: 'rename', nth: 3 + (seed % 3), effect: { crash: 'power', moment: 'after' } })
    await work(simulation, 1, 14, 1e9)
    const stored = await file({ path: '/out' }).open!(
      contextFor(simulation.env('p'), { epoch: 2 }),
    ).then((writer) => writer.stored!(0))
    expect(visible(disk, 0)).toEqual(rows(stored?.offset ?? 0))
  }
})

test('a file that cannot be finished now is finished later, without a further delivery', async () => {
  for (const on of ['rename', 'fsyncDir'] as const) {
    const simulation = new Simulation({ seed: 1 })
    const disk = simulation.disk()
    const writer = await file({ path: '/out', roll: { ms: 500 } }).open!(
      contextFor(simulation.env('p')),
    )
    await writer.deliver(goodBatch(0, 0, 2))
    disk.inject({ on, nth: 1, effect: { error: 'EIO' } })
    await simulation.advance(600)
    await simulation.advance(2_000)
    expect(visible(disk, 0)).toEqual(rows(2))
    await writer.deliver(goodBatch(0, 2, 2))
    disk.losePower()
    const after = await file({ path: '/out' }).open!(contextFor(simulation.env('p'), { epoch: 2 }))
    await after.close()
    expect(visible(disk, 0)).toEqual(rows(4))
  }
})

test('a damaged position is told by its file, with what deletes it', async () => {
  const simulation = new Simulation({ seed: 1 })
  const env = simulation.env('p')
  const sink = file({ path: "/o'ut" })
  const writer = await sink.open!(contextFor(env))
  await writer.deliver(goodBatch(0, 0, 2))
  const damaged = env.disk.open("/o'ut/.shop-out-0.position", 'write')
  damaged.truncate(7)
  damaged.close()
  await expect(sink.open!(contextFor(env, { epoch: 2 }))).rejects.toThrow(
    "MR5004: /o'ut/.shop-out-0.position is damaged. `rm '/o'\\''ut'/.shop-out-*.position` deletes the stored position.",
  )
})

test('no bit of a position that turns over is believed, and one of before there were checksums is taken', async () => {
  const path = '/out/.shop-out-0.position'
  const afterwards = async (damage: (bytes: Uint8Array) => Uint8Array) => {
    const simulation = new Simulation({ seed: 1 })
    const env = simulation.env('p')
    const sink = file({ path: '/out' })
    await (await sink.open!(contextFor(env))).deliver(goodBatch(0, 0, 2))
    const bytes = damage(simulation.disk().contents().get(path)!)
    const position = env.disk.open(path, 'write')
    position.truncate(0)
    position.write(bytes, 0)
    position.close()
    const writer = await sink.open!(contextFor(env, { epoch: 2 }))
    return writer.stored!(0)
  }
  const sound = await afterwards((bytes) => bytes)
  expect(sound).toBeDefined()
  const firstLine = (bytes: Uint8Array) => bytes.slice(0, bytes.indexOf(10))
  expect(await afterwards(firstLine)).toEqual(sound)
  let length = 1
  for (let at = 0; at < length; at++) {
    const flipped = (bytes: Uint8Array): Uint8Array => {
      length = bytes.length
      return bytes.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte))
    }
    await expect(afterwards(flipped), `byte ${at}`).rejects.toThrow('MR5004')
  }
})

test('a deleted key shows as a line of its own', async () => {
  const simulation = new Simulation({ seed: 1 })
  const writer = await file({ path: '/out', roll: { ms: 0 } }).open!(
    contextFor(simulation.env('p')),
  )
  await writer.deliver(batchOf(0, 0, [{ id: 'a' }, undefined]))
  expect(visible(simulation.disk(), 0)).toEqual([{ id: 'a' }, { $key: 'k0-1', $deleted: true }])
})

test('names cannot lead out of the directory, and stay apart', () => {
  const names = ['a/b', '../x', 'a-b', 'a_b', 'ü', 'a%2db', 'a.b']
  const safe = names.map(safeName)
  expect(new Set(safe).size).toBe(names.length)
  for (const name of safe) expect(name).toMatch(/^[A-Za-z0-9_.%]+$/)
})

test('options that cannot work are refused when they are given', () => {
  expect(() => file({ path: '' })).toThrow(/MR5009/)
  expect(() => file({ path: 'x', roll: { ms: -1 } })).toThrow(/MR5009/)
  expect(() => file({ path: 'x', roll: { bytes: Number.NaN } })).toThrow(/MR5009/)
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Env } from '../core/env/env.ts'
import { Simulation } from '../core/env/simulated/index.ts'
import { MemoryLog } from '../../tests/support/memory-log.ts'
import { watchFiles } from '../../tests/support/open-files.ts'
import type { ChangelogSource } from './changelog-source.ts'
import { jsonCodec } from './codecs.ts'
import { MemoryStore } from './memory.ts'
import { restoreStores } from './restore.ts'
import { loadSnapshot, SnapshotMaker, snapshotOnce } from './snapshot.ts'

const changelog = 'p.stage.counts.changelog'
const dir = 'data/state'

function newStore(): MemoryStore<{ n: number }> {
  return new MemoryStore({
    name: 's',
    codec: jsonCodec<{ n: number }>(),
    partitionKey: (key) => key,
    maxBytes: 1e9,
  })
}

/** A store that commits to a log, and a disk to keep snapshots on. */
class World {
  readonly simulation = new Simulation({ seed: 1 })
  env = this.simulation.env('engine')
  readonly log = new MemoryLog()
  readonly store = newStore()

  async open(): Promise<this> {
    await this.log.topics.create({ name: changelog, kind: 'changelog', partitions: 2 })
    return this
  }

  async commit(
    entries: readonly (readonly [string, number | undefined])[],
    partition = 0,
  ): Promise<void> {
    const writer = await this.log.open('worker')
    for (const [key, n] of entries) {
      if (n === undefined) this.store.delete(key)
      else this.store.put(key, { n })
    }
    const changes = this.store.changes()
    if (changes !== undefined) writer.state(changelog, partition, changes.bytes, changes.count)
    this.store.committed()
    await writer.commit()
  }

  snapshot(mostBytes?: number): ReturnType<typeof snapshotOnce> {
    return snapshotOnce(this.env, this.log, changelog, 0, dir, mostBytes)
  }

  async restored(): Promise<{ contents: Record<string, number>; from: number }> {
    const store = newStore()
    const target = { changelog, partition: 0, store }
    const [from = 0] = await restoreStores(this.env, this.log, dir, [target])
    return { contents: contentsOf(store), from }
  }

  files(): string[] {
    const folder = `${dir}/${changelog}/0`
    if (!this.env.disk.exists(folder)) return []
    return this.env.disk
      .list(folder)
      .map(({ name }) => name)
      .toSorted()
  }

  /** Turns one byte of a snapshot file. */
  damage(name: string, position: number): void {
    const file = this.env.disk.open(`${dir}/${changelog}/0/${name}`, 'write')
    const byte = new Uint8Array(1)
    file.read(byte, position % file.size())
    byte[0]! ^= 0x40
    file.write(byte, position % file.size())
    file.close()
  }
}

const pathOf = (lsn: number): string => `${dir}/${changelog}/0/${lsn}.snap`

function contentsOf(store: MemoryStore<{ n: number }>): Record<string, number> {
  return Object.fromEntries([...store.entries()].map(([key, { n }]) => [key, n]))
}

describe('snapshots', () => {
  test('snapshot and changelog give the state after the last commit, whenever snapshots were made', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'é', '\u{10000}', '￿', 'long '.repeat(20))
    const commit = fc.array(fc.tuple(key, fc.option(fc.nat(9), { nil: undefined })), {
      maxLength: 6,
      size: 'max',
    })
    const command = fc.oneof(commit, fc.constantFrom('snapshot' as const, 'partial' as const))
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 25, size: 'max' }), async (commands) => {
        const world = await new World().open()
        for (const each of commands) {
          if (each === 'snapshot') await world.snapshot()
          else if (each === 'partial') await world.snapshot(1)
          else await world.commit(each)
          expect((await world.restored()).contents).toEqual(contentsOf(world.store))
          expect(world.files().length).toBeLessThanOrEqual(2)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('a damaged snapshot is passed over for the older one, wherever it is damaged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(100_000), async (position) => {
        const world = await new World().open()
        await world.commit([
          ['a', 1],
          ['b', 2],
        ])
        const older = await world.snapshot()
        await world.commit([
          ['a', 3],
          ['b', undefined],
          ['c', 4],
        ])
        const newer = await world.snapshot()
        expect(world.files()).toEqual([`${older?.lsn}.snap`, `${newer?.lsn}.snap`])
        world.damage(`${newer?.lsn}.snap`, position)
        const { contents, from } = await world.restored()
        expect(contents).toEqual({ a: 3, c: 4 })
        expect(from).toBe(older?.offset)
      }),
      { numRuns: 60 },
    )
  })

  test('a snapshot that the disk does not give back is passed over as a damaged one is', async () => {
    const world = await new World().open()
    await world.commit([['a', 1]])
    await world.snapshot()
    await world.commit([['a', 2]])
    const newer = await world.snapshot()
    const path = `${newer?.lsn}.snap`
    for (const on of ['read', 'open'] as const) {
      world.simulation.disk().inject({ on, path, effect: { error: 'EIO' } })
      expect((await world.restored()).contents).toEqual({ a: 2 })
    }
  })

  test('a snapshot is not built upon half of the one before, nor left half made', async () => {
    const world = await new World().open()
    await world.commit([['a', 1]])
    const older = await world.snapshot()
    await world.commit([['b', 1]])
    const disk = world.simulation.disk()
    const files = world.files()
    disk.hook = (operation, path) => {
      // It was verified a moment before.
      if (operation === 'open' && path.endsWith('.tmp')) disk.flipBit(pathOf(older!.lsn), 85, 0)
      return undefined
    }
    await expect(world.snapshot()).rejects.toMatchObject({ code: 'MR4011' })
    disk.hook = undefined
    disk.flipBit(pathOf(older!.lsn), 85, 0)
    disk.capacityBytes = disk.usedBytes + 50
    await expect(world.snapshot()).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(world.files()).toEqual(files)
    disk.capacityBytes = 2 ** 40
    expect(await world.snapshot()).toMatchObject({ entries: 2 })
  })

  test('state that neither snapshot nor changelog holds is refused, not invented', async () => {
    const world = await new World().open()
    await world.commit([['a', 1]])
    const only = await world.snapshot()
    world.log.cut(changelog, 0, only?.offset ?? 0)
    await world.commit([['b', 1]])
    expect((await world.restored()).contents).toEqual({ a: 1, b: 1 })
    world.damage(`${only?.lsn}.snap`, 80)
    await expect(world.restored()).rejects.toMatchObject({ code: 'MR4011', kind: 'data' })
    await expect(world.snapshot()).rejects.toMatchObject({ code: 'MR4011' })
  })

  test('a snapshot ahead of the log is of another log: it is not used, nor built upon', async () => {
    const world = await new World().open()
    await world.commit([['old', 1]])
    await world.commit([['old', 2]])
    await world.snapshot()
    await world.commit([['old', 3]])
    await world.snapshot()
    const fresh = new World()
    fresh.env = world.env
    await fresh.open()
    await fresh.commit([['new', 1]])
    const store = newStore()
    const [{ next } = { next: 0 }] = await fresh.log.topics.offsets(changelog)
    expect(loadSnapshot(fresh.env, dir, changelog, 0, store, next)).toBe(0)
    expect(store.size).toBe(0)
    expect(await fresh.snapshot()).toMatchObject({ entries: 1 })
    expect((await fresh.restored()).from).toBe(1)
  })

  test.each(['power', 'kill'] as const)(
    'a crash (%s) while a snapshot is made leaves the one before, and the next is made',
    async (kind) => {
      for (let stopAt = 1; stopAt < 40; stopAt++) {
        const world = await new World().open()
        await world.commit([['a', 1]])
        await world.snapshot()
        await world.commit([
          ['a', 2],
          ['b', 1],
        ])
        const { disk } = world.env
        let operations = 0
        const stopping = new Proxy(disk, {
          get(target, name: keyof typeof disk) {
            const value: unknown = target[name]
            if (typeof value !== 'function') return value
            return (...args: unknown[]): unknown => {
              if (++operations === stopAt) throw new Error('stopped here')
              return (value as (...all: unknown[]) => unknown).apply(target, args)
            }
          },
        })
        const made = await snapshotOnce(
          Object.create(world.env, { disk: { value: stopping } }) as Env,
          world.log,
          changelog,
          0,
          dir,
        ).then(
          () => true,
          () => false,
        )
        world.env.crash(kind)
        world.env = world.simulation.env('engine')
        expect((await world.restored()).contents).toEqual({ a: 2, b: 1 })
        await world.commit([['c', 1]])
        expect(await world.snapshot()).toMatchObject({ entries: 3 })
        if (made) return
      }
      throw new Error('the snapshot never got done')
    },
  )

  test('the maker works where enough changelog has come, and trims what the older snapshot covers', async () => {
    const world = await new World().open()
    const maker = await SnapshotMaker.open(
      world.env,
      world.log,
      dir,
      [{ topic: changelog, partitions: 2 }],
      100,
    )
    await world.commit([['a', 1]])
    expect(await maker.round()).toEqual([])
    const big: [string, number][] = Array.from({ length: 20 }, (_, i) => [`key ${i}`, i])
    await world.commit(big)
    const [first] = await maker.round()
    expect(first).toMatchObject({ changelog, partition: 0, entries: 21, spareOffset: 0 })
    expect(world.log.earliest(changelog, 0)).toBe(0)
    expect(await maker.round()).toEqual([])
    // A snapshot is written again only for as much changelog as it has bytes.
    await world.commit(big.slice(0, 10))
    expect(await maker.round()).toEqual([])
    for (let i = 1; i < 3; i++) await world.commit(big.map(([key, n]) => [key, n + i]))
    const next = await maker.round()
    expect(next[0]).toMatchObject({ entries: 21, spareOffset: first?.offset })
    expect(world.log.earliest(changelog, 0)).toBe(next.at(-1)?.spareOffset)
    expect((await world.restored()).contents).toEqual(contentsOf(world.store))
    // Much more than one snapshot takes in: none of it is forgotten.
    for (let i = 0; i < 200; i++) await world.commit([[`key ${i % 20}`, i]])
    const more = await maker.round()
    expect(more.length).toBeGreaterThan(3)
    const [end] = await world.log.topics.offsets(changelog)
    expect(end!.next - (await world.restored()).from).toBeLessThan(60)
    world.damage(`${more.at(-1)?.lsn}.snap`, 70)
    expect((await world.restored()).contents).toEqual(contentsOf(world.store))
    maker.close()
  })

  test('the maker brings all stores up to where they end when it is asked to, and says how they stand', async () => {
    const world = await new World().open()
    const changelogs = [{ topic: changelog, partitions: 2 }]
    const maker = await SnapshotMaker.open(world.env, world.log, dir, changelogs, 100)
    const wanted = new Set([changelog])
    const empty = { changelog, lsn: undefined, entries: 0, bytes: 0, ms: 0 }
    expect(await maker.now(wanted)).toEqual([
      { ...empty, partition: 0 },
      { ...empty, partition: 1 },
    ])
    // More than one snapshot takes in.
    for (let i = 0; i < 60; i++) await world.commit([[`key ${i % 7}`, i]])
    expect(await maker.now(new Set(['another']))).toEqual([])
    const [first] = await maker.now(wanted)
    expect(first).toMatchObject({ changelog, partition: 0, entries: 7 })
    const [end] = await world.log.topics.offsets(changelog)
    expect(await world.restored()).toEqual({ contents: contentsOf(world.store), from: end!.next })
    expect(await maker.round()).toEqual([])
    // Nothing is made twice.
    const files = world.files()
    expect((await maker.now(wanted))[0]).toEqual({ ...first, ms: 0 })
    expect(world.files()).toEqual(files)
    maker.close()
  })

  test('I7: many small commits make a snapshot due before their bytes do, so that a restart has few to read', async () => {
    const world = await new World().open()
    const snapshotBytes = 128 * 1024
    const changelogs = [{ topic: changelog, partitions: 2 }]
    const maker = await SnapshotMaker.open(world.env, world.log, dir, changelogs, snapshotBytes)
    let commits = 0
    let made: readonly { bytes: number }[] = []
    while (made.length === 0 && commits < 1_000) {
      for (let i = 0; i < 10; i++) await world.commit([['time', commits++]])
      made = await maker.round()
    }
    expect(commits).toBeGreaterThan(256)
    expect(commits).toBeLessThan(512)
    // It counts anew from there.
    await world.commit([['time', 0]])
    expect(await maker.round()).toEqual([])
    maker.close()
  })

  test('a maker begins without reading snapshots through, and makes the next of the newest that is whole', async () => {
    const world = await new World().open()
    await world.commit([['a', 1]])
    await world.snapshot()
    await world.commit([['b', 1]])
    const newest = await world.snapshot()
    world.damage(`${newest?.lsn}.snap`, 80)
    const disk = world.simulation.disk()
    let reads = 0
    disk.hook = (operation, path) => {
      if (operation === 'read' && path.endsWith('.snap')) reads++
      return undefined
    }
    const changelogs = [{ topic: changelog, partitions: 2 }]
    const maker = await SnapshotMaker.open(world.env, world.log, dir, changelogs, 100)
    expect(reads).toBe(1)
    disk.hook = undefined
    for (let i = 0; i < 40; i++) await world.commit([[`key ${i}`, i]])
    expect(await maker.round()).not.toEqual([])
    expect((await world.restored()).contents).toEqual(contentsOf(world.store))
    maker.close()
  })

  test('a maker that begins with a snapshot keeps no file open', async () => {
    const world = await new World().open()
    await world.commit([['a', 1]])
    await world.snapshot()
    const open = watchFiles(world.env.disk)
    const changelogs = [{ topic: changelog, partitions: 2 }]
    const maker = await SnapshotMaker.open(world.env, world.log, dir, changelogs, 100)
    for (let i = 0; i < 40; i++) await world.commit([[`key ${i}`, i]])
    expect(await maker.round()).not.toEqual([])
    maker.close()
    expect(open()).toEqual([])
  })

  test('I7: restores although two snapshots are made, and the changelog is trimmed, while it does', async () => {
    const world = await new World().open()
    await world.commit([
      ['a', 1],
      ['b', 1],
    ])
    await world.snapshot()
    let races = 2
    const log: ChangelogSource = {
      topics: world.log.topics,
      // Between the choice of a snapshot and the first read of the changelog.
      reader: async (from) => {
        for (; races > 0; races--) {
          await world.commit([
            ['a', undefined],
            ['c', races],
          ])
          const made = await world.snapshot()
          await world.log.topics.trim(changelog, 0, made!.spareOffset)
        }
        return world.log.reader(from)
      },
    }
    const store = newStore()
    await restoreStores(world.env, log, dir, [{ changelog, partition: 0, store }])
    expect(contentsOf(store)).toEqual({ b: 1, c: 1 })
  })
})

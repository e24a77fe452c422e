import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DiskError } from '../env.ts'
import type { Disk, DiskFile } from '../env.ts'
import { ProcessDied, Simulation } from './index.ts'
import type { CrashKind, DiskFault, SimulatedEnv } from './index.ts'

const path = '/data/file'

interface Stage {
  readonly world: Simulation
  readonly env: SimulatedEnv
  readonly disk: Disk
  readonly file: DiskFile
}

/** A process with one file whose first 2,000 bytes and whose name are durable. */
function stage(seed: number): Stage {
  const world = new Simulation({ seed })
  const env = world.env('p')
  const { disk } = env
  disk.mkdir('/data')
  disk.fsyncDir('/')
  const file = disk.open(path, 'create')
  file.write(new Uint8Array(2000).fill(1), 0)
  file.fdatasync()
  disk.fsyncDir('/data')
  return { world, env, disk, file }
}

function after(world: Simulation, env: SimulatedEnv, kind: CrashKind): Uint8Array | undefined {
  env.crash(kind)
  return world.disk().contents().get(path)
}

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return 'ok'
  } catch (error) {
    if (error instanceof DiskError) return error.code
    throw error
  }
}

/** Runs `check` on many seeds and counts what it says. */
function tally(seeds: number, check: (seed: number) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let seed = 0; seed < seeds; seed++) {
    const said = check(seed)
    counts[said] = (counts[said] ?? 0) + 1
  }
  return counts
}

describe('a killed process', () => {
  test('leaves everything it wrote visible, synced or not', () => {
    const { world, env, disk, file } = stage(1)
    file.write(new Uint8Array(100).fill(9), 2000)
    disk.rename(path, '/data/renamed')
    env.crash('kill')
    const files = world.disk().contents()
    expect([...files.keys()]).toEqual(['/data/renamed'])
    expect(files.get('/data/renamed')?.length).toBe(2100)
  })

  test('frees its locks, and a living one keeps them', () => {
    const world = new Simulation({ seed: 1 })
    const first = world.env('first')
    const second = world.env('second')
    expect(first.disk.lock('/LOCK')).toBeDefined()
    expect(second.disk.lock('/LOCK')).toBeUndefined()
    first.crash('kill')
    expect(second.disk.lock('/LOCK')).toBeDefined()
  })

  test('can do nothing more to the disk, through the disk or a file it has open', () => {
    const { world, env, disk, file } = stage(1)
    const before = world.disk().contents()
    env.crash('kill')
    for (const act of [
      () => file.write(new Uint8Array(9), 0),
      () => file.truncate(0),
      () => disk.unlink(path),
      () => disk.rename(path, '/data/x'),
    ]) {
      expect(act).toThrow(ProcessDied)
    }
    expect(world.disk().contents()).toEqual(before)
  })
})

describe('a power cut', () => {
  test('loses none, all, or some of what was written and not synced, never what was', () => {
    const counts = tally(300, (seed) => {
      const { world, env, file } = stage(seed)
      file.write(new Uint8Array(3000).fill(9), 2000)
      const content = after(world, env, 'power')
      if (content === undefined) return 'file gone'
      if (content.subarray(0, 2000).some((byte) => byte !== 1)) return 'synced bytes changed'
      const rest = content.subarray(2000)
      if (rest.length === 0) return 'none'
      if (rest.length === 3000 && rest.every((byte) => byte === 9)) return 'all'
      if (rest.every((byte) => byte === 9)) return 'shorter'
      return rest.every((byte) => byte === 9 || byte === 0) ? 'zeros' : 'garbage'
    })
    expect(Object.keys(counts).sort()).toEqual(['all', 'garbage', 'none', 'shorter', 'zeros'])
  })

  test('tears an overwrite at sectors, and never touches bytes beside it in a sector', () => {
    const counts = tally(300, (seed) => {
      const { world, env, file } = stage(seed)
      file.write(new Uint8Array(1024).fill(9), 100)
      const content = after(world, env, 'power') ?? new Uint8Array(0)
      const outside = [...content.subarray(0, 100), ...content.subarray(1124)]
      if (outside.length !== 976 || outside.some((byte) => byte !== 1)) return 'neighbours changed'
      const inside = new Set(content.subarray(100, 1124))
      return inside.size > 2 ? 'garbage' : [...inside].map(String).sort().join('')
    })
    expect(Object.keys(counts).sort()).toEqual(['1', '19', '9', 'garbage'])
  })

  test('changes sides only where a sector begins', () => {
    const edges = new Set<number>()
    for (let seed = 0; seed < 100; seed++) {
      const { world, env, file } = stage(seed)
      file.write(new Uint8Array(1700).fill(9), 100)
      const content = after(world, env, 'power')
      if (content === undefined || content.some((byte) => byte !== 1 && byte !== 9)) continue
      // A prefix is cut anywhere; where old bytes stand before new ones it was sectors.
      for (let i = 101; i < 1799; i++) if (content[i - 1] === 1 && content[i] === 9) edges.add(i)
    }
    expect([...edges].toSorted((a, b) => a - b)).toEqual([512, 1024, 1536])
  })

  test('can take a new file whose bytes were synced but whose name was not', () => {
    const counts = tally(100, (seed) => {
      const { world, env, disk } = stage(seed)
      const file = disk.open('/data/new', 'create')
      file.write(new Uint8Array(10), 0)
      file.fdatasync()
      env.crash('power')
      return String(world.disk().contents().get('/data/new')?.length)
    })
    expect(Object.keys(counts).sort()).toEqual(['10', 'undefined'])
  })

  test('can bring back a removed name, and undo a rename, until the directory is synced', () => {
    const names = (seed: number, sync: boolean): string => {
      const { world, env, disk } = stage(seed)
      disk.rename(path, '/data/renamed')
      disk.open('/data/gone', 'create').close()
      disk.fsyncDir('/data')
      disk.unlink('/data/gone')
      disk.rename('/data/renamed', '/data/again')
      if (sync) disk.fsyncDir('/data')
      env.crash('power')
      return [...world.disk().contents().keys()]
        .map((name) => name.slice(6))
        .sort()
        .join(' ')
    }
    const unsynced = tally(100, (seed) => names(seed, false))
    expect(Object.keys(unsynced).sort()).toEqual(['again', 'again gone', 'gone renamed', 'renamed'])
    expect(tally(50, (seed) => names(seed, true))).toEqual({ again: 50 })
  })

  test('moves a file between directories whole: it is in one of them, never in both or neither', () => {
    const counts = tally(100, (seed) => {
      const { world, env, disk } = stage(seed)
      disk.mkdir('/other')
      disk.fsyncDir('/')
      disk.rename(path, '/other/file')
      if (seed % 2 === 0) disk.fsyncDir(seed % 4 === 0 ? '/other' : '/data')
      env.crash('power')
      return [...world.disk().contents().keys()].join(' ')
    })
    expect(Object.keys(counts).sort()).toEqual(['/data/file', '/other/file'])
    expect(counts['/other/file']).toBeGreaterThan(50)
  })

  test('never puts an older name over a newer one, whichever directory is synced first', () => {
    const { world, env, disk } = stage(1)
    disk.mkdir('/other')
    disk.fsyncDir('/')
    disk.open('/other/file', 'create').close()
    disk.rename(path, '/other/file')
    disk.fsyncDir('/data')
    disk.fsyncDir('/other')
    env.crash('power')
    expect(world.disk().contents().get('/other/file')?.length).toBe(2000)
  })

  test('ends every process on the machine and no other', () => {
    const world = new Simulation({ seed: 1 })
    const here = [world.env('a'), world.env('b')]
    const elsewhere = world.env('c', world.disk('other'))
    here[0]?.crash('power')
    expect(here.map(({ alive }) => alive)).toEqual([false, false])
    expect(elsewhere.alive).toBe(true)
  })
})

describe('an injected fault', () => {
  test('fails the n-th matching operation and no other', () => {
    const { world, file } = stage(1)
    world.disk().inject({ on: 'write', path: 'file', nth: 2, times: 2, effect: { error: 'EIO' } })
    const write = (): unknown => file.write(new Uint8Array(1), 0)
    expect([write, write, write, write].map(codeOf)).toEqual(['ok', 'EIO', 'EIO', 'ok'])
  })

  test('on a sync leaves bytes that programs see and no later sync brings to the disk', () => {
    const { world, env, file } = stage(1)
    world.disk().inject({ on: 'fdatasync', effect: { error: 'EIO' } })
    file.write(new Uint8Array(100).fill(9), 2000)
    expect(codeOf(() => file.fdatasync())).toBe('EIO')
    expect(codeOf(() => file.fdatasync())).toBe('ok')
    expect(file.size()).toBe(2100)
    expect(after(world, env, 'power')?.length).toBe(2000)
  })

  test('writes short', () => {
    const { world, file } = stage(1)
    world.disk().inject({ on: 'write', effect: { short: 3 } })
    expect(file.write(new Uint8Array(10), 0)).toBe(3)
  })

  test('takes a crash between any two changes of the disk', () => {
    const work = (fault?: DiskFault): { died: boolean; changes: number } => {
      const world = new Simulation({ seed: 5 })
      if (fault !== undefined) world.disk().inject(fault)
      const { disk } = world.env('p')
      let died = false
      try {
        disk.mkdir('/data')
        const file = disk.open(path, 'create')
        file.write(new Uint8Array(10), 0)
        file.fdatasync()
        file.close()
        disk.rename(path, '/data/b')
        disk.fsyncDir('/data')
      } catch (error) {
        expect(error).toBeInstanceOf(ProcessDied)
        died = true
      }
      return { died, changes: world.disk().changes }
    }
    const { changes } = work()
    expect(changes).toBe(6)
    for (let nth = 1; nth <= changes; nth++) {
      const effect = { crash: 'power', moment: 'before' } as const
      expect(work({ on: 'change', nth, effect })).toEqual({ died: true, changes: nth })
    }
    expect(work({ on: 'change', nth: 7, effect: { crash: 'kill' } }).died).toBe(false)
  })

  test('flips a bit that stays flipped through a crash', () => {
    const { world, env } = stage(1)
    world.disk().flipBit(path, 7, 2)
    const content = after(world, env, 'power')
    expect(content?.[7]).toBe(5)
    expect(content?.[8]).toBe(1)
  })
})

describe('a full disk', () => {
  test('takes what fits, then refuses, and goes on when there is room again', () => {
    const { world, disk, file } = stage(1)
    world.disk().capacityBytes = 2050
    expect(file.write(new Uint8Array(100), 2000)).toBe(50)
    expect(codeOf(() => file.write(new Uint8Array(1), 2050))).toBe('ENOSPC')
    expect(codeOf(() => file.truncate(2051))).toBe('ENOSPC')
    expect(file.write(new Uint8Array(100), 0)).toBe(100)
    expect(disk.space('/').free).toBe(0)
    file.truncate(1000)
    expect(disk.space('/').free).toBe(1050)
    file.close()
    disk.unlink(path)
    expect(disk.space('/').free).toBe(2050)
  })
})

/** What a program may count on, by the two rules of `Env` and nothing else. */
interface Owed {
  content: Uint8Array
  settled: boolean
}

test('after any work and a power cut, all that was synced and left alone since is there', () => {
  const action = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    do: fc.constantFrom('write', 'truncate', 'sync', 'syncDirectory', 'remove', 'reopen'),
    at: fc.integer({ min: 0, max: 1500 }),
    length: fc.integer({ min: 1, max: 1500 }),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), fc.nat(), (actions, seed) => {
      const world = new Simulation({ seed })
      const env = world.env('p')
      env.disk.mkdir('/data')
      env.disk.fsyncDir('/')
      const files = new Map<string, Owed>()
      let names: string[] | undefined = []
      for (const { name, do: what, at, length, fill } of actions) {
        const here = `/data/${name}`
        if (what === 'syncDirectory') {
          env.disk.fsyncDir('/data')
          names = [...files.keys()]
          continue
        }
        if (what === 'remove') {
          if (files.delete(here)) env.disk.unlink(here)
          names = undefined
          continue
        }
        if (!files.has(here)) names = undefined
        const file = env.disk.open(here, 'write')
        const owed = files.get(here) ?? { content: new Uint8Array(0), settled: true }
        files.set(here, owed)
        if (what === 'write') {
          file.write(new Uint8Array(length).fill(fill), at)
          const content = new Uint8Array(Math.max(owed.content.length, at + length))
          content.set(owed.content)
          owed.content = content.fill(fill, at, at + length)
          owed.settled = false
        }
        if (what === 'truncate') {
          file.truncate(at)
          const content = new Uint8Array(at)
          content.set(owed.content.subarray(0, at))
          owed.content = content
          owed.settled = false
        }
        if (what === 'sync') {
          file.fdatasync()
          owed.settled = true
        }
        file.close()
      }
      env.crash('power')
      if (names === undefined) return
      const found = world.disk().contents()
      expect([...found.keys()].sort()).toEqual(names.sort())
      for (const [name, { content, settled }] of files) {
        if (settled) expect(found.get(name)).toEqual(content)
      }
    }),
    { numRuns: 1000 },
  )
})

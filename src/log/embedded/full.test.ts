import { describe, expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { DiskOperation, SimulatedEnv } from '../../core/env/simulated/index.ts'
import type { CommitResult, Writer } from '../log.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import { openEmbeddedLog } from './index.ts'
import type { LocalLog } from './index.ts'

const small = { directory: 'data', segmentBytes: 8_000, checkpointBytes: 20_000 }
const place = { topic: 'a', partition: 0, offset: 0 }

async function driven(sim: Simulation, body: () => Promise<void>): Promise<void> {
  const running = body()
  let ended = false
  running.finally(() => (ended = true)).catch(() => {})
  await sim.runUntil(() => ended)
  await running
}

/** Runs a body against a log whose disk misbehaves, driving the simulation. */
async function withLog(
  reserve: { low: number; high: number },
  body: (h: {
    sim: Simulation
    env: SimulatedEnv
    log: LocalLog
    put: (value: string) => Promise<CommitResult>
    writer: Writer
    failed: () => unknown
  }) => Promise<void>,
): Promise<void> {
  const sim = new Simulation({ seed: 'full' })
  let failure: unknown
  await driven(sim, async () => {
    const env = sim.env('engine')
    const log = await openEmbeddedLog({
      env,
      ...small,
      reserve,
      onFailed: (error) => (failure = error),
    })
    await log.topics.create(topic('a'))
    const writer = await log.open('w')
    const put = async (value: string): Promise<CommitResult> => {
      // Longer than the interval in which the free space is looked at.
      await env.timers.sleep(1_000)
      writer.append('a', 0, blockOf([value]), 1)
      return await writer.commit()
    }
    await body({ sim, env, log, put, writer, failed: () => failure })
  })
}

/** A process on a disk of its own with the same files, as if this one had been killed now. */
function copyOf(sim: Simulation): SimulatedEnv {
  const env = new Simulation({ seed: 'copy' }).env('copy')
  env.disk.mkdir('data/log')
  for (const [path, bytes] of sim.disk().contents()) {
    const file = env.disk.open(path, 'write')
    if (bytes.length > 0) file.write(bytes, 0)
    file.close()
  }
  return env
}

async function readAll(log: LocalLog): Promise<string[]> {
  return valuesOf(drain(await log.reader([place])).blocks).map((value) => value.trim())
}

describe('a full disk', () => {
  test('refuses commits with 507, goes on by itself when there is space, and loses nothing', () =>
    withLog({ low: 0, high: 0 }, async ({ sim, log, put, failed }) => {
      const disk = sim.disk()
      const there: string[] = []
      for (let round = 0; round < 4; round++) {
        // In the middle of a frame, at the start of one, and while a segment is made.
        disk.capacityBytes = disk.usedBytes + 1_000 + round * 3_000
        let refused = 0
        for (let i = 0; refused < 3; i++) {
          const value = `${round}-${i}`
          const result = await put(value.padEnd(700))
          if (result.outcome === 'committed') there.push(value)
          else {
            expect(result).toMatchObject({
              outcome: 'refused',
              error: { code: 'MR2007', status: 507 },
            })
            refused++
          }
        }
        expect(await readAll(log)).toEqual(there)
        disk.capacityBytes = 2 ** 40
        expect(await put(`after ${round}`)).toMatchObject({ outcome: 'committed' })
        there.push(`after ${round}`)
      }
      expect(await readAll(log)).toEqual(there)
      expect(failed()).toBeUndefined()
      await log.stop()
      const again = await openEmbeddedLog({ env: sim.env('next'), ...small })
      expect(await readAll(again)).toEqual(there)
    }))

  test('is entered below the low watermark and left only above the high one; positions still commit', () =>
    withLog({ low: 50_000, high: 80_000 }, async ({ sim, put, writer }) => {
      const disk = sim.disk()
      const free = async (bytes: number): Promise<string> => {
        disk.capacityBytes = disk.usedBytes + bytes
        return (await put('x')).outcome
      }
      expect(await free(90_000)).toBe('committed')
      expect(await free(60_000)).toBe('committed')
      expect(await free(49_000)).toBe('refused')
      writer.position('g', { topic: 'a', partition: 0, offset: 1, meta: '' })
      expect((await writer.commit()).outcome).toBe('committed')
      expect(await free(60_000)).toBe('refused')
      expect(await free(79_000)).toBe('refused')
      expect(await free(81_000)).toBe('committed')
      expect(await free(60_000)).toBe('committed')
    }))

  test('is told with the directory and whole numbers of bytes', async () => {
    const sim = new Simulation({ seed: 'odd' })
    sim.disk().capacityBytes = 1_000_003
    await driven(sim, async () => {
      const log = await openEmbeddedLog({ env: sim.env('engine'), directory: 'data' })
      await log.topics.create(topic('a'))
      const writer = await log.open('w')
      const client = await log.connect()
      expect(client.full).toBe(false)
      sim.disk().capacityBytes = sim.disk().usedBytes + 123
      writer.append('a', 0, blockOf(['x']), 1)
      const result = await writer.commit()
      if (result.outcome !== 'refused') throw new Error(result.outcome)
      expect(client.full).toBe(true)
      // By default 5 % of the disk, and half as much again.
      expect(result.error.details).toEqual({ directory: 'data', free: 123, needed: 75_000 })
      expect(result.error.message).toContain(
        'There are 123 bytes free for data; the log takes records again from 75000 on.',
      )
      // Noticed although nobody commits.
      sim.disk().capacityBytes = 2 ** 40
      await log.host.retain()
      expect(client.full).toBe(false)
    })
  })

  test('leaves no part of a frame behind', () =>
    withLog({ low: 0, high: 0 }, async ({ sim, put }) => {
      await put('kept')
      sim.disk().capacityBytes = sim.disk().usedBytes + 600
      expect((await put('x'.repeat(2000))).outcome).toBe('refused')
      // Cut off here: the next life finds a clean log, not a torn one.
      const files = [...sim.disk().contents().keys()].filter((path) => path.endsWith('.seg'))
      sim.disk().capacityBytes = 2 ** 40
      const again = await openEmbeddedLog({ env: copyOf(sim), ...small })
      expect(again.report.tornBytes).toBe(0)
      expect(files).toHaveLength(1)
    }))

  test('refuses a change of the catalog too, and opens without space', () =>
    withLog({ low: 0, high: 0 }, async ({ sim, log, put }) => {
      await put('kept')
      await log.stop()
      const disk = sim.disk()
      disk.capacityBytes = disk.usedBytes
      const again = await openEmbeddedLog({
        env: sim.env('next'),
        ...small,
        reserve: { low: 0, high: 0 },
      })
      await expect(again.topics.create(topic('b'))).rejects.toMatchObject({ code: 'MR2007' })
      expect(await readAll(again)).toEqual(['kept'])
      disk.capacityBytes = 2 ** 40
      await again.topics.create(topic('b'))
    }))
})

describe('a start with 0 bytes free', () => {
  const all = Array.from({ length: 30 }, (_, i) => `${i}`)
  const none = { ...small, reserve: { low: 0, high: 0 } }

  async function fill(env: SimulatedEnv): Promise<Writer> {
    const log = await openEmbeddedLog({ env, ...none })
    await log.topics.create(topic('a'))
    const writer = await log.open('w')
    for (const value of all) {
      writer.append('a', 0, blockOf([value.padEnd(700)]), 1)
      expect((await writer.commit()).outcome).toBe('committed')
    }
    return writer
  }

  test.each(['kill', 'power'] as const)(
    'after a %s reads all there is, and takes records again when there is space',
    async (how) => {
      const sim = new Simulation({ seed: how })
      const disk = sim.disk()
      const killed = sim.env('engine')
      await driven(sim, async () => void (await fill(killed)))
      killed.crash(how)
      disk.capacityBytes = disk.usedBytes
      await driven(sim, async () => {
        const log = await openEmbeddedLog({ env: sim.env('engine'), ...none })
        expect(await readAll(log)).toEqual(all)
        await expect(log.open('w')).rejects.toMatchObject({ code: 'MR2007' })
        disk.capacityBytes = 2 ** 40
        const writer = await log.open('w')
        writer.append('a', 0, blockOf(['more']), 1)
        expect((await writer.commit()).outcome).toBe('committed')
        expect(await readAll(log)).toEqual([...all, 'more'])
      })
    },
  )

  test('that has to write something is refused with what is free, and succeeds with space', async () => {
    const sim = new Simulation({ seed: 'new' })
    const disk = sim.disk()
    const refused = { code: 'MR2007', details: { directory: 'data', free: 0 } }
    const open = () => openEmbeddedLog({ env: sim.env('engine'), ...none })
    await driven(sim, async () => {
      disk.capacityBytes = 0
      await expect(open()).rejects.toMatchObject(refused)
      disk.capacityBytes = 2 ** 40
    })
    const killed = sim.env('engine')
    await driven(sim, async () => {
      const writer = await fill(killed)
      // The first write begins another segment.
      const effect = { crash: 'kill', moment: 'middle' } as const
      disk.inject({ on: 'write', path: '.seg', nth: 2, effect })
      writer.append('a', 0, blockOf(['x'.repeat(7_000)]), 1)
      void writer.commit()
    })
    await sim.runUntil(() => !killed.alive)
    disk.capacityBytes = disk.usedBytes
    await driven(sim, async () => {
      // There is a tail to put aside before it is cut off.
      await expect(open()).rejects.toMatchObject(refused)
      disk.capacityBytes = 2 ** 40
      const log = await open()
      expect(log.report.tornBytes).toBeGreaterThan(0)
      expect(await readAll(log)).toEqual(all)
    })
  })
})

describe('a failing disk', () => {
  test.each([
    ['fdatasync', '.seg'],
    ['fdatasync', 'MARK'],
    ['write', '.seg'],
    ['write', 'MARK'],
  ] as [DiskOperation, string][])(
    'stops the log at a failed %s of %s: unknown, then nothing more, until a start decides',
    (on, path) =>
      withLog({ low: 0, high: 0 }, async ({ sim, env, log, put, failed }) => {
        await put('acknowledged')
        sim.disk().inject({ on, path, effect: { error: 'EIO' } })
        expect(await put('unknown')).toMatchObject({
          outcome: 'unknown',
          error: { code: 'MR2008', status: 503 },
        })
        expect(await readAll(log)).toEqual(['acknowledged'])
        const { changes } = sim.disk()
        const writer = await log.open('other').catch((error: unknown) => error)
        expect(writer).toMatchObject({ code: 'MR2008' })
        expect(await put('later')).toMatchObject({ outcome: 'refused' })
        expect(sim.disk().changes).toBe(changes)
        expect(failed()).toMatchObject({ code: 'MR2008' })
        const there = ['acknowledged']
        for (const how of ['kill', 'power'] as const) {
          env.crash(how)
          const again = await openEmbeddedLog({ env: sim.env('engine'), ...small })
          const read = await readAll(again)
          // Whole or not at all, and what one start decided the next one finds.
          if (how === 'kill' && read.includes('unknown')) there.push('unknown')
          expect(read).toEqual(there)
          const next = await again.open('w')
          next.append('a', 0, blockOf([how]), 1)
          expect((await next.commit()).outcome).toBe('committed')
          there.push(how)
          expect(await readAll(again)).toEqual(there)
          await again.stop()
        }
      }),
  )

  test('that is full only at the sync is a failing one', () =>
    withLog({ low: 0, high: 0 }, async ({ sim, put, failed }) => {
      sim.disk().inject({ on: 'fdatasync', path: '.seg', effect: { error: 'ENOSPC' } })
      expect((await put('x')).outcome).toBe('unknown')
      expect(failed()).toBeDefined()
    }))

  test('short writes are gone on with', () =>
    withLog({ low: 0, high: 0 }, async ({ sim, log, put }) => {
      sim.disk().inject({ on: 'write', path: '.seg', times: 5, effect: { short: 100 } })
      expect((await put('x'.repeat(1000))).outcome).toBe('committed')
      expect(await readAll(log)).toEqual(['x'.repeat(1000)])
    }))
})

test('a disk that does not say how much room it has is no reason not to start', async () => {
  const sim = new Simulation({ seed: 'space' })
  sim.disk().inject({ on: 'space', times: Infinity, effect: { error: 'EIO' } })
  await driven(sim, async () => {
    const log = await openEmbeddedLog({ env: sim.env('engine'), directory: 'data' })
    await log.topics.create(topic('a'))
    await log.stop()
  })
})

test('an error at closing files that are synced keeps nobody from opening the directory again', () =>
  withLog({ low: 0, high: 0 }, async ({ sim, log, put }) => {
    await put('kept')
    sim.disk().inject({ on: 'close', times: Infinity, effect: { error: 'EIO' } })
    await log.stop()
    sim.disk().faults.clear()
    const again = await openEmbeddedLog({ env: sim.env('next'), ...small })
    expect(await readAll(again)).toEqual(['kept'])
  }))

test('a log thread that ends leaves commits unknown and refuses the rest', () =>
  withLog({ low: 0, high: 0 }, async ({ log, put }) => {
    const client = await log.connect()
    const writer = await client.open('other')
    writer.append('a', 0, blockOf(['x']), 1)
    const committing = writer.commit()
    client.close()
    expect(await committing).toMatchObject({ outcome: 'unknown' })
    await expect(client.positions('g')).rejects.toMatchObject({ code: 'MR2009' })
    expect((await writer.commit()).outcome).toBe('refused')
    await Promise.all([log.host.stop(), log.host.stop()])
    expect(await put('after')).toMatchObject({ outcome: 'refused', error: { code: 'MR2009' } })
  }))

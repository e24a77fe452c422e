/** Backups hold what was acknowledged when they were begun, open by themselves, and are restored whole or not at all. */
import { describe, expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import {
  all,
  damaged,
  digest,
  golden,
  inSimulation,
  restored,
  small,
} from '../log/embedded/damage.suite.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { blockOf, drain, topic, valuesOf } from '../log/log.suite.ts'
import { makeBackup, restoreBackup } from './backup-directory.ts'
import type { Restored } from './backup-directory.ts'

/** To its end, letting others run between its steps. */
async function stepped<T>(env: SimulatedEnv, work: Generator<unknown, T>): Promise<T> {
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value
    await env.timers.yield()
  }
}

async function recordsOf(env: SimulatedEnv, directory: string, name: string): Promise<number[]> {
  const log = await openEmbeddedLog({ env, ...small, directory })
  const { earliest = 0 } = (await log.topics.offsets(name))[0] ?? {}
  const { blocks, end } = drain(await log.reader([{ topic: name, partition: 0, offset: earliest }]))
  await log.stop()
  expect(end.result).toBe('caught-up')
  return valuesOf(blocks).map((value) => Number(value.split(' ')[0]))
}

describe('a backup', () => {
  test('of an engine at work has all that was acknowledged before, survives a power cut, and is restored', async () => {
    const sim = new Simulation({ seed: 'backup' })
    const env = sim.env('engine')
    const other = sim.env('backup')
    await inSimulation(
      sim,
      (async () => {
        const log = await openEmbeddedLog({ env, ...small, segmentBytes: 30_000, stepped: true })
        await log.topics.create({ ...topic('passing'), retentionBytes: 20_000 })
        await log.topics.create(topic('kept'))
        const writer = await log.open('w')
        let kept = -1
        let done = false
        const work = (async () => {
          for (let i = 0; i < 160; i++) {
            writer.append('passing', 0, blockOf([`${i} ${'x'.repeat(2_000)}`]), 1)
            if (i % 10 === 0) writer.append('kept', 0, blockOf([`${i}`]), 1)
            expect((await writer.commit()).outcome).toBe('committed')
            if (i % 10 === 0) kept = i
            if (i % 20 === 19) await log.host.retain()
          }
          done = true
        })()
        let archives = 0
        for (let n = 0; !done; n++) {
          const before = kept
          const made = await stepped(other, makeBackup(other, small.directory, `backup-${n}`))
          expect(made.report.findings).toEqual([])
          const back = await stepped(other, restoreBackup(other, `backup-${n}`, `back-${n}`, false))
          expect(back.report.findings).toEqual([])
          expect(back.logId).not.toBe(back.formerLogId)
          for (const directory of [`backup-${n}`, `back-${n}`]) {
            const names = other.disk.list(`${directory}/log`).map(({ name }) => name)
            if (names.some((name) => name.endsWith('.arc'))) archives++
            const records = await recordsOf(other, directory, 'kept')
            expect(records).toEqual(records.map((_, i) => i * 10))
            expect(records.at(-1) ?? -1).toBeGreaterThanOrEqual(before)
            const passing = await recordsOf(other, directory, 'passing')
            expect(passing).toEqual(passing.map((_, i) => passing[0]! + i))
          }
        }
        await work
        const last = await stepped(other, makeBackup(other, small.directory, 'last'))
        expect(last.lsn).toBeGreaterThan(160)
        expect(archives).toBeGreaterThan(3)
        env.crash('power')
        const next = sim.env('next')
        expect((await recordsOf(next, 'last', 'kept')).at(-1)).toBe(150)
      })(),
    )
  })

  test('with a flipped bit is refused, or restores to the very same records', async () => {
    const source = restored(await golden())
    await inSimulation(
      source.sim,
      stepped(source.env, makeBackup(source.env, small.directory, 'backup')),
    )
    const files = new Map(
      [...source.disk.contents()]
        .filter(([path]) => path.startsWith('/backup/'))
        .map(([path, bytes]) => [path.replace('/backup/', `/${small.directory}/`), bytes]),
    )
    const random = new SeededRandom(3, 'backup bits')
    const tally = { refused: 0, restored: 0 }
    for (const [path, bytes] of files) {
      for (let i = 0; i < Math.min(8, bytes.length); i++) {
        const at = random.int(random.chance(0.5) ? Math.min(bytes.length, 120) : bytes.length)
        const { sim, env, disk } = restored(damaged(files, path, at, random.int(8)))
        const before = digest(disk)
        const outcome = await inSimulation(sim, outcomeOf(env))
        if (outcome instanceof MillraceError) {
          tally.refused++
          expect(['MR2018', 'MR2002', 'MR2003', 'MR2004']).toContain(outcome.code)
          expect(digest(disk)).toEqual(before)
        } else {
          tally.restored++
          expect(await inSimulation(sim, recordsOf(env, 'back', 'a'))).toEqual(all)
        }
      }
    }
    expect(tally.refused).toBeGreaterThan(20)
    expect(tally.restored).toBeGreaterThan(0)
  })

  test('is not written over anything', async () => {
    const { sim, env } = restored(await golden())
    const backup = stepped(env, makeBackup(env, small.directory, small.directory))
    await expect(inSimulation(sim, backup)).rejects.toMatchObject({ code: 'MR2017' })
  })

  test('keeps the identity of its log only where that is asked for', async () => {
    const { sim, env } = restored(await golden())
    await inSimulation(
      sim,
      (async () => {
        const kept = await stepped(env, restoreBackup(env, small.directory, 'moved', true))
        expect(kept.logId).toBe(kept.formerLogId)
        expect(await recordsOf(env, 'moved', 'a')).toEqual(all)
      })(),
    )
  })
})

async function outcomeOf(env: SimulatedEnv): Promise<Restored | MillraceError> {
  try {
    return await stepped(env, restoreBackup(env, small.directory, 'back', false))
  } catch (error) {
    if (error instanceof MillraceError) return error
    throw error
  }
}

/** Salvage takes everything that is readable, names what is not, and leaves the old directory alone. */
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import {
  all,
  damaged,
  digest,
  golden,
  inSimulation,
  named,
  restored,
  small,
} from '../log/embedded/damage.suite.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { listUnits, walkUnit } from '../log/embedded/walk.ts'
import { blockOf, drain, valuesOf } from '../log/log.suite.ts'
import { salvage } from './salvage.suite.ts'

/** Every record by offset, over the holes; then the log takes new ones. */
async function read(env: SimulatedEnv): Promise<Map<number, number>> {
  const log = await openEmbeddedLog({ env, ...small, directory: 'new' })
  const records = new Map<number, number>()
  const reader = await log.reader([{ topic: 'a', partition: 0, offset: 0 }])
  for (;;) {
    const { blocks, end } = drain(reader)
    for (const block of blocks)
      valuesOf([block]).forEach((value, i) =>
        records.set(block.baseOffset + i, Number(value.split(' ')[0])),
      )
    if (end.result !== 'gone') {
      expect(end.result).toBe('caught-up')
      break
    }
    reader.seek({ topic: 'a', partition: 0, offset: end.earliest })
  }
  const writer = await log.open('w')
  writer.append('a', 0, blockOf(['new']), 1)
  expect(await writer.commit()).toMatchObject({ outcome: 'committed' })
  await log.stop()
  return records
}

describe('salvage', () => {
  test('of a sound directory gives all of it', async () => {
    const { sim, env } = restored(await golden())
    const made = salvage(env)
    expect(made).toMatchObject({
      records: 24,
      lost: [],
      report: { findings: [{ file: 'salvage.json' }] },
    })
    expect([...(await inSimulation(sim, read(env))).values()]).toEqual(all)
  })

  test('after any flipped bit gives every record but those it names as lost, unchanged', async () => {
    const files = await golden()
    const random = new SeededRandom(4, 'salvage')
    let lossy = 0
    for (const [path, bytes] of files) {
      for (let i = 0; i < Math.min(12, bytes.length); i++) {
        const at = random.int(random.chance(0.5) ? Math.min(bytes.length, 120) : bytes.length)
        const { sim, env, disk } = restored(damaged(files, path, at, random.int(8)))
        const before = digest(disk)
        const made = salvage(env)
        if (made instanceof MillraceError) throw made
        expect(digest(disk).filter((line) => !line.startsWith('/new/'))).toEqual(before)
        expect(made.report.verdict).toBe('sound')
        const lost = new Set(
          made.lost.flatMap(({ from, to }) =>
            Array.from({ length: to - from }, (_, k) => from + k),
          ),
        )
        const records = await inSimulation(sim, read(env))
        expect([...records.keys()]).toEqual(all.filter((offset) => !lost.has(offset)))
        for (const [offset, value] of records) expect(value).toBe(offset)
        if (lost.size > 0) lossy++
      }
    }
    expect(lossy).toBeGreaterThan(3)
  })

  test('goes on behind a segment that is gone, and after a power cut has what it had', async () => {
    const files = new Map(await golden())
    for (const ending of ['.seg', '.idx']) files.delete(named(files, ending)[1]!)
    const { sim, env } = restored(files)
    const made = salvage(env)
    if (made instanceof MillraceError) throw made
    const lost = made.lost.reduce((sum, { from, to }) => sum + to - from, 0)
    expect(lost).toBeGreaterThan(0)
    env.crash('power')
    expect((await inSimulation(sim, read(sim.env('next')))).size).toBe(24 - lost)
  })

  test('names everything that is lost where an index knows part of it (I6)', async () => {
    const files = await golden()
    const [, path = '', next = ''] = named(files, '.seg')
    const bytes = files.get(path)!
    const frames = listUnits(restored(files).env.disk, small.directory).flatMap((unit) =>
      `/${unit.path}` === path ? [...walkUnit(restored(files).env.disk, unit, unit.size)] : [],
    )
    const last = frames.at(-1)?.at ?? 0
    const cut = new Map(files).set(path, bytes.slice(0, (frames[1]?.at ?? 0) + 300))
    const gone = damaged(files, path, last + 20, 1)
    gone.delete(next)
    gone.delete(next.replace('.seg', '.idx'))
    for (const hurt of [cut, gone]) {
      const { sim, env } = restored(hurt)
      const made = salvage(env)
      if (made instanceof MillraceError) throw made
      const lost = made.lost.flatMap(({ from, to }) => all.slice(from, to))
      const there = [...(await inSimulation(sim, read(env))).keys()]
      expect([...lost, ...there].toSorted((a, b) => a - b)).toEqual(all)
      expect(lost.length).toBeGreaterThan(1)
    }
  })

  test('says so where nothing can be read', async () => {
    const files = [...(await golden())].map(
      ([path, bytes]) => [path, path.includes('/log/') ? bytes.map(() => 7) : bytes] as const,
    )
    expect(salvage(restored(new Map(files)).env)).toMatchObject({ code: 'MR2020' })
  })
})

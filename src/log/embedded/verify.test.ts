/**
 * Verification finds what is damaged, says what it cost, and changes nothing: on a directory nobody runs on, and beside
 * an engine at work.
 */
import { describe, expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../../core/env/simulated/index.ts'
import { blockOf, topic } from '../log.suite.ts'
import { openEmbeddedLog } from './index.ts'
import type { LocalLog } from './index.ts'
import { sectionKinds } from './format.ts'
import { isDamaged } from './report.ts'
import type { LogReport } from './report.ts'
import { verifyLog } from './verify.ts'
import { listUnits, walkUnit } from './walk.ts'
import {
  damaged,
  digest,
  golden,
  inSimulation,
  judge,
  named,
  restored,
  small,
} from './damage.suite.ts'

function report(env: SimulatedEnv, directory = small.directory): LogReport {
  const run = verifyLog(env.disk, directory)
  for (let step = run.next(); ; step = run.next()) if (step.done === true) return step.value
}

const offsetsOf = (r: LogReport): number =>
  r.findings.flatMap(({ lost }) => lost).reduce((sum, { from, to }) => sum + to - from, 0)

test('a file that goes between the listing and the look is passed over', async () => {
  const { env } = restored(await golden())
  const { disk } = env
  let listed = 0
  const removing = new Proxy(disk, {
    get(target, name: keyof typeof disk) {
      const value: unknown = target[name]
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        const result: unknown = (value as (...all: unknown[]) => unknown).apply(target, args)
        if (name !== 'list' || !Array.isArray(result)) return result
        listed++
        return [...(result as unknown[]), { name: '9-999.seg', directory: false }]
      }
    },
  })
  expect(listUnits(removing, small.directory).map(({ name }) => name)).toEqual(
    listUnits(disk, small.directory).map(({ name }) => name),
  )
  expect(listed).toBe(1)
})

describe('a directory that nobody runs on', () => {
  test('is sound as the engine left it, with all its commits and records', async () => {
    const { env, disk } = restored(await golden())
    const before = digest(disk)
    const seen = report(env)
    expect(seen.findings).toEqual([])
    expect(seen).toMatchObject({ starts: true, records: 24, topics: 1 })
    expect(digest(disk)).toEqual(before)
  })

  test('a flipped bit is found wherever it matters, and the verdict is that of engine and readers', async () => {
    const files = await golden()
    const random = new SeededRandom(2, 'verify')
    const tally = { damage: 0, harmless: 0, none: 0 }
    for (const [path, bytes] of files) {
      for (let i = 0; i < Math.min(24, bytes.length * 4); i++) {
        const at = random.int(random.chance(0.5) ? Math.min(bytes.length, 120) : bytes.length)
        const flipped = damaged(files, path, at, random.int(8))
        const { env, disk } = restored(flipped)
        const before = digest(disk)
        const seen = report(env)
        expect(digest(disk)).toEqual(before)
        const truth = await judge(flipped)
        expect(seen.starts).toBe(truth.end !== 'refused')
        // What a reader cannot get is lost, by name; what it gets is not called so.
        if (truth.end === 'corrupt') expect(isDamaged(seen)).toBe(true)
        if (!isDamaged(seen)) expect(truth.end).toBe('caught-up')
        if (offsetsOf(seen) > 0) expect(truth.end).not.toBe('caught-up')
        if (isDamaged(seen)) tally.damage++
        else if (seen.findings.length > 0) tally.harmless++
        else tally.none++
      }
    }
    expect(Math.min(tally.damage, tally.harmless, tally.none)).toBeGreaterThan(5)
  })

  test('says file, byte, commit and offsets of a block that is damaged, and of nothing else', async () => {
    const files = await golden()
    const [first = ''] = named(files, '.seg')
    const bytes = files.get(first)!
    // In the text of a record: far behind its frame's head.
    const at = Buffer.from(bytes).indexOf('xxxxxxxxxxxxxxxx', 6_000) + 8
    const { env } = restored(damaged(files, first, at, 0))
    const seen = report(env)
    expect(seen.findings).toHaveLength(1)
    const [finding] = seen.findings
    expect(finding).toMatchObject({ grade: 'damage', file: first.slice(first.indexOf('log/')) })
    expect(finding!.offset).toBeLessThan(at)
    expect(finding!.lost).toEqual([
      {
        topic: 'a',
        partition: 0,
        from: expect.any(Number) as number,
        to: expect.any(Number) as number,
      },
    ])
    expect(offsetsOf(seen)).toBe(1)
    expect(finding!.means).toContain('millrace salvage')
  })

  test('says what a damaged part of a commit was for', async () => {
    const files = await golden()
    const { disk } = restored(files).env
    const sections = listUnits(disk, small.directory).flatMap((unit) =>
      [...walkUnit(disk, unit, unit.size)].flatMap((found) =>
        found.found === 'commit'
          ? found.sections.map(({ section }) => ({ path: `/${unit.path}`, section }))
          : [],
      ),
    )
    for (const [kind, says] of [
      [sectionKinds.positions, /^The positions in commit/],
      [sectionKinds.changes, /^The changes of topics and writers in commit/],
      [sectionKinds.checkpoint, /^The contents of a checkpoint in commit/],
    ] as const) {
      const { path, section } = sections.find((one) => one.section.kind === kind)!
      const { findings } = report(restored(damaged(files, path, section.at, 0)).env)
      expect(findings.map(({ what }) => what)).toContainEqual(expect.stringMatching(says))
    }
  })

  test('names the commits and offsets of a segment that is gone', async () => {
    const files = new Map(await golden())
    const segments = named(files, '.seg')
    files.delete(segments[1]!)
    const seen = report(restored(files).env)
    expect(seen.starts).toBe(false)
    const lost = seen.findings.flatMap((f) => f.lost)
    expect(lost.length).toBeGreaterThan(0)
    expect(offsetsOf(seen) + seen.records).toBe(24)
  })

  test('a commit that was cut off by a crash is no damage', async () => {
    const files = new Map(await golden())
    const last = named(files, '.seg').at(-1)!
    const bytes = files.get(last)!
    const torn = new Uint8Array(bytes.length + 100)
    torn.set(bytes)
    torn.fill(7, bytes.length)
    files.set(last, torn)
    const seen = report(restored(files).env)
    expect(seen.findings.map(({ grade }) => grade)).toEqual(['note'])
    expect(seen.starts).toBe(true)
  })
})

describe('beside an engine at work', () => {
  test('nothing is reported while it commits, ends segments, and archives what retention leaves', async () => {
    const sim = new Simulation({ seed: 'beside' })
    const env = sim.env('engine')
    const looker = sim.env('looker')
    await inSimulation(
      sim,
      (async () => {
        const log: LocalLog = await openEmbeddedLog({
          env,
          ...small,
          segmentBytes: 30_000,
          stepped: true,
        })
        await log.topics.create({ ...topic('passing'), retentionBytes: 20_000 })
        await log.topics.create(topic('kept'))
        const writer = await log.open('w')
        let done = false
        const work = (async () => {
          for (let i = 0; i < 150; i++) {
            writer.append('passing', 0, blockOf([`${i} ${'x'.repeat(2_000)}`]), 1)
            if (i % 10 === 0) writer.append('kept', 0, blockOf([`${i}`]), 1)
            expect((await writer.commit()).outcome).toBe('committed')
            if (i % 20 === 19) await log.host.retain()
          }
          done = true
        })()
        let looks = 0
        let archived = 0
        while (!done) {
          const run = verifyLog(looker.disk, small.directory)
          for (let step = run.next(); ; step = run.next()) {
            if (step.done === true) {
              if (step.value.commits < step.value.lsn!) archived++
              expect(step.value.findings.filter(({ grade }) => grade === 'damage')).toEqual([])
              looks++
              break
            }
            await looker.timers.yield()
          }
        }
        await work
        await log.stop()
        expect(looks).toBeGreaterThan(3)
        expect(archived).toBeGreaterThan(0)
      })(),
    )
  })
})

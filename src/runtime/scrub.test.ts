/** Reading again what was written long ago: it finds what verification finds, in time, and nothing else. */
import { expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import {
  damaged,
  fill,
  golden,
  inSimulation,
  named,
  restored,
  small,
} from '../log/embedded/damage.suite.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { sealedUnits, verifyLog } from '../log/embedded/inspect.ts'
import type { Damage } from '../log/embedded/inspect.ts'
import { blockOf, topic } from '../log/log.suite.ts'
import { MemoryStore } from '../state/memory.ts'
import { jsonCodec } from '../state/codecs.ts'
import { snapshotOnce } from '../state/snapshot.ts'
import { Scrub } from './scrub.ts'
import type { ScrubOptions, ScrubStatus } from './scrub.ts'

const never = new AbortController().signal

/** A scrub, and all it said. */
function scrubOf(env: SimulatedEnv, options: Partial<ScrubOptions> = {}) {
  const found: Damage[] = []
  const statuses: ScrubStatus[] = []
  const scrub = new Scrub(env, {
    dataDir: small.directory,
    bytesPerSecond: 2_000,
    everyMs: 60_000,
    onProgress: (status) => statuses.push(status),
    onDamage: (damage) => found.push(damage),
    ...options,
  })
  return { scrub, found, statuses }
}

async function pass(sim: Simulation, env: SimulatedEnv) {
  const made = scrubOf(env)
  await inSimulation(sim, made.scrub.pass(never))
  return { ...made, last: made.statuses.at(-1)! }
}

function verified(env: SimulatedEnv): string[] {
  const run = verifyLog(env.disk, small.directory)
  for (let step = run.next(); ; step = run.next())
    if (step.done === true) return step.value.findings.map(({ file }) => file)
}

test('a pass reads everything that is sealed, no faster than it may, and finds a sound directory sound', async () => {
  const { sim, env } = restored(await golden())
  const began = env.clock.monotonic()
  const { found, last } = await pass(sim, env)
  const sealed = sealedUnits(env.disk, small.directory)
  const segments = named(sim.disk().contents(), '.seg').map((path) => path.replace(/.*\//, ''))
  expect(sealed.map(({ name }) => name)).toEqual(segments.slice(0, -1))
  expect(sealed.length).toBeGreaterThan(1)
  const bytes = sealed.reduce((sum, { size }) => sum + size, 0)
  expect(found).toEqual([])
  expect(last).toMatchObject({ doneBytes: bytes, totalBytes: bytes, damaged: [] })
  expect(last.lastPassAt).toBe(env.clock.now())
  // Heads of the files are not counted, and the last stretch is not paid for.
  const read = bytes - sealed.length * 4_096
  expect(env.clock.monotonic() - began).toBeGreaterThan(((read - 1_000) / 2_000) * 1_000)
})

test('a flipped bit in what is sealed is found where verification finds it, and nowhere else', async () => {
  const files = await golden()
  const random = new SeededRandom(7, 'scrub')
  let hits = 0
  for (const path of [...named(files, '.seg'), ...named(files, '.arc')]) {
    for (let i = 0; i < 24; i++) {
      const bytes = files.get(path)!
      const at = random.int(random.chance(0.3) ? 120 : bytes.length)
      const { sim, env } = restored(damaged(files, path, at, random.int(8)))
      const sealed = new Set(
        sealedUnits(env.disk, small.directory).map(({ name }) => `log/${name}`),
      )
      const expected = verified(env).filter((file) => sealed.has(file))
      const { found, last } = await pass(sim, env)
      expect(found.map(({ file }) => file)).toEqual([...new Set(expected)])
      expect(last.damaged).toEqual(found)
      hits += found.length
    }
  }
  expect(hits).toBeGreaterThan(20)
})

test('damage is said once, is still known after a restart, and forgotten when the file is gone', async () => {
  const files = await golden()
  const path = named(files, '.seg')[1]!
  const { sim, env, disk } = restored(damaged(files, path, 5_000, 3))
  const first = await pass(sim, env)
  expect(first.found).toMatchObject([
    { file: path.replace('/data/', ''), what: expect.stringContaining('damaged') as string },
  ])
  expect(first.found[0]!.lsn).toBeGreaterThan(0)
  expect(first.found[0]!.offset).toBeGreaterThan(4_000)
  await inSimulation(sim, first.scrub.pass(never))
  expect(first.found).toHaveLength(1)
  const again = await pass(sim, env)
  expect(again.found).toEqual([])
  expect(again.last.damaged).toEqual(first.found)
  disk.flipBit(path.slice(1), 5_000, 3)
  expect((await pass(sim, env)).last.damaged).toEqual([])
})

test('a file that is removed, or put in the place of another, in the middle of its reading is no damage', async () => {
  const files = await golden()
  const path = named(files, '.seg')[1]!.slice(1)
  for (const how of ['removed', 'replaced'] as const) {
    const { sim, env, disk } = restored(damaged(files, `/${path}`, 5_000, 3))
    const { scrub, found, statuses } = scrubOf(env)
    const run = scrub.pass(never)
    let read = 0
    disk.hook = (operation, at) => {
      if (operation === 'read' && at.endsWith(path)) read++
      return undefined
    }
    await sim.runUntil(() => read > 4)
    if (how === 'removed') env.disk.unlink(path)
    else {
      const file = env.disk.open(`${path}.tmp`, 'create')
      file.write(files.get(`/${path}`)!, 0)
      file.close()
      env.disk.rename(`${path}.tmp`, path)
    }
    await inSimulation(sim, run)
    expect(found).toEqual([])
    expect(statuses.at(-1)!.lastPassAt).toBeDefined()
  }
})

test('beside an engine that rolls, removes and archives it finds nothing, pass after pass', async () => {
  const sim = new Simulation({ seed: 'at work' })
  const env = sim.env('engine')
  const world = async (): Promise<ScrubStatus[]> => {
    const log = await openEmbeddedLog({
      env,
      ...small,
      segmentBytes: 20_000,
      retentionCheckMs: 100,
    })
    await log.topics.create({ ...topic('a'), retentionBytes: 1 })
    await log.topics.create(topic('kept'))
    const stop = new AbortController()
    const { scrub, found, statuses } = scrubOf(env.thread('snapshots'), {
      bytesPerSecond: 80_000,
      everyMs: 100,
    })
    const scrubbing = scrub.run(stop.signal)
    const writer = await log.open('w')
    for (let i = 0; i < 800; i++) {
      writer.append('a', 0, blockOf([`${i} ${'x'.repeat(600)}`]), 1)
      if (i % 40 === 0) writer.append('kept', 0, blockOf([`${i}`]), 1)
      expect((await writer.commit()).outcome).toBe('committed')
      await env.timers.sleep(20)
    }
    stop.abort()
    await scrubbing
    const names = env.disk.list(`${small.directory}/log`).map(({ name }) => name)
    expect(names.some((name) => name.endsWith('.arc'))).toBe(true)
    expect(names.some((name) => name.startsWith('1-1.'))).toBe(false)
    expect(found).toEqual([])
    await log.stop()
    return statuses
  }
  const statuses = await inSimulation(sim, world())
  expect(new Set(statuses.map(({ lastPassAt }) => lastPassAt)).size).toBeGreaterThan(5)
})

test('a pass that was interrupted goes on behind what it has read; the next one comes when it is due', async () => {
  const { sim, env, disk } = restored(await golden(60))
  const stop = new AbortController()
  const first = scrubOf(env, { bytesPerSecond: 100 })
  const run = first.scrub.run(stop.signal)
  // Slow enough to write down in between how far it is.
  await sim.runUntil(() => env.disk.exists(`${small.directory}/scrub.json`))
  stop.abort()
  await inSimulation(sim, run)
  const read: string[] = []
  const names = sealedUnits(env.disk, small.directory).map(({ name }) => name)
  disk.hook = (operation, path) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (operation === 'read' && names.includes(name) && read.at(-1) !== name) read.push(name)
    return undefined
  }
  const second = await pass(sim, env)
  // Listing reads the head of every file once.
  const behind = read.slice(names.length)
  expect(behind.length).toBeGreaterThan(1)
  expect(behind.length).toBeLessThan(names.length)
  expect(behind).toEqual(names.slice(-behind.length))
  expect(second.last.doneBytes).toBe(second.last.totalBytes)
  // The next engine waits until a day has passed.
  read.length = 0
  const ended = new AbortController()
  const third = scrubOf(env, { everyMs: 86_400_000 })
  const began = env.clock.monotonic()
  const waiting = third.scrub.run(ended.signal)
  await sim.runUntil(() => read.length > names.length)
  expect(env.clock.monotonic() - began).toBeGreaterThanOrEqual(86_000_000)
  ended.abort()
  await inSimulation(sim, waiting)
})

test('a damaged snapshot is found, and what cannot be opened; a directory that cannot be listed is tried again', async () => {
  const sim = new Simulation({ seed: 'snapshots' })
  const env = sim.env('engine')
  const changelog = 'p.s.changelog'
  const work = async (): Promise<void> => {
    await fill(env, 12)
    const log = await openEmbeddedLog({ env, ...small })
    await log.topics.create({ ...topic(changelog), kind: 'changelog' })
    const store = new MemoryStore<number>({
      name: 's',
      codec: jsonCodec<number>(),
      partitionKey: (key) => key,
      maxBytes: 1e6,
    })
    const writer = await log.open('w')
    store.put('key', 1)
    const changes = store.changes()!
    writer.state(changelog, 0, changes.bytes, changes.count)
    await writer.commit()
    await snapshotOnce(env, log, changelog, 0, `${small.directory}/state`)
    await log.stop()
  }
  await inSimulation(sim, work())
  expect((await pass(sim, env)).found).toEqual([])
  const [path] = [...sim.disk().contents().keys()].filter((name) => name.endsWith('.snap'))
  sim.disk().flipBit(path!.slice(1), 90, 1)
  const { found } = await pass(sim, env)
  expect(found).toMatchObject([{ file: path!.replace('/data/', ''), offset: 64 }])
  const undo = sim.disk().inject({ on: 'list', path: 'data/log', effect: { error: 'EIO' } })
  const stop = new AbortController()
  const { scrub, statuses } = scrubOf(env, { everyMs: 1 })
  const run = scrub.run(stop.signal)
  const first = statuses.at(-1)?.lastPassAt
  await sim.runUntil(() => statuses.some(({ lastPassAt }) => lastPassAt !== first))
  undo()
  stop.abort()
  await inSimulation(sim, run)
})

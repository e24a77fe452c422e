/** Whoever else uses the disk, with a disk that fails: snapshots, the file sink, small files of the engine, sources. */
import { Simulation } from '../../src/core/env/simulated/index.ts'
import type { SimulatedDisk } from '../../src/core/env/simulated/index.ts'
import { readJson, saveJson, settleNames } from '../../src/runtime/data-files.ts'
import { file as fileSink } from '../../src/sinks/file/index.ts'
import type { SinkBatch } from '../../src/sinks/sink.ts'
import { file as fileSource, hostMetrics } from '../../src/sources/index.ts'
import type { Source } from '../../src/sources/source.ts'
import { jsonCodec } from '../../src/state/codecs.ts'
import { MemoryStore } from '../../src/state/memory.ts'
import { restoreStores } from '../../src/state/restore.ts'
import { SnapshotMaker, snapshotOnce } from '../../src/state/snapshot.ts'
import { MemoryLog } from '../support/memory-log.ts'
import { worldWith } from './disk-from.ts'
import type { Scenario, Started } from './faults.ts'
import { Picture } from './picture.ts'

export function otherScenarios(): Scenario[] {
  return [
    { name: 'snapshots', start: async () => await snapshots() },
    { name: 'file sink', start: async () => sink() },
    { name: 'small files', start: async () => smallFiles() },
    { name: 'file source', start: async () => source({}) },
    { name: 'followed file', start: async () => source({ follow: true }) },
    { name: 'file from its end', start: async () => source({ follow: true, start: 'latest' }) },
    { name: 'host metrics', start: async () => metrics() },
  ]
}

const fresh = (): Simulation => new Simulation({ seed: 'faults', order: 'fifo', traceLines: 1 })

/** Judges the disk after the process was killed, and after the power was cut. */
async function judgeBoth(
  disk: SimulatedDisk,
  judge: (on: Simulation) => Promise<void>,
): Promise<void> {
  const picture = new Picture(disk)
  for (const state of [picture.states - 1, 0]) {
    const { files, directories } = picture.image(state)
    await judge(worldWith(files, directories))
  }
}

/** As a task does it that failed: again, a few times. */
async function persistently(times: number, act: () => Promise<void>): Promise<void> {
  for (let left = times; ; left--) {
    try {
      return await act()
    } catch (error) {
      if (left === 0) throw error
    }
  }
}

const changelog = 'p.stage.counts.changelog'
const dir = 'data/state'
const newStore = () =>
  new MemoryStore<{ n: number }>({
    name: 's',
    codec: jsonCodec<{ n: number }>(),
    partitionKey: (key) => key,
    maxBytes: 1e9,
  })

async function snapshots(): Promise<Started> {
  const world = fresh()
  const env = world.env('engine')
  env.disk.mkdir('data')
  env.disk.fsyncDir('/')
  const log = new MemoryLog()
  await log.topics.create({ name: changelog, kind: 'changelog', partitions: 1 })
  const store = newStore()
  const model = new Map<string, number>()
  const commit = async (round: number): Promise<void> => {
    const writer = await log.open('worker')
    for (let i = 0; i < 6; i++) {
      const key = `k${(i * (round + 1)) % 9}`
      const n = round * 100 + i
      if (n % 5 === 4) store.delete(key)
      else store.put(key, { n })
      if (n % 5 === 4) model.delete(key)
      else model.set(key, n)
    }
    const changes = store.changes()
    if (changes !== undefined) writer.state(changelog, 0, changes.bytes, changes.count)
    store.committed()
    await writer.commit()
  }
  const compare = async (on: Simulation): Promise<void> => {
    const restored = newStore()
    const target = { changelog, partition: 0, store: restored }
    await restoreStores(on.env('restored'), log, dir, [target])
    const now = new Map([...model.keys()].map((key) => [key, restored.get(key)?.n]))
    if (JSON.stringify([...now]) !== JSON.stringify([...model]) || restored.size !== model.size)
      throw new Error(
        `restored ${JSON.stringify([...now])}, committed ${JSON.stringify([...model])}`,
      )
  }
  const run = async (): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      await commit(round)
      await persistently(1, async () => {
        const made = await snapshotOnce(env, log, changelog, 0, dir)
        if (made !== undefined && made.spareOffset > 0)
          await log.topics.trim(changelog, 0, made.spareOffset)
      })
    }
    const maker = await SnapshotMaker.open(env, log, dir, [{ topic: changelog, partitions: 1 }], 50)
    await commit(9)
    await maker.round()
    // The second time there is nothing new.
    for (let i = 0; i < 2; i++) await maker.now(new Set([changelog]))
    maker.close()
    await compare(world)
  }
  const check = (): Promise<void> => judgeBoth(world.disk(), compare)
  return { world, run, check, judge: compare, raw: true }
}

const rows = (from: number, to: number): SinkBatch => ({
  partition: 0,
  from,
  to,
  records: Array.from({ length: to - from }, (_, i) => ({
    offset: from + i,
    timestamp: from + i,
    key: `k${from + i}`,
    value: { n: from + i },
  })),
})

function visible(disk: SimulatedDisk): number[] {
  const files = [...disk.contents()].filter(([path]) => /\/[^./][^/]*\.ndjson$/.test(path))
  const text = files
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, bytes]) => Buffer.from(bytes).toString())
  return text
    .join('')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { n: number }).n)
}

function sink(): Started {
  const world = fresh()
  const target = fileSink({ path: '/deep/out', roll: { bytes: 30, ms: 1e9 } })
  let acknowledged = 0
  let epoch = 0
  const life = async (on: Simulation, to: number, ends = true): Promise<void> => {
    const writer = await target.open!({
      env: on.env('sink'),
      logId: 'log',
      pipeline: 'p',
      name: 'out',
      epoch: ++epoch,
      partitions: [0],
    })
    try {
      let at = (await writer.stored!(0))?.offset ?? 0
      if (at < acknowledged) throw new Error(`stands at ${at}, ${acknowledged} were acknowledged`)
      for (; at < to; at += 2) {
        await writer.deliver(rows(at, at + 2))
        acknowledged = Math.max(acknowledged, at + 2)
      }
    } finally {
      if (ends) await writer.close()
    }
  }
  const run = async (): Promise<void> => {
    await persistently(2, () => life(world, 4))
    // What somebody left who died while he began a part, and one who dies with a part that counts.
    const left = world.env('left').disk.open('/deep/out/.p-out-0-0000000000000099.part', 'write')
    left.close()
    await persistently(2, () => life(world, 6, false))
    await persistently(2, () => life(world, 8))
  }
  const judge = async (on: Simulation): Promise<void> => {
    const [before, at] = [acknowledged, epoch]
    const seen = visible(on.disk())
    if (seen.some((n, i) => n !== i)) throw new Error(`shows ${seen.join()}`)
    await life(on, 12)
    const all = visible(on.disk())
    acknowledged = before
    epoch = at
    if (all.join() !== Array.from({ length: 12 }, (_, i) => i).join())
      throw new Error(`shows ${all.join()} in the end`)
  }
  const check = (): Promise<void> => judgeBoth(world.disk(), judge)
  return { world, run, check, judge, raw: true }
}

function smallFiles(): Started {
  const world = fresh()
  const env = world.env('engine')
  env.disk.mkdir('data')
  env.disk.fsyncDir('/')
  let saved = 0
  let tried = 0
  const run = async (): Promise<void> => {
    await persistently(1, async () => settleNames(env, 'data'))
    for (let i = 1; i <= 3; i++) {
      tried = i
      await persistently(1, async () => saveJson(env, 'data', 'plans.json', { i }))
      saved = i
      const now = readJson(env, 'data', 'plans.json') as { i: number } | undefined
      if (now?.i !== i) throw new Error(`reads ${JSON.stringify(now)} after ${i}`)
    }
  }
  const judge = async (on: Simulation): Promise<void> => {
    const now = (readJson(on.env('next'), 'data', 'plans.json') ?? { i: 0 }) as { i: number }
    if (now.i < saved || now.i > tried)
      throw new Error(`has ${now.i}; ${saved} was saved, ${tried} tried`)
  }
  const check = (): Promise<void> => judgeBoth(world.disk(), judge)
  return { world, run, check, judge, raw: false }
}

const lines = Array.from({ length: 12 }, (_, i) => JSON.stringify({ i, text: 'x'.repeat(i) }))

function source(options: { readonly follow?: boolean; readonly start?: 'latest' }): Started {
  const half = `${lines.slice(0, 6).join('\n')}\n`
  const rest = `${lines.slice(6).join('\n')}\n`
  const world = worldWith(new Map([['/in/events.log', Buffer.from(half)]]))
  const writer = world.env('writer', world.disk())
  const given = fileSource('/in/events.log', options)
  const seen: string[] = []
  let position: string | undefined
  let grown = false
  // The program that writes the file is not on the disk that fails.
  const grow = (): void => {
    if (grown) return
    grown = true
    const { hook } = world.disk()
    world.disk().hook = undefined
    const follows = options.follow === true
    if (follows) writer.disk.rename('/in/events.log', '/in/events.log.1')
    const file = writer.disk.open('/in/events.log', 'write')
    file.write(Buffer.from(rest), follows ? 0 : half.length)
    file.close()
    world.disk().hook = hook
  }
  const readOn = (most = Infinity): void => {
    const reader = openSource(given, world, position)
    try {
      for (let idle = 0; idle < 4 && seen.length < most;) {
        const poll = reader.poll(4, 1_000)
        if (poll.result === 'events') {
          for (const event of poll.events) seen.push(Buffer.from(event).toString())
          position = poll.position
          idle = 0
        } else idle++
        if (position !== undefined) grow()
      }
    } finally {
      reader.close()
    }
  }
  const run = async (): Promise<void> => {
    await persistently(2, async () => readOn(1))
    await persistently(2, async () => readOn())
  }
  const check = async (): Promise<void> => {
    readOn()
    // From its end on: what was there when it was first looked at may be left out, as a whole.
    const expected = options.start === 'latest' ? lines.slice(lines.length - seen.length) : lines
    if (options.start === 'latest' && seen.length < 6) throw new Error(`read ${seen.length}`)
    if (seen.join('\n') !== expected.join('\n')) throw new Error(`read ${seen.join(' ')}`)
  }
  return { world, run, check, raw: false }
}

function openSource(given: Source, world: Simulation, position: string | undefined) {
  return given.open!({ env: world.env('reader'), partition: 0, position, start: given.start })
}

function metrics(): Started {
  const files = new Map([
    ['/proc/stat', Buffer.from('cpu 1 2 3 4 5 6 7 8\n')],
    ['/proc/meminfo', Buffer.from('MemTotal: 100 kB\nMemAvailable: 50 kB\n')],
    ['/proc/diskstats', Buffer.from('8 0 sda 1 2 3 4 5 6 7 8\n')],
    ['/proc/net/dev', Buffer.from('eth0: 1 2 3 4 5 6 7 8 9 10\n')],
    ['/proc/sys/kernel/hostname', Buffer.from('host\n')],
  ])
  const world = worldWith(files)
  const run = async (): Promise<void> => {
    const reader = openSource(hostMetrics({ every: 100 }), world, undefined)
    await world.advance(150)
    const poll = reader.poll(1, 1_000)
    if (poll.result !== 'events') throw new Error(poll.result)
    reader.close()
  }
  return { world, run, check: run, raw: false }
}

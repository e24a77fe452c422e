/**
 * The log against crashes on a disk that loses what was not synced. Two writers commit to four places at once; the
 * process dies, or the power goes, at any disk operation, in recovery too. Afterwards: what was acknowledged is there
 * exactly once, in order and whole; what was not is there whole or not at all.
 */
import { describe, expect, test } from 'vitest'
import { Arena } from '../../core/arena.ts'
import { SeededRandom, Simulation } from '../../core/env/simulated/index.ts'
import type { CrashKind, SimulatedEnv } from '../../core/env/simulated/index.ts'
import { MillraceError } from '../../errors.ts'
import { BlockBuilder, BlockView } from '../block.ts'
import type { Log, Writer } from '../log.ts'
import { openEmbeddedLog } from './index.ts'

const DIRECTORY = 'home/data'
const places = [
  { topic: 'events', partition: 0, offset: 0 },
  { topic: 'events', partition: 1, offset: 0 },
  { topic: 'between', partition: 0, offset: 0 },
  { topic: 'store', partition: 0, offset: 0 },
]

type Outcome = 'acked' | 'unknown' | 'refused'

/** What the producers outside know. */
class Ledger {
  readonly outcomes = new Map<number, Outcome>()
  next = 1
}

const utf8 = new TextEncoder()

function blockOf(id: number, size: number): Uint8Array {
  const builder = new BlockBuilder()
  builder.add(id, utf8.encode(`${id}`), new Uint8Array(size).fill(id))
  return builder.finish(id)
}

async function commitOnce(
  writer: Writer,
  index: number,
  ledger: Ledger,
  size: number,
): Promise<boolean> {
  const id = ledger.next++
  ledger.outcomes.set(id, 'unknown')
  const block = blockOf(id, size)
  writer.append('events', 0, block, 1)
  writer.append('events', 1, block, 1)
  writer.append('between', 0, block, 1)
  writer.state('store', 0, block, 1)
  writer.position('group', { topic: 'events', partition: index, offset: id, meta: `${id}` })
  const result = await writer.commit()
  if (result.outcome === 'committed') ledger.outcomes.set(id, 'acked')
  if (result.outcome === 'refused') ledger.outcomes.set(id, 'refused')
  return result.outcome === 'committed'
}

const small = {
  directory: DIRECTORY,
  segmentBytes: 9_000,
  checkpointBytes: 5_000,
  reserve: { low: 0, high: 0 },
}

/** One life of the process: opens the log, commits with two writers until `commits` are done or the log is lost. */
async function live(
  env: SimulatedEnv,
  ledger: Ledger,
  commits: number,
  size: () => number,
): Promise<'done' | 'failed'> {
  const log = await openEmbeddedLog({ env, ...small })
  await log.topics.create({ name: 'events', kind: 'user', partitions: 2 })
  await log.topics.create({ name: 'between', kind: 'internal', partitions: 1 })
  await log.topics.create({ name: 'store', kind: 'changelog', partitions: 1 })
  let lost = false
  const work = async (index: number): Promise<void> => {
    const writer = await log.open(`worker-${index}`)
    for (let i = 0; i < commits && !lost; i++)
      lost ||= !(await commitOnce(writer, index, ledger, size()))
  }
  await Promise.all([work(0), work(1)])
  if (lost) return 'failed'
  await log.stop()
  return 'done'
}

/** Runs a life to its end, however it ends. */
async function runLife(sim: Simulation, env: SimulatedEnv, life: Promise<string>): Promise<string> {
  let ended: string | undefined
  life.then(
    (how) => (ended = how),
    (error: unknown) => (ended = error instanceof MillraceError ? error.code : String(error)),
  )
  await sim.runUntil(() => ended !== undefined || !env.alive)
  return env.alive ? (ended ?? '') : 'died'
}

interface Found {
  readonly id: number
  readonly lsn: number
}

async function readAll(log: Log): Promise<Found[][]> {
  const reader = await log.reader(places)
  const found: Found[][] = places.map(() => [])
  const arena = new Arena(4096)
  const view = new BlockView()
  for (;;) {
    const result = reader.next(arena)
    if (result.result === 'arena-full') arena.reset()
    else if (result.result === 'block') {
      expect(view.read(result.bytes)).toBe(true)
      const place = places.findIndex(
        (p) => p.topic === result.topic && p.partition === result.partition,
      )
      found[place]!.push({ id: view.timestamps[0]!, lsn: result.lsn })
      const size = view.value(0)!
      expect(size.every((byte) => byte === view.timestamps[0]! % 256)).toBe(true)
    } else {
      expect(result.result).toBe('caught-up')
      return found
    }
  }
}

/** The promises: I1, I4, I5, and positions that move with the records. */
async function check(sim: Simulation, ledger: Ledger): Promise<void> {
  const env = sim.env('reader')
  const checked = (async () => {
    const log = await openEmbeddedLog({ env, ...small })
    await log.topics.create({ name: 'events', kind: 'user', partitions: 2 })
    await log.topics.create({ name: 'between', kind: 'internal', partitions: 1 })
    await log.topics.create({ name: 'store', kind: 'changelog', partitions: 1 })
    const found = await readAll(log)
    const positions = await log.positions('group')
    await log.stop()
    return { found, positions }
  })()
  let done = false
  checked.finally(() => (done = true)).catch(() => {})
  await sim.runUntil(() => done)
  const { found, positions } = await checked
  for (const other of found.slice(1)) expect(other).toEqual(found[0])
  const ids = found[0]!.map((f) => f.id)
  expect(new Set(ids).size).toBe(ids.length)
  const lsns = found[0]!.map((f) => f.lsn)
  expect(lsns).toEqual(lsns.toSorted((a, b) => a - b))
  for (const [id, outcome] of ledger.outcomes) {
    if (outcome === 'acked') expect(ids).toContain(id)
    if (outcome === 'refused') expect(ids).not.toContain(id)
  }
  for (const position of positions) expect(`${position.offset}`).toBe(position.meta)
  const last = new Map<number, number>()
  for (const position of positions) last.set(position.partition, position.offset)
  // Every id that is present was the position of its writer at its commit; the last ones of both still are.
  const newest = Math.max(0, ...ids)
  expect(Math.max(0, ...last.values())).toBe(newest)
}

describe('a crash at any disk operation', () => {
  test.each(['kill', 'power'] satisfies CrashKind[])(
    'loses nothing acknowledged (%s, each operation)',
    async (kind) => {
      let crashed = 0
      for (let nth = 1; nth < 140; nth++) {
        const sim = new Simulation({ seed: `${kind}-${nth}` })
        const ledger = new Ledger()
        sim.disk().inject({ on: 'change', nth, effect: { crash: kind } })
        const env = sim.env('engine')
        const how = await runLife(
          sim,
          env,
          live(env, ledger, 9, () => 400),
        )
        if (how === 'died') crashed++
        else expect(how).toBe('done')
        sim.disk().faults.clear()
        await check(sim, ledger)
      }
      expect(crashed).toBeGreaterThan(100)
    },
  )

  test('loses nothing acknowledged over many lives, with crashes in recovery', async () => {
    const tally = { died: 0, done: 0, failed: 0 }
    for (let seed = 0; seed < 60; seed++) {
      const sim = new Simulation({ seed })
      const random = new SeededRandom(seed, 'test')
      const ledger = new Ledger()
      for (let lives = 1 + random.int(6); lives > 0; lives--) {
        const kind = random.chance(0.7) ? 'power' : 'kill'
        // Recovery takes some 20 operations: a third of the crashes hit it.
        const undo = sim.disk().inject({
          on: 'change',
          nth: 1 + random.int(random.chance(0.33) ? 20 : 90),
          effect: { crash: kind },
        })
        const env = sim.env('engine')
        const how = await runLife(
          sim,
          env,
          live(env, ledger, 12, () => random.int(1500)),
        )
        undo()
        expect(['died', 'done']).toContain(how)
        tally[how as 'died' | 'done']++
      }
      await check(sim, ledger)
    }
    expect(tally.died).toBeGreaterThan(tally.done)
  })

  test('a failed sync stops the log; phantom frames in the cache do no harm, even after a power cut later', async () => {
    let failed = 0
    for (let seed = 0; seed < 80; seed++) {
      const sim = new Simulation({ seed: `eio-${seed}` })
      const random = new SeededRandom(seed, 'eio')
      const ledger = new Ledger()
      for (let lives = 3; lives > 0; lives--) {
        const on = random.pick(['fdatasync', 'fdatasync', 'fsyncDir', 'write'] as const)
        // Not in the directories above ours: a name lost there cannot be brought back from here.
        const path = 'home/data'
        const undoFault = sim
          .disk()
          .inject({ on, path, nth: 1 + random.int(40), effect: { error: 'EIO' } })
        const undoCut = random.chance(0.5)
          ? sim
              .disk()
              .inject({ on: 'change', nth: 20 + random.int(60), effect: { crash: 'power' } })
          : () => {}
        const env = sim.env('engine')
        const how = await runLife(
          sim,
          env,
          live(env, ledger, 10, () => random.int(900)),
        )
        undoFault()
        undoCut()
        if (how === 'failed' || how === 'MR2015' || how === 'MR2008') failed++
        else expect(['died', 'done', 'MR2009']).toContain(how)
        if (env.alive) env.crash(random.chance(0.5) ? 'power' : 'kill')
      }
      sim.disk().losePower()
      await check(sim, ledger)
    }
    expect(failed).toBeGreaterThan(60)
  })
})

/** A closed log on a simulated disk, damage done to it, and what engine and readers make of that. */
import { expect } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import type { SimulatedDisk, SimulatedEnv } from '../../core/env/simulated/index.ts'
import { xxh64 } from '../../core/hash.ts'
import { MillraceError } from '../../errors.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import { openEmbeddedLog } from './index.ts'

export const DIRECTORY = 'data'
export const small = {
  directory: DIRECTORY,
  segmentBytes: 6_500,
  checkpointBytes: 4_000,
  reserve: { low: 0, high: 0 },
}

export async function inSimulation<T>(sim: Simulation, body: Promise<T>): Promise<T> {
  let ended = false
  body.finally(() => (ended = true)).catch(() => {})
  await sim.runUntil(() => ended)
  return await body
}

/** Commits `count` records, one each, and closes. */
export async function fill(env: SimulatedEnv, count: number, first = 0): Promise<void> {
  const log = await openEmbeddedLog({ env, ...small })
  await log.topics.create(topic('a'))
  const writer = await log.open('w')
  for (let i = first; i < first + count; i++) {
    writer.append('a', 0, blockOf([`${i} ${'x'.repeat(300)}`]), 1)
    writer.position('g', { topic: 'a', partition: 0, offset: i, meta: '' })
    expect((await writer.commit()).outcome).toBe('committed')
  }
  await log.stop()
}

export interface Seen {
  readonly refused: MillraceError | undefined
  readonly records: readonly number[]
  readonly end: string
}

export async function look(env: SimulatedEnv): Promise<Seen> {
  try {
    const log = await openEmbeddedLog({ env, ...small })
    const { blocks, end } = drain(await log.reader([{ topic: 'a', partition: 0, offset: 0 }]))
    const records = valuesOf(blocks).map((value) => Number(value.split(' ')[0]))
    await log.stop()
    return { refused: undefined, records, end: end.result }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return { refused: error, records: [], end: 'refused' }
  }
}

/** A directory's files, put onto a fresh disk. */
export function restored(files: ReadonlyMap<string, Uint8Array>): {
  sim: Simulation
  disk: SimulatedDisk
  env: SimulatedEnv
} {
  const sim = new Simulation({ seed: 'damage' })
  const env = sim.env('engine')
  env.disk.mkdir(`${DIRECTORY}/log`)
  env.disk.mkdir(`${DIRECTORY}/quarantine`)
  const folders = new Set([...files.keys()].map((path) => path.slice(1, path.lastIndexOf('/'))))
  for (const folder of folders) env.disk.mkdir(folder)
  for (const [path, bytes] of files) {
    const file = env.disk.open(path.slice(1), 'write')
    file.write(bytes, 0)
    file.fdatasync()
    file.close()
  }
  for (const path of ['.', DIRECTORY, `${DIRECTORY}/log`]) env.disk.fsyncDir(path)
  return { sim, disk: sim.disk(), env }
}

export const COMMITS = 24
export const all = Array.from({ length: COMMITS }, (_, i) => i)

export async function golden(commits = COMMITS): Promise<Map<string, Uint8Array>> {
  const sim = new Simulation({ seed: 'golden' })
  await inSimulation(sim, fill(sim.env('engine'), commits))
  return sim.disk().contents()
}

/** What is on a disk, but for the lock, which everyone may create. */
export function digest(disk: SimulatedDisk): string[] {
  const files = [...disk.contents()].filter(([path]) => !path.endsWith('/LOCK'))
  return files.map(([path, bytes]) => `${path} ${bytes.length} ${xxh64(bytes)}`)
}

export const named = (files: ReadonlyMap<string, Uint8Array>, ending: string): string[] =>
  [...files.keys()]
    .filter((path) => path.endsWith(ending))
    .toSorted((a, b) => baseOf(a) - baseOf(b))
export const baseOf = (path: string): number => Number(/-(\d+)\./.exec(path)?.[1] ?? 0)

/** Opens the damaged files and checks the one promise that holds for any damage to committed data. */
export async function judge(files: ReadonlyMap<string, Uint8Array>): Promise<Seen> {
  const { sim, disk, env } = restored(files)
  const before = digest(disk)
  const seen = await inSimulation(sim, look(env))
  // Whatever is read is a beginning of the truth; all of it, unless something was said.
  expect(seen.records).toEqual(all.slice(0, seen.records.length))
  if (seen.end === 'caught-up') expect(seen.records).toEqual(all)
  else expect(['refused', 'corrupt']).toContain(seen.end)
  if (seen.refused !== undefined) expect(digest(disk)).toEqual(before)
  return seen
}

/** The files with one bit of one of them flipped. */
export function damaged(
  files: ReadonlyMap<string, Uint8Array>,
  path: string,
  at: number,
  bit: number,
): Map<string, Uint8Array> {
  const bytes = files.get(path)!.slice()
  bytes[at]! ^= 1 << bit
  return new Map(files).set(path, bytes)
}

/** A log that was killed after a commit was written and before the mark moved. */
export async function unacknowledged(): Promise<{
  sim: Simulation
  tail: string
  end: number
}> {
  const sim = new Simulation({ seed: 'tail' })
  await inSimulation(sim, fill(sim.env('engine'), 5))
  const env = sim.env('engine')
  const log = await inSimulation(sim, openEmbeddedLog({ env, ...small }))
  const writer = await inSimulation(sim, log.open('w'))
  writer.append('a', 0, blockOf([`5 ${'x'.repeat(300)}`]), 1)
  const tail = [...sim.disk().contents().keys()]
    .filter((path) => path.endsWith('.seg'))
    .toSorted((a, b) => baseOf(b) - baseOf(a))[0]!
  const end = sim.disk().contents().get(tail)!.length
  sim.disk().inject({ on: 'write', path: 'MARK', effect: { crash: 'kill', moment: 'before' } })
  void writer.commit()
  await sim.runUntil(() => !env.alive)
  return { sim, tail, end }
}

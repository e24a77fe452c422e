/**
 * Every single bit of a data directory, flipped. Whatever was acknowledged is read back as it was, or refused by name:
 * the message says file, offset and LSN. Nothing that is at or below the mark is cut off, and what is refused is left
 * as it was.
 */
import type { SimulatedEnv, Simulation } from '../../src/core/env/simulated/index.ts'
import { MillraceError } from '../../src/errors.ts'
import type { Log } from '../../src/log/log.ts'
import { settled, worldWith } from './disk-from.ts'
import { commit, createTopics, Ledger, look, openLog, read } from './log-life.ts'
import type { Found } from './log-life.ts'

type Files = ReadonlyMap<string, Uint8Array>

export interface Golden {
  readonly files: Files
  readonly found: Found
  readonly bits: number
}

/** A directory with everything a log writes: an archive, sealed segments with indexes, both marks and both supers. */
export async function golden(): Promise<Golden> {
  const world = worldWith(new Map())
  const ledger = new Ledger()
  const segmentBytes = 16_000
  await settled(
    world,
    (async () => {
      const log = await openLog(world.env('engine'), segmentBytes)
      await createTopics(log, ledger)
      const writers = [await log.open('w0'), await log.open('w1')]
      for (let i = 0; i < 12; i++) {
        const how = { bytes: 1_100, keep: i === 1 || i === 10 }
        await commit(writers[i % 2]!, ledger, how)
      }
      await log.topics.trim('store', 0, 6)
      await log.host.retain()
      for (let i = 0; i < 9; i++) await commit(writers[i % 2]!, ledger, { bytes: 300 })
      await log.stop()
    })(),
  )
  const files = world.disk().contents()
  const { found } = await seen(world, (log) => look(log))
  const bits = [...files.values()].reduce((sum, bytes) => sum + bytes.length * 8, 0)
  return { files, found: found!, bits }
}

async function seen<T>(
  world: Simulation,
  act: (log: Log, env: SimulatedEnv) => Promise<T>,
): Promise<{ readonly found: T | undefined; readonly refused: MillraceError | undefined }> {
  const env = world.env('reader')
  try {
    const found = await settled(
      world,
      (async () => await act(await openLog(env, 16_000, false), env))(),
    )
    return { found, refused: undefined }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return { found: undefined, refused: error }
  }
}

export type Verdict = 'unchanged' | 'refused' | 'reported'

/** Flips one bit, counted over all files in order of their names, and says what came of it. Throws on a broken promise. */
export async function flip(whole: Golden, bit: number): Promise<Verdict> {
  const { path, byte, mask } = placeOf(whole.files, bit)
  const damaged = whole.files.get(path)!.slice()
  damaged[byte] = damaged[byte]! ^ mask
  const files = new Map(whole.files).set(path, damaged)
  const world = worldWith(files)
  const where = `${path}, byte ${byte}, bit mask ${mask}`
  const must = (holds: boolean, what: string, detail: unknown = ''): void => {
    if (!holds) throw new Error(`${where}: ${what} ${JSON.stringify(detail)}`)
  }
  const { found, refused } = await seen(world, (log) => lookAt(log))
  const after = world.disk().contents()
  if (refused !== undefined) {
    named(refused, must)
    for (const [name, bytes] of files)
      must(same(after.get(name), bytes), `${name} was changed although it was refused`)
    must(after.size <= files.size + 1, 'files were made although it was refused')
    return 'refused'
  }
  for (const [name, bytes] of files) {
    if (!/\.(seg|arc)$/.test(name)) continue
    must(same(after.get(name)?.subarray(0, bytes.length), bytes), `${name} was cut off or changed`)
  }
  const { topics, earliest, positions } = whole.found
  must(found!.topics === topics, 'topics are missing')
  must(String(found!.earliest) === String(earliest), 'earliest offsets changed', found!.earliest)
  must(String(found!.positions) === String(positions), 'positions changed', found!.positions)
  let verdict: Verdict = 'unchanged'
  for (const [i, { records, error }] of found!.places.entries()) {
    const all = whole.found.records[i]!
    if (error === undefined) must(String(records) === String(all), 'records changed', records)
    else {
      named(error, must)
      must(String(records) === String(all.slice(0, records.length)), 'records changed', records)
      verdict = 'reported'
    }
  }
  return verdict
}

function named(error: MillraceError, must: (holds: boolean, what: string, d?: unknown) => void) {
  const { file, offset, lsn } = error.details as Record<string, unknown>
  must(typeof file === 'string', 'the error names no file', error)
  // MARK and SUPER have no LSN of their own; of another format version only the version can be told.
  if (!/\.(seg|arc)$/.test(String(file)) || error.code === 'MR2003' || error.code === 'MR2004')
    return
  must(typeof offset === 'number', 'the error names no offset', error)
  must(typeof lsn === 'number', 'the error names no LSN', error)
}

interface Place {
  readonly records: readonly string[]
  readonly error: MillraceError | undefined
}

async function lookAt(log: Log) {
  const whole = await look(log, async (topic, partition, offset) => {
    const records: string[] = []
    try {
      await read(log, topic, partition, offset, records)
      return { records, error: undefined }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      return { records, error }
    }
  })
  return { ...whole, places: whole.records as readonly Place[] }
}

function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0
}

function placeOf(files: Files, bit: number) {
  let rest = bit
  for (const [path, bytes] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (rest < bytes.length * 8) return { path, byte: rest >> 3, mask: 1 << (rest & 7) }
    rest -= bytes.length * 8
  }
  throw new Error(`There is no bit ${bit}.`)
}

/**
 * Every single bit of two data directories, flipped. Whatever was acknowledged is read back as it was, or refused or
 * reported: the message says file, offset and LSN, and they are those of the bit. Nothing that is at or below the mark is
 * cut off, what is cut off above it is in quarantine, and what is refused is left as it was.
 */
import type { Env } from '../../src/core/env/env.ts'
import type { Simulation } from '../../src/core/env/simulated/index.ts'
import type { Directory } from '../../src/core/env/simulated/tree.ts'
import { MillraceError } from '../../src/errors.ts'
import type { Log } from '../../src/log/log.ts'
import { Paused } from '../../src/runtime/paused.ts'
import { readPlans, savePlans } from '../../src/runtime/plans.ts'
import { restoreStores } from '../../src/state/restore.ts'
import { snapshotOnce } from '../../src/state/snapshot.ts'
import { changelog, newStore } from '../golden/contents.ts'
import { lives } from './crash-states.ts'
import { settled, worldWith } from './disk-from.ts'
import { frameAt, isAbove, markIn } from './directory-by-hand.ts'
import { commit, createTopics, judge, Ledger, look, openLog, read } from './log-life.ts'
import type { Found } from './log-life.ts'

export type Files = ReadonlyMap<string, Uint8Array>

export interface Golden {
  readonly name: string
  readonly files: Files
  readonly segmentBytes: number
  /** Undamaged, as it is found, and the files that are there afterwards. */
  readonly found: Seen
  readonly after: Files
  /** Throws where something acknowledged is not among what was found. */
  readonly whole: (found: Found) => void
}

/** What may be damaged is told apart: what was read up to there, and the error. */
interface Read {
  readonly records: readonly string[]
  readonly error: MillraceError | undefined
}

type Seen = Found<Read> & {
  /** What an engine reads besides its log: an error, or the value as text. */
  readonly others: Readonly<Record<string, string | MillraceError>>
}

/** The directories whose bits are counted, one after the other. */
export async function directories(): Promise<readonly Golden[]> {
  return [await killed(), await torn()]
}

export const bitsOf = (all: readonly Golden[]): number =>
  all.reduce((sum, { files }) => sum + bytesOf(files) * 8, 0)

const bytesOf = (files: Files): number =>
  [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0)

/**
 * A directory with every kind of file: an archive, sealed segments with indexes, both marks and supers, snapshots, JSON. Its
 * engine was killed: the last thing in it is a commit that was acknowledged.
 */
export async function killed(): Promise<Golden> {
  const world = worldWith(new Map())
  const ledger = new Ledger()
  const segmentBytes = 16_000
  const store = newStore()
  await settled(
    world,
    (async () => {
      const env = world.env('engine')
      const log = await openLog(env, segmentBytes)
      await createTopics(log, ledger)
      await log.topics.create({ name: changelog, kind: 'changelog', partitions: 1 })
      const writers = [await log.open('w0'), await log.open('w1')]
      for (let i = 0; i < 14; i++) {
        const writer = writers[i % 2]!
        if (i === 5) store.delete('k1')
        else store.put(`k${i % 4}`, { n: i })
        const { bytes, count } = store.changes()!
        writer.state(changelog, 0, bytes, count)
        store.committed()
        const how = { bytes: i < 8 ? 1_100 : 300, keep: i === 1 || i === 6 }
        await commit(writer, ledger, how)
        if (i === 4 || i === 10) await snapshotOnce(env, log, changelog, 0, 'data/state')
        if (i !== 8) continue
        await log.topics.trim('store', 0, 6)
        await log.host.retain()
      }
      new Paused(env, 'data').add(['shop/main/0', 'shop/out/1'])
      savePlans(env, 'data', [{ pipeline: 'shop', hash: 'a' }] as unknown as Parameters<
        typeof savePlans
      >[2])
    })(),
  )
  const files = world.disk().contents()
  const next = worldWith(files)
  const { found } = await opened(next, segmentBytes)
  const state = JSON.stringify([0, 1, 2, 3].map((i) => store.get(`k${i}`)))
  if (found?.others['state'] !== state) throw new Error(`restored ${found?.others['state']}`)
  return whole('killed', files, segmentBytes, found, next, () => {})
}

/** A directory whose engine lost power: whole frames above the mark, and behind them half a frame. */
async function torn(): Promise<Golden> {
  const life = (await lives()).find(({ name }) => name === 'recover')!
  const { files } = life.before
  const world = worldWith(files, life.before.directories)
  const { found } = await opened(world, undefined)
  const known = life.ledger.known()
  const all = (seen: Found): void => void judge(seen, life.ledger, known, life.ledger.earliest)
  return whole('torn', files, 6_500, found, world, all)
}

function whole(
  name: string,
  files: Files,
  segmentBytes: number,
  found: Seen | undefined,
  world: Simulation,
  judged: (found: Found) => void,
): Golden {
  if (found === undefined || found.records.some(({ error }) => error !== undefined))
    throw new Error(`the directory "${name}" is damaged from the start`)
  judged(recordsOf(found))
  return { name, files, segmentBytes, found, after: world.disk().contents(), whole: judged }
}

const recordsOf = (found: Seen): Found => ({
  ...found,
  records: found.records.map(({ records }) => records),
})

async function opened(
  world: Simulation,
  segmentBytes: number | undefined,
): Promise<{ readonly found: Seen | undefined; readonly refused: MillraceError | undefined }> {
  const env = world.env('reader')
  const act = async (): Promise<Seen> => lookAt(env, await openLog(env, segmentBytes, false))
  try {
    return { found: await settled(world, act()), refused: undefined }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return { found: undefined, refused: error }
  }
}

async function lookAt(env: Env, log: Log): Promise<Seen> {
  const found = await look(log, async (topic, partition, offset) => {
    const records: string[] = []
    try {
      await read(log, topic, partition, offset, records)
      return { records, error: undefined }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      return { records, error }
    }
  })
  const others: Record<string, string | MillraceError> = {}
  const other = async (name: string, act: () => unknown): Promise<void> => {
    try {
      others[name] = JSON.stringify(await act())
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      others[name] = error
    }
  }
  await other('paused', () => new Paused(env, 'data').tasks)
  await other('plans', () => readPlans(env, 'data'))
  const names = (await log.topics.list()).map(({ name }) => name)
  if (names.includes(changelog)) {
    await other('state', async () => {
      const store = newStore()
      await restoreStores(env, log, 'data/state', [{ changelog, partition: 0, store }])
      return [0, 1, 2, 3].map((i) => store.get(`k${i}`))
    })
  }
  return { ...found, others }
}

/** A bit of a byte that says something, in a file that is as likely as any other: small files count for more than pages. */
export function bitOfSome(
  all: readonly Golden[],
  random: { pick<T>(list: readonly T[]): T; int(bound: number): number },
): number {
  const files = all.flatMap(({ files: one }) => inOrder(one)).map(([, bytes]) => bytes)
  const chosen = random.pick(files.filter((bytes) => bytes.length > 0))
  const says = [...chosen.keys()].filter((at) => chosen[at] !== 0)
  const before = files.slice(0, files.indexOf(chosen)).reduce((sum, { length }) => sum + length, 0)
  return (before + random.pick(says)) * 8 + random.int(8)
}

const inOrder = (files: Files): [string, Uint8Array][] =>
  [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))

export type Verdict = 'unchanged' | 'refused' | 'reported'

type Must = (holds: boolean, what: string, detail?: unknown) => void

interface Place {
  readonly golden: Golden
  readonly path: string
  readonly byte: number
  readonly mask: number
}

/** Flips one bit, counted over all directories and files by their names, and says what came of it. Throws on a broken promise. */
export async function flip(all: readonly Golden[], bit: number): Promise<Verdict> {
  const place = placeOf(all, bit)
  const { golden, path, byte, mask } = place
  const damaged = golden.files.get(path)!.slice()
  damaged[byte] = damaged[byte]! ^ mask
  const files = new Map(golden.files).set(path, damaged)
  const must: Must = (holds, what, detail = '') => {
    if (holds) return
    const where = `${golden.name}: ${path}, byte ${byte}, bit mask ${mask}`
    throw new Error(`${where}: ${what} ${JSON.stringify(detail)}`)
  }
  const world = worldWith(files)
  const { found, refused } = await opened(world, golden.segmentBytes)
  const after = viewsIn(world.disk().root)
  if (refused !== undefined) {
    named(refused, place, must)
    for (const [name, bytes] of files)
      must(same(after.get(name), bytes), `${name} was changed although it was refused`)
    must(after.size <= files.size + 1, 'files were made although it was refused')
    return 'refused'
  }
  nothingCut(golden, files, after, must)
  return sameAs(golden, found!, place, must)
}

function sameAs(golden: Golden, found: Seen, place: Place, must: Must): Verdict {
  const { topics, earliest, positions, records, others } = golden.found
  let verdict: Verdict = 'unchanged'
  for (const [i, { records: got, error }] of found.records.entries()) {
    if (error !== undefined) {
      named(error, place, must)
      verdict = 'reported'
    }
    const all = records[i]!.records
    must(String(got) === String(all.slice(0, got.length)), 'records changed', got)
    // Above the mark frames may be gone, and the judge of the directory says which.
    const complete = got.length === all.length || isAbove(golden.files, place)
    must(error !== undefined || complete, 'records are missing', got)
  }
  for (const [name, is] of Object.entries(found.others)) {
    if (typeof is === 'string') must(is === others[name], `${name} changed`, is)
    else if (is.code === 'MR6016') must(is.message.includes(fileOf(place.path)), is.message)
    else named(is, place, must)
    if (typeof is !== 'string') verdict = 'reported'
  }
  if (verdict === 'unchanged') golden.whole(recordsOf(found))
  if (isAbove(golden.files, place)) return verdict
  must(found.topics === topics, 'topics are missing')
  must(String(found.earliest) === String(earliest), 'earliest offsets changed', found.earliest)
  must(String(found.positions) === String(positions), 'positions changed', found.positions)
  return verdict
}

/** Files may be shorter only above the mark, and then what is missing is in quarantine. */
function nothingCut(golden: Golden, files: Files, after: Files, must: Must): void {
  const mark = markIn(golden.files)
  for (const [name, bytes] of files) {
    if (!/\.(seg|arc)$/.test(name)) continue
    const left = after.get(name)
    if (left === undefined) {
      must(!golden.after.has(name), `${name} was removed`)
      continue
    }
    if (same(left.subarray(0, bytes.length), bytes)) continue
    // Recovery goes on writing where it cut.
    const ends = (copy: Uint8Array): boolean => same(bytes.subarray(-copy.length), copy)
    const copies = [...after].filter(([path, copy]) => path.includes('/quarantine/') && ends(copy))
    const kept = bytes.length - (copies[0]?.[1].length ?? 0)
    must(kept < bytes.length, `${name} was changed, and nothing of it is in quarantine`)
    must(name.endsWith(mark.file) && kept >= mark.end, `${name} was cut off at ${kept}`)
    must(same(left.subarray(0, kept), bytes.subarray(0, kept)), `${name} was changed`)
  }
}

/** The message says where the damage is: file, offset and LSN, in words and in its details. */
function named(error: MillraceError, { golden, path, byte }: Place, must: Must): void {
  const { file, offset, lsn } = error.details as Record<string, unknown>
  const { message } = error
  must(file === fileOf(path), 'the error names another file', error)
  must(message.includes(String(file)), 'the message names no file', message)
  must(message.includes(`byte ${String(offset)} `), 'the message names no offset', message)
  must(message.includes(`LSN ${String(lsn)})`), 'the message names no LSN', message)
  const { from, to, lsn: of } = frameAt(path, golden.files.get(path)!, byte)
  must(from <= Number(offset) && Number(offset) <= byte && byte < to, 'another place', message)
  must(lsn === of, `it is in LSN ${of}`, message)
}

/** Every file as it is now, without a copy. */
function viewsIn(
  directory: Directory,
  prefix = '',
  found: Map<string, Uint8Array> = new Map(),
): Files {
  for (const [name, node] of directory.volatile) {
    if (node.kind === 'directory') viewsIn(node, `${prefix}/${name}`, found)
    else found.set(`${prefix}/${name}`, node.volatile.view())
  }
  return found
}

const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0
}

function placeOf(all: readonly Golden[], bit: number): Place {
  let rest = bit
  for (const golden of all) {
    for (const [path, bytes] of inOrder(golden.files)) {
      if (rest < bytes.length * 8) return { golden, path, byte: rest >> 3, mask: 1 << (rest & 7) }
      rest -= bytes.length * 8
    }
  }
  throw new Error(`There is no bit ${bit}.`)
}

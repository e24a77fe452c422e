/**
 * A crash at every disk operation of small lives of the log, and every disk that it can leave. Recovery must open each
 * of them, hold everything acknowledged, of the rest each commit whole or not at all and in order, and say the same
 * the second time.
 */
import { isChanging } from '../../src/core/env/simulated/faults.ts'
import type {
  DiskOperation,
  SimulatedDisk,
  Simulation,
} from '../../src/core/env/simulated/index.ts'
import { otherScenarios } from './fault-scenarios.ts'
import type { Started } from './faults.ts'
import { settled, worldWith } from './disk-from.ts'
import { commit, createTopics, judge, Ledger, look, noteEarliest, openLog } from './log-life.ts'
import type { Known } from './log-life.ts'
import { Picture } from './picture.ts'
import type { Image } from './picture.ts'

type Files = Pick<Image, 'files' | 'directories'>

interface Life {
  readonly name: string
  /** What is on the disk before it, and what is known of it. */
  readonly before: Files
  readonly ledger: Ledger
  readonly run: (world: Simulation, ledger: Ledger) => Promise<void>
}

interface Moment {
  readonly at: string
  readonly picture: Picture
  readonly known: Known
}

export interface Recorded {
  readonly name: string
  readonly operations: number
  readonly moments: readonly Moment[]
  readonly states: number
  readonly mostSectors: number
  readonly mostNames: number
  readonly ledger: Ledger
}

/** Runs a life to its end, with a picture before every operation that changes the disk and one at the end. */
export async function record(life: Life): Promise<Recorded> {
  const world = worldWith(life.before.files, life.before.directories)
  const disk = world.disk()
  const ledger = life.ledger.copy()
  const moments: Moment[] = []
  let operations = 0
  const take = (at: string): void => {
    moments.push({ at, picture: new Picture(disk), known: ledger.known() })
  }
  disk.hook = (operation, path) => {
    if (changes(disk, operation, path)) {
      if (operation !== 'open' || !path.endsWith('LOCK')) operations++
      take(`${operation} ${path}`)
    }
    return undefined
  }
  await settled(world, life.run(world, ledger))
  take('the end')
  return {
    name: life.name,
    operations,
    moments,
    states: moments.reduce((sum, { picture }) => sum + picture.states, 0),
    mostSectors: Math.max(...moments.map(({ picture }) => picture.pending.sectors)),
    mostNames: Math.max(...moments.map(({ picture }) => picture.pending.names)),
    ledger,
  }
}

/** Opens a disk as it was found, checks it, commits once more, loses power again, and checks again. */
export async function recover(image: Image, recorded: Recorded, known: Known): Promise<void> {
  const { ledger } = recorded
  const most = ledger.earliest
  const world = worldWith(image.files, image.directories)
  const later = ledger.copy()
  const first = await settled(
    world,
    (async () => {
      const log = await openLog(world.env('first'))
      const found = await look(log)
      const count = judge(found, ledger, known, most)
      await createTopics(log)
      const kept = ledger.order.slice(0, count).map((entry) => ({ ...entry }))
      later.entries.splice(0, later.entries.length, ...kept)
      // Another id than any before it, and not one that was never acknowledged.
      const writer = await log.open('w0')
      const id = await commitAfter(writer, later, ledger.entries.length)
      return { found, id }
    })(),
  )
  const again = worldWith(...lost(world))
  const second = await settled(
    again,
    (async () => await look(await openLog(again.env('second'))))(),
  )
  const expected = first.found.records.map((records, place) =>
    place === 2 ? records : [...records, first.id],
  )
  if (JSON.stringify(second.records) !== JSON.stringify(expected))
    throw new Error(
      `the second recovery says something else: ${JSON.stringify({ expected, second: second.records })}`,
    )
  if (JSON.stringify(second.earliest) !== JSON.stringify(first.found.earliest))
    throw new Error('the second recovery has other earliest offsets')
}

async function commitAfter(
  writer: Parameters<typeof commit>[0],
  later: Ledger,
  taken: number,
): Promise<string> {
  while (later.entries.length < taken)
    later.entries.push({ id: 0, writer: '', places: [], lsn: undefined })
  await commit(writer, later)
  const { lsn, id } = later.entries.at(-1)!
  return `${lsn}:${id}`
}

/** What is left of a world's disk when everything that was not synced is lost. */
function lost(world: Simulation): [ReadonlyMap<string, Uint8Array>, readonly string[]] {
  const { files, directories } = new Picture(world.disk()).image(0)
  return [files, directories]
}

const largeSegment = 20_000
const none: Files = { files: new Map(), directories: [] }

async function after(
  before: Files,
  ledger: Ledger,
  run: (world: Simulation, ledger: Ledger) => Promise<void>,
): Promise<{ readonly before: Files; readonly ledger: Ledger }> {
  const world = worldWith(before.files, before.directories)
  const next = ledger.copy()
  await settled(world, run(world, next))
  const { directories } = new Picture(world.disk()).image(0)
  return { before: { files: world.disk().contents(), directories }, ledger: next }
}

/** The lives: each begins where one before it left off, so that none has more than 60 operations. */
export async function lives(): Promise<readonly Life[]> {
  const create = async (world: Simulation, ledger: Ledger): Promise<void> => {
    const log = await openLog(world.env('engine'))
    await createTopics(log, ledger)
    const writer = await log.open('w0')
    await commit(writer, ledger)
    await log.stop()
  }
  const write = async (world: Simulation, ledger: Ledger): Promise<void> => {
    const log = await openLog(world.env('engine'))
    const writers = [await log.open('w0'), await log.open('w1')]
    await look(log)
    await commit(writers[0]!, ledger, { bytes: 900, keep: true })
    await Promise.all(writers.map((writer) => commit(writer, ledger, { bytes: 120 })))
    await look(log)
  }
  const fill =
    (bytes: number, segmentBytes?: number) =>
    async (world: Simulation, ledger: Ledger): Promise<void> => {
      const log = await openLog(world.env('engine'), segmentBytes)
      const writer = await log.open('w0')
      for (let i = 0; i < 10; i++) await commit(writer, ledger, { bytes, keep: i === 2 })
      await log.stop()
    }
  // The newest records of `events` stay by their size; what is trimmed besides decides what goes of the files.
  const retain =
    (kept: number) =>
    async (world: Simulation, ledger: Ledger): Promise<void> => {
      // Archives are at most half a segment, which has to be more than their header takes.
      const log = await openLog(world.env('engine'), kept === 0 ? largeSegment : undefined)
      await log.topics.trim('store', 0, 9)
      if (kept > 0) await log.topics.trim('kept', 0, kept)
      await log.host.retain()
      await noteEarliest(log, ledger)
      const writer = await log.open('w0')
      await commit(writer, ledger)
    }
  const created = await after(none, new Ledger(), create)
  const written = await after(created.before, created.ledger, write)
  const filled = await after(written.before, written.ledger, fill(250))
  const filledMore = await after(written.before, written.ledger, fill(1_400, largeSegment))
  const torn = await tornAfter(created.before, created.ledger, write)
  const open = async (world: Simulation): Promise<void> => void (await openLog(world.env('engine')))
  return [
    { name: 'create', before: none, ledger: new Ledger(), run: create },
    { name: 'write', ...created, run: write },
    { name: 'remove', ...filled, run: retain(2) },
    { name: 'archive', ...filledMore, run: retain(0) },
    { name: 'recover', ...torn, run: open },
  ]
}

/** A disk with a torn tail, so that recovery has something to put aside and something to write again. */
async function tornAfter(
  before: Files,
  ledger: Ledger,
  run: (world: Simulation, ledger: Ledger) => Promise<void>,
): Promise<{ readonly before: Files; readonly ledger: Ledger }> {
  const recorded = await record({ name: 'torn', before, ledger, run })
  for (const { at, picture, known } of recorded.moments) {
    if (!/^fdatasync .*seg$/.test(at)) continue
    for (let state = 0; state < picture.states; state++) {
      const { files, directories } = picture.image(state)
      const world = worldWith(files, directories)
      const { report } = await settled(world, openLog(world.env('engine')))
      if (report.tornBytes === 0 || report.rewrittenBytes === 0) continue
      const found = recorded.ledger.copy()
      found.acked = known.acked
      found.topics = known.topics
      return { before: { files, directories }, ledger: found }
    }
  }
  throw new Error('no crash leaves a torn tail behind a whole commit')
}

/** A life is small, so that all of it can be gone through. */
const mostOperations = 60

export interface CrashResult {
  readonly states: number
  readonly recoveries: number
  readonly broken: string[]
}

/** Goes through the states of all lives: every one where there are no more than `most`, else a seeded part of them. */
export async function crashStates(
  most: number,
  random: () => number,
  tell: (line: string) => void,
): Promise<CrashResult> {
  const recorded: Recorded[] = []
  for (const life of await lives()) recorded.push(await record(life))
  const all = recorded.reduce((sum, { states }) => sum + states, 0)
  const share = Math.min(1, most / all)
  const broken: string[] = []
  let states = 0
  let recoveries = 0
  for (const life of recorded) {
    const seen = new Set<string>()
    let here = 0
    for (const [index, { at, picture, known }] of life.moments.entries()) {
      for (let state = 0; state < picture.states; state++) {
        if (share < 1 && random() >= share) continue
        here++
        const image = picture.image(state)
        // The same disk with the same knowledge gives the same answer.
        const key = `${image.key} ${JSON.stringify(known)}`
        if (seen.has(key)) continue
        seen.add(key)
        try {
          await recover(image, life, known)
        } catch (error) {
          broken.push(`${life.name}, moment ${index} (${at}), state ${state}: ${String(error)}`)
        }
      }
    }
    states += here
    recoveries += 2 * seen.size
    const { name, operations, mostSectors, mostNames } = life
    if (operations > mostOperations) broken.push(`${name} has ${operations} operations`)
    tell(
      `${name}: ${operations} operations, at most ${mostSectors} sectors and ${mostNames} names unsynced, ${here} of ${life.states} states, ${seen.size} distinct`,
    )
  }
  return { states, recoveries, broken }
}

/** The same for whoever else has something durable to lose: every state, since there are few. */
export async function otherCrashStates(
  only: string | undefined,
  tell: (line: string) => void,
): Promise<CrashResult> {
  const broken: string[] = []
  let states = 0
  let recoveries = 0
  for (const { name, start } of otherScenarios()) {
    if (only !== undefined && only !== name) continue
    const seen = new Set<string>()
    let here = 0
    let operations = 0
    for (let alive = false; !alive; operations++) {
      const started = await start()
      const { judge } = started
      if (judge === undefined) break
      const { picture, at } = await runUntil(started, operations)
      alive = at === 'the end'
      for (let state = 0; state < picture.states; state++) {
        here++
        const { key, files, directories } = picture.image(state)
        const distinct = `${operations} ${key}`
        if (seen.has(distinct)) continue
        seen.add(distinct)
        try {
          const world = worldWith(files, directories)
          await judge(world)
          // Power is lost once more: what the first one made durable is all that the second one finds.
          await judge(worldWith(...lost(world)))
        } catch (error) {
          broken.push(`${name}, moment ${operations} (${at}), state ${state}: ${String(error)}`)
        }
      }
    }
    if (here === 0) continue
    states += here
    recoveries += 2 * seen.size
    tell(`${name}: ${operations - 1} operations, ${here} states, ${seen.size} distinct`)
  }
  return { states, recoveries, broken }
}

/** Runs up to the operation with this number among those that change the disk; from there on nothing happens any more. */
async function runUntil(
  { world, run }: Started,
  operation: number,
): Promise<{ readonly picture: Picture; readonly at: string }> {
  const disk = world.disk()
  let picture: Picture | undefined
  let at = 'the end'
  let operations = 0
  disk.hook = (name, path) => {
    if (picture === undefined) {
      if (!changes(disk, name, path) || operations++ < operation) return undefined
      picture = new Picture(disk)
      at = `${name} ${path}`
    }
    return { error: 'EIO' }
  }
  try {
    await run()
  } catch (error) {
    if (picture === undefined) throw error
  }
  disk.hook = undefined
  return { picture: picture ?? new Picture(disk), at }
}

/** Opening a file and making a directory change something only where it is not there. */
const changes = (disk: SimulatedDisk, operation: DiskOperation, path: string): boolean =>
  operation === 'open' || operation === 'mkdir'
    ? disk.find(path) === undefined
    : isChanging(operation)

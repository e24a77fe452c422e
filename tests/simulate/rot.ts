/** Bits that turn over in segments that were written long ago: it is said (I6), or what is read is what was there. */
import { MillraceError } from '../../src/errors.ts'
import type { Damage } from '../../src/log/embedded/inspect.ts'
import { Scrub } from '../../src/runtime/scrub.ts'
import type {
  SeededRandom,
  SimulatedDisk,
  SimulatedEngine,
  Simulation,
} from '../../src/testing/index.ts'
import { isGone, TopicWalk } from './observer.ts'
import { violation, Violation } from './violation.ts'

/** Inverts one bit of a sealed segment. False when there is none. */
export function rotOne(disk: SimulatedDisk, random: SeededRandom): boolean {
  const sealed = [...disk.contents()]
    .filter(([path, bytes]) => /\/log\/.*\.seg$/.test(path) && bytes.length > 0)
    .toSorted(([a], [b]) => baseOf(a) - baseOf(b))
    .slice(0, -1)
  const chosen = sealed[random.int(Math.max(1, sealed.length))]
  if (chosen === undefined) return false
  const [path, bytes] = chosen
  disk.flipBit(path, random.int(bytes.length), random.int(8))
  return true
}

/** `<epoch>-<base LSN>[-<to>].seg` */
function baseOf(path: string): number {
  return Number(/\/\d+-(\d+)/.exec(path)?.[1] ?? 0)
}

/** What one pass of the scrub finds damaged. */
export async function scrubbed(simulation: Simulation): Promise<readonly Damage[]> {
  const damaged: Damage[] = []
  const scrub = new Scrub(simulation.env('scrub'), {
    dataDir: 'data',
    bytesPerSecond: 2 ** 30,
    everyMs: 1,
    onProgress: () => {},
    onDamage: (damage) => damaged.push(damage),
  })
  await scrub.pass(new AbortController().signal)
  return damaged
}

/** Reads everything once more, and says whether somebody reported damage; throws where something is another than it was and nobody said so. */
export async function readRotten(engine: SimulatedEngine, before: TopicWalk): Promise<boolean> {
  const { log } = engine
  // The start, or a task.
  const { error: stopped } = engine
  if (stopped !== undefined) return stopped instanceof MillraceError && stopped.kind === 'data'
  if (log === undefined) return false
  const now = new TopicWalk()
  try {
    await now.read(log)
  } catch (error) {
    if (error instanceof Violation && error.invariant === 'I6') return true
    throw error
  }
  for (const [place, { nextOffset, lsn, crc }] of before.blocks) {
    if (isGone(now, place)) continue
    const again = now.blocks.get(place)
    if (again?.nextOffset === nextOffset && again.lsn === lsn && again.crc === crc) continue
    throw violation('I6', `after bit rot ${place} of LSN ${lsn} is another one, and nobody said so`)
  }
  return false
}

/** Bits that turn over in segments that were written long ago: it is said (I6), or what is read is what was there. */
import type { SeededRandom, SimulatedEngine, SimulatedDisk } from '../../src/testing/index.ts'
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

/** Reads everything once more; throws where something is another than it was and nobody said so. */
export async function readRotten(engine: SimulatedEngine, before: TopicWalk): Promise<void> {
  const { log } = engine
  if (log === undefined || engine.error !== undefined) return
  const now = new TopicWalk()
  try {
    await now.read(log)
  } catch (error) {
    if (error instanceof Violation && error.invariant === 'I6') return
    throw error
  }
  for (const [place, { nextOffset, lsn, crc }] of before.blocks) {
    if (isGone(now, place)) continue
    const again = now.blocks.get(place)
    if (again?.nextOffset === nextOffset && again.lsn === lsn && again.crc === crc) continue
    throw violation('I6', `after bit rot ${place} of LSN ${lsn} is another one, and nobody said so`)
  }
}

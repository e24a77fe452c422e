/**
 * Whether a killed engine left a commit half way: written into the log, in whole or in part, but not marked as durable and
 * so not acknowledged. Reads MARK and the segments with its own few lines, apart from the engine's decoder.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const MARK_SLOT = 4096
const SEGMENT_HEADER = 4096

export function openCommit(dataDir: string): boolean {
  const mark = readFileSync(join(dataDir, 'MARK'))
  const slots = [0, MARK_SLOT].filter((at) => mark.readUInt32LE(at) !== 0)
  const newest = slots.toSorted((a, b) => mark.readDoubleLE(b + 56) - mark.readDoubleLE(a + 56))[0]
  if (newest === undefined) return false
  const base = mark.readDoubleLE(newest + 40)
  const end = mark.readDoubleLE(newest + 48)
  for (const name of readdirSync(join(dataDir, 'log'))) {
    const found = /-(\d+)\.seg$/.exec(name)
    if (found === null) continue
    const size = statSync(join(dataDir, 'log', name)).size
    const segmentBase = Number(found[1])
    if (segmentBase === base && size > end) return true
    if (segmentBase > base && size > SEGMENT_HEADER) return true
  }
  return false
}

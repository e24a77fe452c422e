/**
 * Reads files that no longer change once more, as verification does, for a running engine: it says where bytes are not
 * what was written, and leaves to `millrace verify` what that costs.
 */
import type { Disk } from '../../core/env/env.ts'
import { MARK_SLOT, newestMark, SEGMENT_HEADER } from './format.ts'
import { flawDamage, headerDamage, sectionDamage } from './report.ts'
import type { Damage } from './report.ts'
import { bytesAt, listUnits, walkUnit } from './walk.ts'
import type { Unit } from './walk.ts'

/** Sealed segments and archives, in order of LSN. Throws DiskError where the folder cannot be listed. */
export function sealedUnits(disk: Disk, directory: string): Unit[] {
  const bytes = bytesAt(disk, `${directory}/MARK`, 0, 2 * MARK_SLOT)
  const mark = typeof bytes === 'string' ? undefined : newestMark(bytes)?.mark
  // From the segment of the mark on they are being written, or were just made.
  const to = mark?.segmentBase ?? 0
  return listUnits(disk, directory).filter(
    ({ id, size }) => id.baseLsn < to && size > SEGMENT_HEADER,
  )
}

/** What a step read, and what of it is damaged. */
export interface Scrubbed {
  readonly bytes: number
  readonly damage: Damage | undefined
}

/** Reads a file to its end, a commit at a time. Throws DiskError where it cannot be opened. */
export function* scrubUnit(disk: Disk, unit: Unit): Generator<Scrubbed> {
  if (unit.header.result === 'bad')
    yield { bytes: SEGMENT_HEADER, damage: headerDamage(unit, unit.header.why) }
  for (const found of walkUnit(disk, unit, unit.size)) {
    if (found.found === 'flaw') {
      yield { bytes: found.to - found.at, damage: flawDamage(unit, found) }
      continue
    }
    const bad = found.sections.find(({ bytes }) => bytes === undefined)
    const damage =
      bad === undefined ? undefined : sectionDamage(unit, bad, bad.why ?? 'not readable')
    yield { bytes: found.end - found.at, damage }
  }
}

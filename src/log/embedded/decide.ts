/**
 * Recovery's decisions: pure functions over observed facts. They say what may be done to a data directory; nothing
 * here touches it. The rule behind all of them: what was acknowledged is at or below the durable mark, so damage there
 * is refused and left as it is, and damage above it is the tail of a commit nobody was told about.
 */
import type { ErrorCode } from '../../errors.ts'
import { fileName, FORMAT_VERSION, hex, newestMark, sameBytes, SEGMENT_HEADER } from './format.ts'
import type { Bad, Mark, SegmentHeader, SegmentId, Super } from './format.ts'

export interface SegmentFact {
  readonly id: SegmentId
  readonly size: number
  readonly header: SegmentHeader | Bad
}

export interface LayoutFacts {
  /** SUPER.0 and SUPER.1; undefined where the file is missing. */
  readonly supers: readonly (Super | Bad | undefined)[]
  /** The MARK file's bytes; undefined where it is missing. */
  readonly mark: Uint8Array | undefined
  readonly segments: readonly SegmentFact[]
  /** Files that were being written when the process ended. */
  readonly leftovers: readonly string[]
}

export interface Refusal {
  readonly decision: 'refuse'
  readonly code: ErrorCode
  readonly what: string
  readonly details: Readonly<Record<string, unknown>>
}

export type LayoutDecision =
  | Refusal
  /** Nothing was ever committed here: create, over what a creation that was cut off left. */
  | { readonly decision: 'create' }
  | {
      readonly decision: 'scan'
      readonly super: Super
      readonly superSlot: 0 | 1
      readonly mark: Mark
      readonly markSlot: 0 | 1
      /** In order of LSN. */
      readonly segments: readonly SegmentFact[]
      /** Segments that never came into use, cut off while they were created; files that others stand for. */
      readonly drop: readonly SegmentId[]
      readonly leftovers: readonly string[]
    }

export function refuse(
  code: ErrorCode,
  what: string,
  details: Record<string, unknown> = {},
): Refusal {
  return { decision: 'refuse', code, what, details }
}

/** How every message about damage begins. */
export const at = (file: string, offset: number, lsn: number): string =>
  `In ${file} at byte ${offset} (LSN ${lsn})`

export function decideLayout(facts: LayoutFacts): LayoutDecision {
  const mark = facts.mark === undefined ? undefined : newestMark(facts.mark)
  const chosen = newestSuper(facts.supers)
  if (chosen === undefined) return withoutSuper(facts, mark?.mark)
  const { super: s, slot } = chosen
  if (s.version > FORMAT_VERSION || s.incompat !== 0 || s.roCompat !== 0) {
    const what = `It has format version ${s.version} with features ${s.incompat}/${s.roCompat}; this build knows version ${FORMAT_VERSION} without features.`
    return refuse('MR2004', what, { file: `SUPER.${slot}`, version: s.version })
  }
  const other = facts.supers[1 - slot]
  if (other?.result === 'super' && !sameBytes(other.uuid, s.uuid)) {
    return refuse(
      'MR2003',
      `SUPER.0 and SUPER.1 name two logs, ${hex(s.uuid)} and ${hex(other.uuid)}.`,
      { file: 'SUPER.0' },
    )
  }
  if (mark === undefined)
    return refuse('MR2002', 'Neither slot of MARK is readable.', { file: 'MARK' })
  if (!sameBytes(mark.mark.uuid, s.uuid)) {
    return refuse(
      'MR2003',
      `MARK belongs to log ${hex(mark.mark.uuid)}, SUPER to ${hex(s.uuid)}.`,
      { file: 'MARK' },
    )
  }
  const segments = facts.segments.toSorted((a, b) => a.id.baseLsn - b.id.baseLsn)
  const stood = stoodFor(segments)
  const present = segments.filter((fact) => !stood.has(fact))
  const drop = segments.filter((fact) => stood.has(fact) || isUnused(fact, present, mark.mark))
  const rest = segments.filter((fact) => !drop.includes(fact))
  const refusal = checkSegments(rest, s, mark.mark)
  if (refusal !== undefined) return refusal
  return {
    decision: 'scan',
    leftovers: facts.leftovers,
    super: s,
    superSlot: slot,
    mark: mark.mark,
    markSlot: mark.slot,
    segments: rest,
    drop: drop.map((d) => d.id),
  }
}

function newestSuper(
  supers: LayoutFacts['supers'],
): { readonly super: Super; readonly slot: 0 | 1 } | undefined {
  const [a, b] = supers
  if (a?.result === 'super' && (b?.result !== 'super' || a.sequence > b.sequence))
    return { super: a, slot: 0 }
  return b?.result === 'super' ? { super: b, slot: 1 } : undefined
}

/** SUPER is the last thing a creation writes, so without one either nothing was ever committed or it was destroyed. */
function withoutSuper(facts: LayoutFacts, mark: Mark | undefined): LayoutDecision {
  const used = facts.segments.filter((s) => s.size > SEGMENT_HEADER)
  if (used.length === 0 && (mark === undefined || mark.lsn === 0)) return { decision: 'create' }
  return refuse('MR2002', 'Neither SUPER.0 nor SUPER.1 is readable, yet there is data.', {
    file: 'SUPER.0',
  })
}

/**
 * An archive and files that it stands for can both be there when the process ended between. While all of them are, the
 * archive's name may not be durable, so it goes; once one is missing, the archive was durable, so they go.
 */
export function stoodFor(segments: readonly SegmentFact[]): ReadonlySet<SegmentFact> {
  const dropped = new Set<SegmentFact>()
  const archives = segments.filter((fact) => fact.id.toLsn !== undefined)
  const width = ({ id }: SegmentFact): number => (id.toLsn ?? 0) - id.baseLsn
  for (const archive of archives.toSorted((a, b) => width(b) - width(a))) {
    if (dropped.has(archive)) continue
    const { baseLsn, toLsn = 0 } = archive.id
    const inside = ({ id }: SegmentFact): boolean => id.baseLsn >= baseLsn && id.baseLsn < toLsn
    const members = segments.filter((f) => f !== archive && inside(f) && !dropped.has(f))
    const { header } = archive
    const there = new Set(members.map((fact) => fileName(fact.id)))
    const all = header.result === 'segment' && header.members.every((name) => there.has(name))
    for (const fact of all ? [archive] : members) dropped.add(fact)
  }
  return dropped
}

/**
 * A segment takes frames only after the mark names it. So one without frames that the mark does not name was just being
 * made (its name or header may not be durable), or is an earlier attempt whose removal was lost: at the same LSN, or at
 * a lower one where the disk had no room for a segment and a commit went into the old one all the same.
 */
function isUnused(fact: SegmentFact, segments: readonly SegmentFact[], mark: Mark): boolean {
  const { epoch, baseLsn } = fact.id
  if (fact.id.toLsn !== undefined) return false
  if (fact.size > SEGMENT_HEADER || (baseLsn === mark.segmentBase && epoch === mark.segmentEpoch))
    return false
  const last = segments.every(
    (other) => other.id.baseLsn <= baseLsn || other.size <= SEGMENT_HEADER,
  )
  return (
    (last && baseLsn > mark.segmentBase) ||
    segments.some((other) => other !== fact && other.id.baseLsn === baseLsn)
  )
}

function checkSegments(
  segments: readonly SegmentFact[],
  s: Super,
  mark: Mark,
): Refusal | undefined {
  for (const [i, { id, header }] of segments.entries()) {
    const file = fileName(id)
    const details = { file, offset: 0, lsn: id.baseLsn }
    if (header.result === 'bad')
      return refuse(
        'MR2002',
        `${at(file, 0, id.baseLsn)}: its header has a flaw: ${header.why}.`,
        details,
      )
    if (!sameBytes(header.uuid, s.uuid))
      return refuse('MR2003', `${file} belongs to log ${hex(header.uuid)}.`, details)
    if (header.version > FORMAT_VERSION)
      return refuse('MR2004', `${file} has format version ${header.version}.`, details)
    if (header.baseLsn !== id.baseLsn || header.epoch !== id.epoch) {
      const is = `${header.epoch}-${header.baseLsn}`
      return refuse('MR2002', `${file} is, by its header, ${is}: files were renamed.`, details)
    }
    if (segments[i - 1]?.id.baseLsn === id.baseLsn)
      return refuse('MR2002', `Two segments begin at LSN ${id.baseLsn}.`, details)
  }
  const named = segments.find(
    (f) => f.id.baseLsn === mark.segmentBase && f.id.epoch === mark.segmentEpoch,
  )
  if (named === undefined)
    return missing(
      fileName({ epoch: mark.segmentEpoch, baseLsn: mark.segmentBase }),
      mark.segmentBase,
      'MARK',
    )
  if (
    s.checkpointLsn > 0 &&
    !segments.some((f) => f.id.baseLsn === s.checkpointSegment && f.id.toLsn === undefined)
  ) {
    return missing(`the segment from LSN ${s.checkpointSegment}`, s.checkpointSegment, 'SUPER')
  }
  return undefined
}

function missing(file: string, lsn: number, by: string): Refusal {
  return refuse('MR2002', `${file} is missing; ${by} names it.`, { file, offset: 0, lsn })
}

export interface ChainFact {
  readonly id: SegmentId
  readonly size: number
  readonly prevHash: bigint
  /** From its index or a walk; undefined for the last one. */
  readonly sealed:
    | {
        readonly nextLsn: number
        readonly end: number
        readonly lastHash: bigint
        readonly broken: string | undefined
      }
    | undefined
}

/** Whether the segments are whole and follow one another; `removedTo` is the LSN up to which retention removed them. */
export function decideChain(
  chain: readonly ChainFact[],
  removedTo: number,
): Refusal | { readonly decision: 'whole' } {
  let expected = removedTo + 1
  let hash: bigint | undefined
  for (const { id, size, prevHash, sealed } of chain) {
    const file = fileName(id)
    if (id.baseLsn !== expected) {
      return refuse('MR2002', `Before ${file} the segment with LSN ${expected} is missing.`, {
        file,
        offset: 0,
        lsn: expected,
      })
    }
    if (hash !== undefined && hash !== prevHash) {
      return refuse('MR2002', `${file} does not follow the segment before it.`, {
        file,
        offset: 0,
        lsn: id.baseLsn,
      })
    }
    if (sealed === undefined) continue
    const details = { file, offset: sealed.end, lsn: sealed.nextLsn }
    if (sealed.broken !== undefined) {
      return refuse('MR2002', `${at(file, sealed.end, sealed.nextLsn)}: ${sealed.broken}.`, details)
    }
    if (size !== sealed.end)
      return refuse(
        'MR2002',
        `${file} has ${size} bytes where ${sealed.end} were written.`,
        details,
      )
    expected = sealed.nextLsn
    hash = sealed.lastHash
  }
  return { decision: 'whole' }
}

export interface TailFacts {
  /** LSN of the durable mark. */
  readonly markLsn: number
  /** Where the sound frames end: the segment, the byte, and the LSN of the next frame. */
  readonly file: string
  readonly offset: number
  readonly nextLsn: number
  readonly size: number
  readonly lastSegment: boolean
  /** Why what follows is not a frame; undefined when the file ends there. */
  readonly why: string | undefined
  /** Where a sound frame of a later group was found behind the flaw. */
  readonly later: number | undefined
}

export type TailDecision =
  | Refusal
  | { readonly decision: 'clean' }
  | { readonly decision: 'torn'; readonly bytes: number }

export function decideTail(facts: TailFacts): TailDecision {
  const { file, offset, nextLsn, why } = facts
  const details = { file, offset, lsn: nextLsn }
  const here = at(file, offset, nextLsn)
  if (nextLsn <= facts.markLsn) {
    const flaw = why ?? 'the file ends'
    return refuse(
      'MR2002',
      `${here}: ${flaw}, while commits up to LSN ${facts.markLsn} were acknowledged.`,
      details,
    )
  }
  if (why === undefined) return { decision: 'clean' }
  if (!facts.lastSegment)
    return refuse('MR2002', `${here}: ${why}, while a later segment follows.`, details)
  if (facts.later !== undefined) {
    return refuse(
      'MR2002',
      `${here}: ${why}, while a later commit is sound at byte ${facts.later}.`,
      details,
    )
  }
  return { decision: 'torn', bytes: facts.size - offset }
}

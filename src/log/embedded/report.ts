/** What verification says of a log. */
import type { PartitionOffsets } from '../log.ts'
import { sectionKinds } from './format.ts'
import type { Found, FoundSection, Unit } from './walk.ts'

type Flaw = Extract<Found, { found: 'flaw' }>

/** Records that were acknowledged and cannot be read any more: offsets `from` up to below `to`. */
export interface Lost {
  readonly topic: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** Damage of a file, and what is damaged there. */
export interface Damage {
  /** Within the directory. */
  readonly file: string
  readonly offset: number
  readonly lsn: number
  /** As a sentence. */
  readonly what: string
}

export interface Finding {
  /** `note`: nothing is wrong. `harmless`: damage that costs nothing. `damage`: data is lost or the engine does not start. */
  grade: 'note' | 'harmless' | 'damage'
  /** Within the directory. */
  readonly file: string
  readonly offset?: number
  readonly lsn?: number
  /** What is there, as a sentence. */
  readonly what: string
  /** What that means, and what to do. */
  means: string
  lost: readonly Lost[]
  /** Not all that was in there is known: a partition may have ended later than it seems to now. */
  uncertain?: true
}

export interface LogReport {
  readonly logId: string | undefined
  readonly epoch: number | undefined
  /** The last commit that was durable when this began. */
  readonly lsn: number | undefined
  readonly starts: boolean
  /** Why it would not start, as the engine says it. */
  readonly refusal: string | undefined
  readonly files: number
  readonly bytes: number
  readonly commits: number
  readonly records: number
  readonly topics: number
  readonly findings: readonly Finding[]
  /** Where each partition of each topic begins and ends, by the name of the topic. */
  readonly offsets: ReadonlyMap<string, readonly PartitionOffsets[]>
}

export interface Progress {
  readonly file: string
  readonly done: number
  readonly total: number
}

export function headerDamage(unit: Unit, why: string): Damage {
  const what = `The header of the file has a flaw: ${why}.`
  return { file: `log/${unit.name}`, offset: 0, lsn: unit.id.baseLsn, what }
}

export function flawDamage(unit: Unit, { at, to, lsn, toLsn, why }: Flaw): Damage {
  const last = toLsn === undefined ? '' : lsn === toLsn - 1 ? '' : ` to ${toLsn - 1}`
  const what = `Bytes ${at} to ${to}, where commit ${lsn}${last} must be, are damaged: ${why}.`
  return { file: `log/${unit.name}`, offset: at, lsn, what }
}

export function sectionDamage(unit: Unit, { section }: FoundSection, why: string): Damage {
  const { kind, baseOffset, nextOffset, at, lsn } = section
  const damaged =
    kind <= sectionKinds.state
      ? `A block of ${nextOffset - baseOffset} offsets in commit ${lsn} is damaged`
      : `The ${nameOf(kind)} in commit ${lsn} are damaged`
  return { file: `log/${unit.name}`, offset: at, lsn, what: `${damaged}: ${why}.` }
}

function nameOf(kind: number): string {
  if (kind === sectionKinds.positions) return 'positions'
  return kind === sectionKinds.changes
    ? 'changes of topics and writers'
    : 'contents of a checkpoint'
}

/** Whether anything is damaged that costs data or keeps the engine from starting. */
export const isDamaged = ({ findings }: Pick<LogReport, 'findings'>): boolean =>
  findings.some(({ grade }) => grade === 'damage')

/** What verification says of a log. */
import type { PartitionOffsets } from '../log.ts'

/** Records that were acknowledged and cannot be read any more: offsets `from` up to below `to`. */
export interface Lost {
  readonly topic: string
  readonly partition: number
  readonly from: number
  readonly to: number
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

/** Whether anything is damaged that costs data or keeps the engine from starting. */
export const isDamaged = ({ findings }: Pick<LogReport, 'findings'>): boolean =>
  findings.some(({ grade }) => grade === 'damage')

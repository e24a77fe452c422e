/** What is in a log, commit by commit, readable by people and by other code. */
import type { Disk } from '../../core/env/env.ts'
import { MARK_SLOT, newestMark, sectionKinds } from './format.ts'
import { decodeChanges, decodePositions } from './payloads.ts'
import type { Change, PositionEntry } from './payloads.ts'
import { checkStart } from './start-check.ts'
import { LogState } from './state.ts'
import { bytesAt, listUnits, walkUnit } from './walk.ts'
import type { Found } from './walk.ts'

/** What a section says, as far as the log itself reads it; `bytes` for whoever reads more. */
export interface DumpedSection {
  readonly kind:
    | 'records'
    | 'control'
    | 'state'
    | 'positions'
    | 'changes'
    | 'checkpoint'
    | 'unknown'
  readonly topic: string | undefined
  readonly partition: number
  /** Offsets `from` up to below `to`. */
  readonly from: number
  readonly to: number
  readonly count: number
  readonly at: number
  readonly length: number
  /** Why its bytes cannot be trusted; they are not here then. */
  readonly damaged: string | undefined
  readonly bytes: Uint8Array | undefined
  readonly positions: readonly (PositionEntry & { readonly topicName: string })[] | undefined
  readonly changes: readonly Change[] | undefined
}

export type Dumped = { readonly file: string; readonly unmarked: boolean } & (
  | {
      readonly what: 'commit'
      readonly commit: Extract<Found, { found: 'commit' }>
      readonly writer: string
      readonly sections: readonly DumpedSection[]
    }
  | { readonly what: 'flaw'; readonly flaw: Extract<Found, { found: 'flaw' }> }
)

const kinds = new Map<number, DumpedSection['kind']>(
  Object.entries(sectionKinds).map(([name, kind]) => [kind, name as keyof typeof sectionKinds]),
)

/** Everything in the log from commit `from` on, in order; damage where it is. Throws DiskError where there is no log. */
export function* dumpLog(disk: Disk, directory: string, from: number): Generator<Dumped> {
  const start = checkStart(disk, directory)
  const names = new Names(start.starts ? start.state : new LogState())
  const markPath = `${directory}/MARK`
  const bytes = disk.exists(markPath) ? bytesAt(disk, markPath, 0, 2 * MARK_SLOT) : ''
  const mark = typeof bytes === 'string' ? undefined : newestMark(bytes)?.mark
  const units = listUnits(disk, directory)
  for (const [i, unit] of units.entries()) {
    const following = units[i + 1]
    if (following !== undefined && following.id.baseLsn <= from) continue
    for (const found of walkUnit(disk, unit, unit.size)) {
      const lsn = found.found === 'flaw' ? (found.toLsn ?? Infinity) - 1 : found.lsn
      if (found.found === 'commit') names.learn(found)
      if (lsn < from) continue
      const where = { file: unit.name, unmarked: mark !== undefined && found.lsn > mark.lsn }
      if (found.found === 'flaw') yield { ...where, what: 'flaw', flaw: found }
      else yield { ...where, what: 'commit', commit: found, ...names.read(found) }
    }
  }
}

/** Names of topics and writers, from the state and from what the walk comes by. */
class Names {
  readonly #topics = new Map<number, string>()
  readonly #writers = new Map<number, string>()

  constructor(state: LogState) {
    this.#take(state)
  }

  learn(found: Extract<Found, { found: 'commit' }>): void {
    for (const { section, bytes } of found.sections) {
      if (bytes === undefined) continue
      if (section.kind === sectionKinds.checkpoint) {
        const state = LogState.fromCheckpoint(bytes)
        if (state !== undefined) this.#take(state)
      }
      if (section.kind !== sectionKinds.changes) continue
      for (const change of decodeChanges(bytes) ?? []) {
        if (change.type === 'topic') this.#topics.set(change.info.id, change.info.name)
        if (change.type === 'writer') this.#writers.set(change.id, change.owner)
      }
    }
  }

  read(found: Extract<Found, { found: 'commit' }>): {
    readonly writer: string
    readonly sections: readonly DumpedSection[]
  } {
    const id = found.head?.writer ?? 0
    const writer = id === 0 ? 'the log itself' : (this.#writers.get(id) ?? `writer ${id}`)
    return { writer, sections: found.sections.map((one) => this.#section(one)) }
  }

  #section({
    section,
    bytes,
    why,
  }: Extract<Found, { found: 'commit' }>['sections'][number]): DumpedSection {
    const { partition, baseOffset, nextOffset, count, at, length } = section
    const kind = kinds.get(section.kind) ?? 'unknown'
    const own = { kind, partition, from: baseOffset, to: nextOffset, count, at, length, bytes }
    const positions =
      kind === 'positions' && bytes !== undefined ? decodePositions(bytes) : undefined
    return {
      ...own,
      damaged: why,
      topic: section.kind <= sectionKinds.state ? this.#topic(section.topic) : undefined,
      positions: positions?.map((p) => ({ ...p, topicName: this.#topic(p.topic) })),
      changes: kind === 'changes' && bytes !== undefined ? decodeChanges(bytes) : undefined,
    }
  }

  #topic(id: number): string {
    return this.#topics.get(id) ?? `topic ${id}`
  }

  #take(state: LogState): void {
    for (const [id, topic] of state.topics) this.#topics.set(id, topic.info.name)
    for (const [owner, { id }] of state.writers) this.#writers.set(id, owner)
  }
}

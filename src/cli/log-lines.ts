/** What is in a log, as lines for people and as JSON. */
import { BlockView, readControl } from '../log/block.ts'
import type { Dumped, DumpedSection } from '../log/embedded/inspect.ts'
import { ChangelogReader } from '../state/changelog.ts'
import { MillraceError } from '../errors.ts'

export interface LineOptions {
  /** Only sections of this topic. */
  readonly topic: string | undefined
  /** Also every record and state change. */
  readonly records: boolean
}

/** A record or a change of state, as far as it is text. */
interface Entry {
  readonly offset?: number
  readonly time?: string
  readonly key: string | undefined
  /** Undefined for a deletion. */
  readonly value: string | undefined
}

/** Whether anything of it is asked for. */
export function isWanted(dumped: Dumped, topic: string | undefined): boolean {
  if (topic === undefined || dumped.what === 'flaw') return true
  return dumped.sections.some((section) => touches(section, topic))
}

function touches(section: DumpedSection, topic: string): boolean {
  return (
    section.topic === topic ||
    (section.positions?.some(({ topicName }) => topicName === topic) ?? false)
  )
}

const wantedOf = (sections: readonly DumpedSection[], topic: string | undefined) =>
  topic === undefined ? sections : sections.filter((section) => touches(section, topic))

export function jsonOf(dumped: Dumped, { topic, records }: LineOptions): unknown {
  const { file, unmarked } = dumped
  if (dumped.what === 'flaw') {
    const { at, to, lsn, toLsn, why } = dumped.flaw
    return { damaged: why, file, at, to, lsn, toLsn, unmarked }
  }
  const { commit, writer } = dumped
  const { lsn, at, head } = commit
  const own = head && {
    epoch: head.epoch,
    group: head.group,
    writer,
    writerEpoch: head.writerEpoch,
    commit: head.commitNumber,
    time: isoOf(head.time),
    bytes: head.length,
  }
  const sections = wantedOf(dumped.sections, topic).map((section) => {
    const { bytes: _, positions, ...rest } = section
    return {
      ...rest,
      positions: positions?.map(({ topic: __, topicName, ...p }) => ({ ...p, topic: topicName })),
      entries: records ? entriesOf(section) : undefined,
    }
  })
  return { lsn, file, at, ...own, unmarked, sections }
}

export function linesOf(dumped: Dumped, { topic, records }: LineOptions): string[] {
  const behind = dumped.unmarked ? '  (behind the mark: nobody was told that it is durable)' : ''
  if (dumped.what === 'flaw') {
    const { at, to, lsn, toLsn, why } = dumped.flaw
    const upTo = toLsn === undefined ? 'on' : `to ${toLsn - 1}`
    return [
      `DAMAGED  ${dumped.file} bytes ${at} to ${to}, commits from ${lsn} ${upTo}: ${why}${behind}`,
    ]
  }
  const { commit, writer, file } = dumped
  const { lsn, at, head } = commit
  const by =
    head === undefined
      ? 'kept of a commit that is archived'
      : `${isoOf(head.time)}  by ${writer}${head.writer === 0 ? '' : ` (epoch ${head.writerEpoch}, its commit ${head.commitNumber})`}  ${head.length} bytes`
  const lines = [`commit ${lsn}  ${file} byte ${at}  ${by}${behind}`]
  for (const section of wantedOf(dumped.sections, topic)) {
    lines.push(`  ${textOf(section)}`)
    if (!records) continue
    for (const { offset, time, key, value } of entriesOf(section) ?? []) {
      const place = offset === undefined ? '' : `${offset}  `
      lines.push(
        `    ${place}${time === undefined ? '' : `${time}  `}${key ?? '-'}  ${value ?? '(deleted)'}`,
      )
    }
  }
  return lines
}

function textOf(section: DumpedSection): string {
  const { kind, topic, partition, from, to, count, length, damaged } = section
  const flaw = damaged === undefined ? '' : `  DAMAGED: ${damaged}`
  const size = `${length} bytes${flaw}`
  const place = `${topic ?? ''} partition ${partition}`
  switch (kind) {
    case 'records':
      return `records   ${place}  offsets ${from} to ${to - 1}  ${count} records  ${size}`
    case 'state':
      return `state     ${place}  offsets ${from} to ${to - 1}  ${count} changes  ${size}`
    case 'control':
      return `watermark ${place}  offset ${from}  ${watermarkOf(section)}  ${size}`
    case 'positions':
      return `positions ${positionsOf(section)}  ${size}`
    case 'changes':
      return `changes   ${section.changes?.map((change) => JSON.stringify(change)).join(' ') ?? ''}  ${size}`
    case 'checkpoint':
      return `checkpoint: where a start begins to read  ${size}`
    case 'unknown':
      return `a section that this version does not know  ${size}`
  }
}

function positionsOf({ positions }: DumpedSection): string {
  const all = (positions ?? []).map(
    (p) => `${p.group} ${p.topicName}/${p.partition} at ${p.offset}`,
  )
  return all.join(', ')
}

function watermarkOf({ bytes }: DumpedSection): string {
  const control = bytes === undefined ? undefined : readControl(bytes)
  return control === undefined ? '' : `task ${control.upstream} at ${isoOf(control.watermark)}`
}

function entriesOf({ kind, bytes, from }: DumpedSection): Entry[] | undefined {
  if (bytes === undefined) return undefined
  if (kind === 'state') return changesIn(bytes)
  if (kind !== 'records') return undefined
  const view = new BlockView()
  if (!view.read(bytes)) return undefined
  return Array.from({ length: view.count }, (_, i) => ({
    offset: from + i,
    time: isoOf(view.timestamps[i] ?? NaN),
    key: shown(view.key(i)),
    value: shown(view.value(i)),
  }))
}

function changesIn(bytes: Uint8Array): Entry[] | undefined {
  const entries: Entry[] = []
  const reader = new ChangelogReader(bytes)
  try {
    for (let entry = reader.next(); entry !== undefined; entry = reader.next())
      entries.push({ key: shown(entry.key), value: shown(entry.value) })
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
  }
  return entries
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Text as it is, without what would move the cursor of a terminal; other bytes in hexadecimal. */
function shown(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined
  try {
    const text = decoder.decode(bytes)
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    if (!/[\u0000-\u001f\u007f-\u009f]/.test(text)) return text
  } catch {
    // Not UTF-8: shown like other bytes.
  }
  return `0x${Buffer.from(bytes).toString('hex')}`
}

function isoOf(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms)
}

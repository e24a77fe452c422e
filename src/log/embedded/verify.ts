/**
 * Verifies a log without changing anything: every file, every frame head, every section, and whether an engine would
 * start on it. It works beside a running engine, up to the end that was durable when it began.
 */
import { readControl, BlockView } from '../block.ts'
import type { Disk } from '../../core/env/env.ts'
import { stoodFor } from './decide.ts'
import {
  decodeMark,
  decodeSuper,
  hex,
  MARK_BYTES,
  MARK_SLOT,
  newestMark,
  sectionKinds,
  SUPER_BYTES,
} from './format.ts'
import type { FrameHead, Mark, Super } from './format.ts'
import { decodeChanges, decodePositions } from './payloads.ts'
import { offsetsOf } from './queries.ts'
import { flawDamage, headerDamage, sectionDamage } from './report.ts'
import type { Finding, LogReport, Progress } from './report.ts'
import { isLive } from './retention.ts'
import { isMissing } from './segments.ts'
import { checkStart } from './start-check.ts'
import type { StartCheck } from './start-check.ts'
import { LogState, placeOf, placeParts } from './state.ts'
import { bytesAt, listUnits, storedIndex, walkUnit } from './walk.ts'
import type { Found, FoundSection, Unit, Walked } from './walk.ts'

interface RawLost {
  readonly place: number
  readonly from: number
  readonly to: number
}

/** Runs to its report; every step is a piece of work of bounded size. Throws DiskError where there is no directory. */
export function* verifyLog(disk: Disk, directory: string): Generator<Progress, LogReport> {
  return (yield* verifyState(disk, directory)).report
}

/** Besides the report, the state of the log: as a start would have it, or else as far as it can be read. */
export function* verifyState(
  disk: Disk,
  directory: string,
): Generator<Progress, { readonly report: LogReport; readonly state: LogState }> {
  const verifier = new Verifier(disk, directory)
  return yield* verifier.run()
}

class Verifier {
  readonly #disk: Disk
  readonly #directory: string
  readonly #findings: Finding[] = []
  readonly #lost = new Map<Finding, RawLost[]>()
  /** Per place: the offset that must come next, and how many flaws there were when it was last seen. */
  readonly #next = new Map<number, { offset: number; flaws: number }>()
  /** What the frames say, where recovery's own state is not to be had. */
  #walked = new LogState()
  readonly #view = new BlockView()
  #flaw: Finding | undefined
  #flaws = 0
  /** Flaws behind which no checkpoint is readable, which would say where each partition ended. */
  #open: Finding[] = []
  /** From this commit to that of the mark nothing is there. */
  #cutAt: number | undefined
  /** Per place, the offset of its first section, where no flaw came before it. */
  readonly #first = new Map<number, number>()
  #commits = 0
  #records = 0
  #super: Super | undefined
  #mark: Mark | undefined

  constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.#directory = directory
  }

  *run(): Generator<Progress, { readonly report: LogReport; readonly state: LogState }> {
    const start = checkStart(this.#disk, this.#directory)
    this.#heads()
    const units = listUnits(this.#disk, this.#directory)
    const total = units.reduce((sum, { size }) => sum + size, 0)
    yield* this.#units(units, total)
    const state = start.starts ? start.state : this.#walked
    this.#checkBeginnings(units[0]?.id.baseLsn ?? Infinity, state)
    this.#checkEnds(state)
    this.#settle(state)
    this.#judgeStart(start)
    const report = {
      logId: this.#super === undefined ? undefined : hex(this.#super.uuid),
      epoch: this.#super?.epoch,
      lsn: this.#mark?.lsn,
      starts: start.starts,
      refusal: start.starts ? undefined : start.error.message,
      files: units.length,
      bytes: total,
      commits: this.#commits,
      records: this.#records,
      topics: state.topics.size,
      findings: this.#findings,
      offsets: new Map([...state.names.keys()].map((name) => [name, offsetsOf(state, name)])),
    }
    return { report, state }
  }

  /** SUPER and MARK: two slots each, of which one is enough. */
  #heads(): void {
    const supers = [0, 1].map((slot) => this.#slot(`SUPER.${slot}`, 0, SUPER_BYTES, decodeSuper))
    for (const s of supers) {
      if (s !== undefined && (this.#super === undefined || s.sequence > this.#super.sequence))
        this.#super = s
    }
    for (const slot of [0, 1]) this.#slot('MARK', slot * MARK_SLOT, MARK_BYTES, decodeMark)
    const bytes = this.#file('MARK', 0, 2 * MARK_SLOT)
    if (typeof bytes !== 'string') this.#mark = newestMark(bytes)?.mark
    if (this.#mark !== undefined) return
    const finding = this.#add({
      grade: 'damage',
      file: 'MARK',
      offset: 0,
      what: 'Neither slot of MARK is readable, so up to which commit the log was durable is not known.',
      means: `The engine does not start. ${UNCERTAIN}`,
    })
    finding.uncertain = true
  }

  #slot<T extends { readonly result: string }>(
    file: string,
    at: number,
    length: number,
    decode: (bytes: Uint8Array) => T,
  ): Exclude<T, { readonly result: 'bad' }> | undefined {
    const bytes = this.#file(file, at, length)
    // A slot that was never written is empty or zeros: no flaw.
    if (typeof bytes !== 'string' && bytes.every((byte) => byte === 0)) return undefined
    const decoded = typeof bytes === 'string' ? undefined : decode(bytes)
    if (decoded !== undefined && decoded.result !== 'bad')
      return decoded as Exclude<T, { readonly result: 'bad' }>
    const why = typeof bytes === 'string' ? bytes : (decoded as { readonly why?: string }).why
    this.#add({
      grade: 'harmless',
      file,
      offset: at,
      what: `One of the two slots of ${file.replace(/\.\d$/, '')} is not readable: ${why}.`,
      means:
        'The other slot counts as long as it is readable, and the next write makes this one again. A crash in the middle of a write leaves the same.',
    })
    return undefined
  }

  *#units(found: readonly Unit[], total: number): Generator<Progress> {
    let units = found
    let done = 0
    let expected = 0
    let before: Unit | undefined
    for (let looks = 0; ;) {
      const stood = stoodFor(units)
      const unit = units.find(
        (u) => !stood.has(u) && lastOf(u) >= expected && !this.#isDouble(u, units),
      )
      if (unit === undefined) break
      // Behind the mark: just made, or made by a start that did not get on. Nothing acknowledged is in it.
      const { lsn } = this.#mark ?? { lsn: Infinity }
      if (unit.id.baseLsn > lsn && !this.#isMarked(unit)) break
      let walked: Walked
      try {
        if (before !== undefined && unit.id.baseLsn > expected)
          this.#missing(before, unit, expected)
        walked = yield* this.#unit(unit, done, total)
      } catch (error) {
        // An engine that runs put an archive in its place, or removed it.
        if (!isMissing(error) || looks++ > 100) throw error
        units = listUnits(this.#disk, this.#directory)
        const [first] = units
        if (first !== undefined && first.id.baseLsn > expected) before = undefined
        continue
      }
      done += unit.size
      before = unit
      expected = walked.nextLsn
      units = units.filter((u) => u !== unit)
    }
    if (this.#mark === undefined || expected > this.#mark.lsn || before === undefined) return
    this.#missing(before, undefined, expected)
    this.#cutAt = expected
  }

  *#unit(unit: Unit, done: number, total: number): Generator<Progress, Walked> {
    const file = `log/${unit.name}`
    if (unit.header.result === 'bad') {
      this.#add({
        grade: 'damage',
        ...headerDamage(unit, unit.header.why),
        means:
          'What is behind it may be sound, but the engine does not start with it. `millrace salvage` takes what is readable into a new directory.',
      })
    }
    const walk = walkUnit(this.#disk, unit, this.#limit(unit))
    let step = walk.next()
    let sections = 0
    let flawed = unit.header.result === 'bad'
    for (; step.done !== true; step = walk.next()) {
      const found = step.value
      if (found.found === 'flaw') {
        this.#foundFlaw(unit, found)
        flawed = true
      } else {
        sections += this.#commit(unit, found)
      }
      yield { file, done: done + found.at, total }
    }
    if (!flawed && unit.id.toLsn === undefined) this.#index(unit, step.value, sections)
    return step.value
  }

  /** Behind the mark lies what nobody was told of; beside a running engine it may be half written. */
  #limit(unit: Unit): number {
    const { id, size } = unit
    const mark = this.#mark
    if (mark === undefined || id.toLsn !== undefined) return size
    return this.#isMarked(unit) ? Math.min(size, mark.end) : size
  }

  #isMarked({ id }: Unit): boolean {
    return id.baseLsn === this.#mark?.segmentBase && id.epoch === this.#mark.segmentEpoch
  }

  /** An earlier attempt at the same LSN, whose removal was lost. */
  #isDouble(unit: Unit, units: readonly Unit[]): boolean {
    const twin = units.find((u) => u !== unit && u.id.baseLsn === unit.id.baseLsn)
    return twin !== undefined && (this.#isMarked(twin) || twin.size > unit.size)
  }

  #commit(unit: Unit, found: Extract<Found, { found: 'commit' }>): number {
    const { head, sections } = found
    if (head !== undefined) this.#commits++
    let readable = 0
    for (const one of sections) {
      const { kind } = one.section
      if (kind <= sectionKinds.state) {
        readable++
        this.#offsets(one)
      }
      if (one.bytes === undefined) this.#badSection(unit, one, one.why ?? 'not readable')
      else if (!this.#decodes(kind, one.bytes))
        this.#badSection(unit, one, 'its bytes match their hash, but this build cannot read them')
      else if (kind === sectionKinds.records) this.#records += one.section.count
      if (one.bytes !== undefined && kind === sectionKinds.checkpoint)
        this.#checkpoint(LogState.fromCheckpoint(one.bytes))
    }
    if (head !== undefined) this.#learn(head, sections)
    return readable
  }

  #checkpoint(state: LogState | undefined): void {
    if (state === undefined) return
    this.#walked = state
    this.#open = []
  }

  /** What a frame says of the state, but for what of it is damaged. */
  #learn(head: FrameHead, sections: readonly FoundSection[]): void {
    const bytes = new Map(head.sections.map((s, i) => [s, sections[i]?.bytes]))
    const usable = head.sections.filter(
      (s) => s.kind <= sectionKinds.state || bytes.get(s) !== undefined,
    )
    this.#walked.apply({ ...head, sections: usable }, (s) => bytes.get(s)!)
  }

  #decodes(kind: number, bytes: Uint8Array): boolean {
    switch (kind) {
      case sectionKinds.records:
        return this.#view.read(bytes)
      case sectionKinds.control:
        return readControl(bytes) !== undefined
      case sectionKinds.positions:
        return decodePositions(bytes) !== undefined
      case sectionKinds.changes:
        return decodeChanges(bytes) !== undefined
      case sectionKinds.checkpoint:
        return LogState.fromCheckpoint(bytes) !== undefined
      default:
        return kind === sectionKinds.state
    }
  }

  /** Offsets have no gaps, so a jump behind a flaw says what was in it. */
  #offsets({ section }: FoundSection): void {
    const place = placeOf(section.topic, section.partition)
    const known = this.#next.get(place) ?? { offset: 0, flaws: 0 }
    if (this.#flaws === 0 && !this.#first.has(place)) this.#first.set(place, section.baseOffset)
    if (this.#flaw !== undefined && known.flaws < this.#flaws && section.baseOffset > known.offset)
      this.#lose(this.#flaw, place, known.offset, section.baseOffset)
    const offset = Math.max(known.offset, section.nextOffset)
    this.#next.set(place, { offset, flaws: this.#flaws })
  }

  #badSection(unit: Unit, one: FoundSection, why: string): void {
    const { kind, topic, partition, baseOffset, nextOffset, lsn } = one.section
    const damage = sectionDamage(unit, one, why)
    if (kind <= sectionKinds.state) {
      const finding = this.#add({ grade: 'damage', ...damage, means: '' })
      this.#lose(finding, placeOf(topic, partition), baseOffset, nextOffset)
      return
    }
    const held = lsn < (this.#super?.checkpointLsn ?? 0)
    this.#add({
      grade: held ? 'harmless' : 'damage',
      ...damage,
      means: held
        ? 'A later checkpoint holds what they said, so nothing is lost.'
        : 'Without them positions and topics are not known, and the engine does not start. `millrace salvage` goes back to what is known before them.',
    })
  }

  #foundFlaw(unit: Unit, found: Extract<Found, { found: 'flaw' }>): void {
    this.#gap(this.#add({ grade: 'damage', ...flawDamage(unit, found), means: '' }))
  }

  #missing(before: Unit, after: Unit | undefined, lsn: number): void {
    const toLsn = after?.id.baseLsn ?? (this.#mark?.lsn ?? lsn) + 1
    // A flaw that reached the end of the file has said so already.
    if (this.#flaw?.file === `log/${before.name}` && this.#flaw.lsn === lsn) return
    const range = toLsn - 1 === lsn ? `commit ${lsn} is` : `commits ${lsn} to ${toLsn - 1} are`
    this.#gap(
      this.#add({
        grade: 'damage',
        file: `log/${before.name}`,
        offset: before.size,
        lsn,
        what: `Behind the end of this file, ${range} missing: it was cut off, or a file is gone.`,
        means: '',
      }),
    )
  }

  #gap(flaw: Finding): void {
    this.#flaw = flaw
    this.#flaws++
    this.#open.push(flaw)
  }

  #index(unit: Unit, walked: Walked, sections: number): void {
    const file = `log/${unit.name.replace(/\.seg$/, '.idx')}`
    if (!this.#disk.exists(`${this.#directory}/${file}`)) return
    const map = storedIndex(this.#disk, unit)
    const same = map?.nextLsn === walked.nextLsn && map.lastHash === walked.hash
    if (same && map.sections === sections) return
    // Written while its segment was ended: that one is newer than what is looked at here.
    if (unit.id.baseLsn === this.#mark?.segmentBase) return
    this.#add({
      grade: 'harmless',
      file,
      offset: 0,
      lsn: unit.id.baseLsn,
      what: 'The index of this segment is damaged.',
      means: 'It is made from the segment, and made again when the engine starts. Nothing is lost.',
    })
  }

  /** What the first file must begin with, and does not: the files before it are gone. */
  #checkBeginnings(firstLsn: number, state: LogState): void {
    if (firstLsn <= state.removedTo + 1) return
    const first = [...this.#first].flatMap(([place, from]) => {
      const { topic, partition } = placeParts(place)
      const earliest = state.topics.get(topic)?.earliest[partition] ?? Infinity
      return earliest < from ? [{ place, earliest, from }] : []
    })
    if (first.length === 0) return
    const finding = this.#add({
      grade: 'damage',
      file: 'log',
      lsn: state.removedTo + 1,
      what: 'Files at the beginning of the log are missing, of which something may still be read.',
      means: '',
    })
    for (const { place, earliest, from } of first) this.#lose(finding, place, earliest, from)
  }

  #checkEnds(state: LogState): void {
    for (const [id, topic] of state.topics) {
      for (const [partition, next] of topic.next.entries()) {
        const known = this.#next.get(placeOf(id, partition)) ?? { offset: 0, flaws: 0 }
        if (this.#flaw !== undefined && known.flaws < this.#flaws && next > known.offset)
          this.#lose(this.#flaw, placeOf(id, partition), known.offset, next)
      }
    }
  }

  /** Says of each damage what it cost, now that it is known what may still be read at all. */
  #settle(state: LogState): void {
    for (const finding of this.#findings) {
      if (finding.means !== '') continue
      const lost = (this.#lost.get(finding) ?? []).filter(({ place, to }) =>
        isLive(state, place, to),
      )
      finding.lost = lost.map(({ place, from, to }) => {
        const { topic, partition } = placeParts(place)
        const there = state.topics.get(topic)!
        return {
          topic: there.info.name,
          partition,
          from: Math.max(from, there.earliest[partition]!),
          to,
        }
      })
      const section = finding.what.startsWith('A block')
      if (finding.lost.length > 0) finding.means = LOST
      else if (section) {
        finding.grade = 'harmless'
        finding.means =
          'Retention has let go of these records, or their topic is deleted: nothing is lost.'
      } else finding.means = UNKNOWN
    }
    for (const finding of this.#open) {
      finding.uncertain = true
      const tail = finding === this.#flaw && this.#cutAt !== undefined
      const cut = tail ? `Commits ${this.#cutAt} to ${this.#mark?.lsn} are lost. ` : ''
      finding.means = `${cut}${finding.lost.length > 0 ? `${LOST} ` : ''}${UNCERTAIN}`
    }
  }

  #judgeStart(start: StartCheck): void {
    if (start.starts) {
      const { torn } = start
      if (torn === undefined) return
      this.#add({
        grade: 'note',
        file: `log/${torn.file}`,
        offset: torn.at,
        what: `The last ${torn.bytes} bytes are a commit that was not finished.`,
        means:
          'Nobody was told that it was accepted. The next start moves these bytes to `quarantine/`; beside a running engine it is the commit being written.',
      })
      return
    }
    const { file, offset } = start.error.details
    const known = this.#findings.find(
      (f) => f.grade === 'damage' && (f.file === `log/${String(file)}` || f.file === file),
    )
    if (known !== undefined) return
    this.#add({
      grade: 'damage',
      file: typeof file === 'string' ? file : '.',
      ...(typeof offset === 'number' ? { offset } : {}),
      what: `The engine does not start: ${start.error.message}`,
      means: 'What this report counts as sound can be taken out by `millrace salvage`.',
    })
  }

  #add(finding: Omit<Finding, 'lost'>): Finding {
    const made: Finding = { ...finding, lost: [] }
    this.#findings.push(made)
    return made
  }

  #lose(finding: Finding, place: number, from: number, to: number): void {
    const list = this.#lost.get(finding) ?? []
    list.push({ place, from, to })
    this.#lost.set(finding, list)
  }

  #file(name: string, at: number, length: number): Uint8Array | string {
    const path = `${this.#directory}/${name}`
    return this.#disk.exists(path) ? bytesAt(this.#disk, path, at, length) : 'the file is not there'
  }
}

const LOST =
  'These records were accepted and cannot be read from this directory any more. A reader stops there (MR2005) and skips nothing. Put back a backup with `millrace restore`, or take everything else out with `millrace salvage`.'
const UNCERTAIN =
  'Whatever else was accepted at the end of a partition may be lost, and nothing readable says how much. `millrace salvage` says where each partition ends now.'
const UNKNOWN =
  'No record that can still be read is known to be in it. `millrace salvage` writes a directory without the damage.'

/** An LSN that is in the unit if any is: of a segment the first, as only its frames say where it ends. */
const lastOf = ({ id }: Unit): number => (id.toLsn === undefined ? id.baseLsn : id.toLsn - 1)

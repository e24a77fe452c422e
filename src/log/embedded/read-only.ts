/**
 * A data directory opened for reading alone: no lock, nothing changed, whether an engine runs on it or not. It shows
 * what was committed when it was opened; its readers also see what is committed later.
 */
import type { Env } from '../../core/env/env.ts'
import { DiskError } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import type { Log, ReadFrom, Reader, Topics } from '../log.ts'
import { decideLayout, refuse } from './decide.ts'
import { fileName, MARK_SLOT, newestMark } from './format.ts'
import type { Mark, SegmentHeader } from './format.ts'
import { gatherLayout, refusal } from './facts.ts'
import type { Published } from './published.ts'
import { findOffsetAt, listTopics, offsetsOf, placeFor, positionsOf } from './queries.ts'
import { EarliestOffsets, SegmentReader } from './reader.ts'
import { scanSegment } from './scan.ts'
import { isMissing, Segments } from './segments.ts'
import { LogState, placeOf } from './state.ts'
import { readFile, runSteps, step } from './steps.ts'
import type { Steps } from './steps.ts'

/** How often a waiting reader looks at the mark (ms): there is nobody here who could wake it. */
const POLL_MS = 200

/** An engine that runs may remove a segment between our looking and our reading: then look again, this often. */
const ATTEMPTS = 3

/** Throws MillraceError: no log there, damaged, foreign, newer. */
export function openReadOnly(env: Env, directory: string): Log & { close(): void } {
  for (let attempt = 1; ; attempt++) {
    try {
      const { state, uuid, mark } = runSteps(readState(env, directory))
      return new ReadOnlyLog(env, directory, state, uuid, mark)
    } catch (error) {
      const moved = isMissing(error) || (error instanceof MillraceError && error.code === 'MR2002')
      if (moved && attempt < ATTEMPTS) continue
      if (!(error instanceof DiskError)) throw error
      const what = `Reading ${directory} failed: ${error.message}.`
      throw new MillraceError('MR2015', what, { cause: error })
    }
  }
}

function* readState(
  env: Env,
  directory: string,
): Steps<{ state: LogState; uuid: Uint8Array; mark: Mark }> {
  const layout = decideLayout(yield* gatherLayout(env.disk, directory))
  if (layout.decision === 'refuse') throw refusal(directory, layout)
  if (layout.decision === 'create') throw new MillraceError('MR2015', `${directory} holds no log.`)
  const { mark, super: s } = layout
  let state = s.checkpointLsn > 0 ? undefined : new LogState()
  for (const { id, header, size } of layout.segments) {
    if (id.baseLsn < s.checkpointSegment || id.baseLsn > mark.segmentBase) continue
    if (id.toLsn !== undefined) continue
    const path = `${directory}/log/${fileName(id)}`
    const file = yield* step('open', path, () => env.disk.open(path, 'read'))
    const from = id.baseLsn === s.checkpointSegment ? s.checkpointPosition : 0
    const end = id.baseLsn === mark.segmentBase ? Math.min(size, mark.end) : size
    const input = {
      file,
      header: header as SegmentHeader,
      size: end,
      from,
      markLsn: Infinity,
      state,
    }
    const { map, state: after } = yield* scanSegment(input)
    yield* step('close', path, () => file.close())
    const short = id.baseLsn === mark.segmentBase && map.end < mark.end
    if (map.broken !== undefined || short || after === undefined) {
      const details = { file: path, offset: map.end, lsn: map.nextLsn }
      throw refusal(
        directory,
        refuse(
          'MR2002',
          `In ${path} at byte ${map.end}: ${map.broken ?? 'the file ends'}.`,
          details,
        ),
      )
    }
    state = after
  }
  return { state: state ?? new LogState(), uuid: s.uuid, mark }
}

class ReadOnlyLog implements Log {
  readonly topics: Topics
  readonly #env: Env
  readonly #directory: string
  readonly #state: LogState
  readonly #segments: Segments
  /** The newest segment that the state knows. */
  readonly #tail: number
  #published: Published

  constructor(env: Env, directory: string, state: LogState, uuid: Uint8Array, mark: Mark) {
    this.#env = env
    this.#directory = directory
    this.#state = state
    this.#published = mark
    this.#tail = mark.segmentBase
    this.#segments = new Segments(env.disk, `${directory}/log`, uuid, () => this.#published)
    const no = (): Promise<never> => Promise.reject(readOnly())
    this.topics = {
      list: async (name) => listTopics(state, name),
      offsets: async (name) => offsetsOf(state, name),
      offsetAt: async (name, partition, timeMs) =>
        findOffsetAt(state, this.#segments, name, partition, timeMs),
      create: no,
      delete: no,
      hold: no,
      trim: no,
    }
  }

  open(): Promise<never> {
    return Promise.reject(readOnly())
  }

  async positions(group: string) {
    return positionsOf(this.#state, group)
  }

  async reader(from: readonly ReadFrom[]): Promise<Reader> {
    const places = from.map((f) => placeFor(this.#state, this.#tail, f))
    const earliest = new EarliestOffsets()
    for (const p of places) earliest.note(placeOf(p.topicId, p.partition), p.earliest)
    const host = {
      segments: this.#segments,
      earliest,
      wait: (seenLsn: number, signal?: AbortSignal) => this.#wait(seenLsn, signal),
      publishedLsn: () => this.#published.lsn,
    }
    return new SegmentReader(host, places)
  }

  close(): void {
    this.#segments.close()
  }

  async #wait(seenLsn: number, signal?: AbortSignal): Promise<void> {
    while (signal?.aborted !== true) {
      this.#look()
      if (this.#published.lsn > seenLsn) return
      await this.#env.timers.sleep(POLL_MS, signal)
    }
  }

  #look(): void {
    const found = newestMark(
      runSteps(readFile(this.#env.disk, `${this.#directory}/MARK`, 2 * MARK_SLOT)),
    )
    if (found !== undefined && found.mark.lsn > this.#published.lsn) this.#published = found.mark
  }
}

function readOnly(): MillraceError {
  return new MillraceError('MR2009', 'It was opened for reading alone.')
}

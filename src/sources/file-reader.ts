import type { Disk, DiskFile } from '../core/env/env.ts'
import { DiskError } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import {
  generations,
  headOf,
  longestHead,
  readFully,
  readPosition,
  statOf,
} from './file-position.ts'
import type { FilePosition } from './file-position.ts'
import { paceOf } from './pace.ts'
import type { SourceContext, SourcePoll, SourceReader } from './source.ts'

export interface FileReaderOptions {
  readonly follow: boolean
  readonly eventsPerSecond: number | undefined
}

/** The file that is being read. */
interface Current extends FilePosition {
  readonly file: DiskFile
}

const newline = 0x0a
/** How often a followed file is looked at. */
const pollMs = 250
const firstRead = 64 * 1024

export class FileReader implements SourceReader {
  readonly #path: string
  readonly #options: FileReaderOptions
  readonly #disk: Disk
  readonly #pace
  #current: Current | undefined
  /** No position says yet which file is read: one is handed out before any event, so that a rotation cannot hide it. */
  #unknown = false
  /** When the current file was last seen to change; tells which files are newer should it be deleted. */
  #changedMs = 0
  /** Holds the longest line that is taken, and what shows that a line is longer. */
  #buffer = new Uint8Array(firstRead)

  constructor(path: string, options: FileReaderOptions, context: SourceContext) {
    this.#path = path
    this.#options = options
    this.#disk = context.env.disk
    this.#pace = paceOf(context.env.clock, options.eventsPerSecond)
    this.#guard(() => {
      if (context.position === undefined) this.#begin(context.start === 'latest')
      else this.#current = this.#resume(readPosition(path, context.position))
    })
  }

  poll(maxEvents: number, maxBytes: number): SourcePoll {
    return this.#guard(() => this.#poll(maxEvents, maxBytes))
  }

  close(): void {
    this.#current?.file.close()
    this.#current = undefined
  }

  #poll(maxEvents: number, maxBytes: number): SourcePoll {
    if (this.#current === undefined) this.#begin(false)
    if (this.#current !== undefined && this.#unknown) return this.#took([], this.#current)
    const allowed = Math.min(maxEvents, this.#pace?.allowed() ?? Infinity)
    if (allowed < 1) return { result: 'idle', againInMs: this.#pace?.waitMs() ?? pollMs }
    while (this.#current !== undefined) {
      let current: Current = this.#current
      if (this.#options.follow && truncated(current)) current = fromTheStart(current)
      const { events, after } = this.#read(current, allowed, maxBytes, !this.#options.follow)
      if (events.length > 0 || after.offset !== this.#current.offset)
        return this.#took(events, after)
      if (!this.#options.follow) return { result: 'ended' }
      if (!this.#rotated(current)) break
      // A new file is there, so this one is written no more: what it still has is read, even half a line.
      const rest = this.#read(current, allowed, maxBytes, true)
      if (rest.after.offset !== current.offset) return this.#took(rest.events, rest.after)
      const next = this.#openNext(current)
      if (next === undefined) break
      current.file.close()
      this.#current = next
    }
    return { result: 'idle', againInMs: pollMs }
  }

  #took(events: Uint8Array[], after: Current): SourcePoll {
    this.#unknown = false
    this.#pace?.took(events.length)
    this.#current = withHead(after)
    const { inode, offset, head, headBytes, cut } = this.#current
    const position: FilePosition = { inode, offset, head, headBytes, cut }
    return { result: 'events', events, position: JSON.stringify(position) }
  }

  /** Whole lines from the current offset; with `rest` also what stands behind the last newline at the end of the file. */
  #read(
    current: Current,
    maxEvents: number,
    maxBytes: number,
    rest: boolean,
  ): { events: Uint8Array[]; after: Current } {
    for (let want = firstRead; ; want *= 4) {
      const size = Math.min(want, limits.eventBytes + firstRead)
      if (this.#buffer.length < size) this.#buffer = new Uint8Array(size)
      const bytes = this.#buffer.subarray(0, size)
      const length = readFully(current.file, bytes, current.offset)
      const result = splitLines(bytes.subarray(0, length), current, maxEvents, maxBytes)
      if (result.after.offset !== current.offset || length === 0) return result
      if (length < size) {
        if (!rest) return result
        return {
          events: eventIn(bytes, 0, length),
          after: { ...current, offset: current.offset + length },
        }
      }
      if (size < want) {
        // No newline in all of this: the line is too long. Its beginning is enough to say so.
        const after = { ...current, offset: current.offset + length, cut: true }
        return { events: [bytes], after }
      }
    }
  }

  /** Whether the path leads to another file by now. */
  #rotated(current: Current): boolean {
    const stat = statOf(this.#disk, this.#path)
    if (stat?.inode === current.inode) this.#changedMs = stat.mtimeMs
    return stat !== undefined && stat.inode !== current.inode
  }

  #openNext(current: Current): Current | undefined {
    const files = generations(this.#disk, this.#path)
    const at = files.findIndex((file) => file.inode === current.inode)
    const next = at >= 0 ? files[at + 1] : files.find((file) => file.mtimeMs >= this.#changedMs)
    return next === undefined ? undefined : this.#openNew(next.path)
  }

  #begin(latest: boolean): void {
    const current = this.#openNew(this.#path)
    if (current === undefined && !this.#options.follow) {
      throw new MillraceError('MR1060', `There is no file ${this.#path}.`)
    }
    this.#current = current !== undefined && latest ? atEnd(current) : current
    this.#unknown = current !== undefined
  }

  #resume(position: FilePosition): Current | undefined {
    const files = generations(this.#disk, this.#path)
    if (files.length === 0) {
      // It may come back; another one in its place is told from it then.
      const what = `There is no file ${this.#path}, which was read to byte ${position.offset}.`
      throw new MillraceError('MR1060', what)
    }
    // The same file first; then one with the same beginning, for files that were copied back.
    const order = [
      ...files.filter((f) => f.inode === position.inode),
      ...files.filter((f) => f.inode !== position.inode),
    ]
    for (const candidate of order) {
      const opened = this.#openNew(candidate.path)
      if (opened === undefined) continue
      if (
        opened.file.size() >= position.offset &&
        headOf(opened.file, position.headBytes) === position.head
      ) {
        this.#changedMs = candidate.mtimeMs
        return { ...position, file: opened.file, inode: opened.inode }
      }
      // Emptied and written anew: the one change of a file that a follower goes along with.
      if (this.#options.follow && opened.inode === position.inode && candidate.path === this.#path)
        return opened
      opened.file.close()
    }
    const what = `The file source ${this.#path} was read to byte ${position.offset}`
    if (!this.#options.follow)
      throw new MillraceError('MR1061', `${what}; the file there is another one now.`)
    throw new MillraceError('MR1064', `${what}; no file here or beside it begins like that one.`)
  }

  /** Opens a file from its first byte; undefined when there is none. */
  #openNew(path: string): Current | undefined {
    for (;;) {
      const before = statOf(this.#disk, path)
      if (before === undefined) return undefined
      let file: DiskFile
      try {
        file = this.#disk.open(path, 'read')
      } catch (error) {
        if (error instanceof DiskError && error.code === 'ENOENT') continue
        throw error
      }
      // Renamed between the two calls: the inode would be that of the other file.
      if (statOf(this.#disk, path)?.inode === before.inode) {
        return { file, inode: before.inode, offset: 0, head: 0, headBytes: 0, cut: false }
      }
      file.close()
    }
  }

  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      throw new MillraceError('MR1060', `The file source ${this.#path}: ${error.message}.`, {
        cause: error,
      })
    }
  }
}

/** Behind the last byte; when that is within a line, its rest is passed over. */
function atEnd(current: Current): Current {
  const offset = current.file.size()
  const last = new Uint8Array(1)
  const whole = offset === 0 || (current.file.read(last, offset - 1) === 1 && last[0] === newline)
  return withHead({ ...current, offset, cut: !whole })
}

/** The lines that end in `bytes`, which begin at the current offset. Empty lines are passed over. */
function splitLines(
  bytes: Uint8Array,
  current: Current,
  maxEvents: number,
  maxBytes: number,
): { events: Uint8Array[]; after: Current } {
  const events: Uint8Array[] = []
  let at = 0
  let { cut } = current
  if (cut) {
    const end = bytes.indexOf(newline)
    // Passing over the rest of a long line may take many reads.
    if (end < 0) return { events, after: { ...current, offset: current.offset + bytes.length } }
    at = end + 1
    cut = false
  }
  while (events.length < maxEvents && at < maxBytes) {
    const end = bytes.indexOf(newline, at)
    if (end < 0) break
    events.push(...eventIn(bytes, at, end))
    at = end + 1
  }
  return { events, after: { ...current, offset: current.offset + at, cut } }
}

/** The line without the white space around it; nothing when nothing is left. */
function eventIn(bytes: Uint8Array, start: number, end: number): Uint8Array[] {
  let from = start
  let to = end
  while (from < to && isSpace(bytes[from]!)) from++
  while (to > from && isSpace(bytes[to - 1]!)) to--
  return from === to ? [] : [bytes.subarray(from, to)]
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === newline
}

/** Shorter than what was read of it, or beginning with something else: emptied and written anew. */
function truncated(current: Current): boolean {
  if (current.offset === 0) return false
  return (
    current.file.size() < current.offset || headOf(current.file, current.headBytes) !== current.head
  )
}

function fromTheStart(current: Current): Current {
  return { ...current, offset: 0, head: 0, headBytes: 0, cut: false }
}

/** The hash of the beginning grows with what is done, until it is long enough. */
function withHead(current: Current): Current {
  const headBytes = Math.min(current.offset, longestHead)
  if (headBytes === current.headBytes) return current
  return { ...current, headBytes, head: headOf(current.file, headBytes) ?? 0 }
}

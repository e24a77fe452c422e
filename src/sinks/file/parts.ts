/**
 * The files of one partition of a file sink.
 *
 *   <prefix>-<from>-<to>.ndjson   finished: complete, synced, never touched again. `ls` order is the order of offsets.
 *   .<prefix>-<from>.part         being written; nobody should look at it
 *   .<prefix>.position            who owns the partition, where it stands, and how much of the part counts
 *
 * A reader of `*.ndjson` sees only finished files, and a file is finished by one rename. What counts of the part is what
 * the position file says; that file is replaced by one rename as well, after the part was synced. So rows and position move
 * in one step, whatever crashes when.
 */
import { decodeCheckedJson, encodeCheckedJson } from '../../core/checked-json.ts'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { checkDelivery, claim, deletes, keepRejected } from '../position.ts'
import type { Opening, PositionRow } from '../position.ts'
import type { SinkBatch } from '../sink.ts'

interface Part {
  readonly from: number
  readonly to: number
  readonly length: number
}

interface Recorded extends PositionRow {
  readonly part: Part | undefined
}

const digits = 16
const encoder = new TextEncoder()

export class PartitionFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #prefix: string
  readonly #who: Opening
  readonly #partition: number
  #part: Part | undefined
  #file: DiskFile | undefined
  /** Writing failed half way: only the next opening knows what counts. */
  #broken = false
  /** Finishing the part failed half way: it comes before everything else. */
  #unfinished = false

  constructor(disk: Disk, directory: string, prefix: string, who: Opening, partition: number) {
    this.#disk = disk
    this.#directory = directory
    this.#prefix = prefix
    this.#who = who
    this.#partition = partition
  }

  /** Bytes in the part that is being written. */
  get bytes(): number {
    return this.#part?.length ?? 0
  }

  /** Takes the partition over: fences the owner before, and finishes what it left behind. */
  open(): void {
    const before = this.#load()
    const row = { ...claim(before, this.#who, this.#partition), part: before?.part }
    // First the claim, so that an older writer stops; only then its part is touched.
    this.#save(row)
    const part = before?.part
    const partName = part === undefined ? undefined : this.#partName(part.from)
    for (const { name } of this.#disk.list(this.#directory)) {
      if (!name.startsWith(`.${this.#prefix}-`) || !name.endsWith('.part')) continue
      if (name !== partName) this.#disk.unlink(this.#path(name))
    }
    if (part === undefined || partName === undefined || !this.#disk.exists(this.#path(partName)))
      return
    const file = this.#disk.open(this.#path(partName), 'write')
    try {
      file.truncate(part.length)
      file.fdatasync()
    } finally {
      file.close()
    }
    this.#part = part
    this.#finish()
  }

  stored(): PositionRow | undefined {
    return this.#load()
  }

  /** Appends the lines of a batch and moves the position, both or neither. */
  append(batch: SinkBatch): void {
    if (this.#broken)
      throw new MillraceError('MR5007', `An earlier write to ${this.#directory} failed.`)
    checkDelivery(this.#load(), this.#who, batch)
    if (this.#unfinished) this.#finish()
    this.#broken = true
    const bytes = encoder.encode(batch.records.map(lineOf).join(''))
    let part = this.#part
    if (bytes.length > 0) {
      const isNew = part === undefined
      part ??= { from: batch.from, to: batch.from, length: 0 }
      this.#file ??= this.#disk.open(this.#path(this.#partName(part.from)), 'write')
      if (isNew) this.#file.truncate(0)
      writeAll(this.#file, bytes, part.length)
      this.#file.fdatasync()
      // Its name must be there before the position that counts on it: a disk may keep the later name alone.
      if (isNew) this.#disk.fsyncDir(this.#directory)
      part = { from: part.from, to: batch.to, length: part.length + bytes.length }
    }
    const { logId, epoch } = this.#who.context
    const { opening } = this.#who
    this.#save({ logId, epoch, opening, offset: batch.to, rejected: keepRejected(batch, []), part })
    this.#part = part
    this.#broken = false
  }

  /** Shows the part to readers, unless somebody else owns the partition by now. */
  roll(): void {
    if (this.#broken || this.#part === undefined || this.#load()?.opening !== this.#who.opening)
      return
    this.#finish()
  }

  /** Closes without finishing: what counts of the part is recorded, the next opening finishes it. */
  abandon(): void {
    this.#file?.close()
    this.#file = undefined
  }

  #finish(): void {
    const part = this.#part
    if (part === undefined) return
    this.#unfinished = true
    this.abandon()
    const before = this.#path(this.#partName(part.from))
    const after = this.#path(`${this.#prefix}-${pad(part.from)}-${pad(part.to)}.ndjson`)
    this.#disk.rename(before, after)
    try {
      this.#disk.fsyncDir(this.#directory)
    } catch (error) {
      // No later sync makes up for one that failed: it has to be renamed anew.
      this.#disk.rename(after, before)
      throw error
    }
    this.#part = undefined
    this.#unfinished = false
  }

  #load(): Recorded | undefined {
    const path = this.#path(this.#positionName())
    if (!this.#disk.exists(path)) return undefined
    const file = this.#disk.open(path, 'read')
    try {
      const bytes = new Uint8Array(file.size())
      let at = 0
      while (at < bytes.length) {
        const read = file.read(bytes.subarray(at), at)
        if (read === 0) break
        at += read
      }
      return this.#read(bytes)
    } finally {
      file.close()
    }
  }

  #read(bytes: Uint8Array): Recorded {
    try {
      return decodeCheckedJson(bytes) as Recorded
    } catch (error) {
      const path = this.#path(this.#positionName())
      throw new MillraceError('MR5004', `${path} is damaged. ${deletes(this.#who)}`, {
        cause: error,
      })
    }
  }

  #save(row: Recorded): void {
    const name = this.#positionName()
    const file = this.#disk.open(this.#path(`${name}.new`), 'write')
    try {
      const bytes = encodeCheckedJson(row)
      file.truncate(0)
      writeAll(file, bytes, 0)
      file.fdatasync()
    } finally {
      file.close()
    }
    this.#disk.rename(this.#path(`${name}.new`), this.#path(name))
    this.#disk.fsyncDir(this.#directory)
  }

  #positionName(): string {
    return `.${this.#prefix}.position`
  }

  #partName(from: number): string {
    return `.${this.#prefix}-${pad(from)}.part`
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`
  }
}

/** Names of pipelines and sinks as part of a file name: everything unusual becomes its code. */
export function safeName(name: string): string {
  return name.replace(/[^A-Za-z0-9_.]/gu, (char) => `%${(char.codePointAt(0) ?? 0).toString(16)}`)
}

function lineOf(record: SinkBatch['records'][number]): string {
  const { key, value } = record
  return `${JSON.stringify(value ?? { $key: key ?? null, $deleted: true })}\n`
}

function pad(offset: number): string {
  return String(offset).padStart(digits, '0')
}

function writeAll(file: DiskFile, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += file.write(bytes.subarray(done), position + done)
  }
}

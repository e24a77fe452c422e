/** Planted bugs that the exhaustive gates are there for: `tests/exhaustive`, a little of each. */
import type { Gate, NamedMutant } from './mutant.ts'

const embedded = 'src/log/embedded'
const sample = (only: string): Gate => ({ tests: ['tests/exhaustive/exhaustive.test.ts'], only })
const crash = sample('the disks that a power cut leaves')
const crashUnder = (what: string): Gate =>
  sample(`every disk that a power cut leaves under ${what}`)
const faultsUnder = (what: string): Gate => sample(`the disk calls that fail under ${what}`)
const bits = sample('flipped bits')
const decoders = sample('mutated encodings')

export const namedExhaustive: readonly NamedMutant[] = [
  {
    name: 'checkpoint-named-before-it-is-synced',
    what: 'SUPER names a checkpoint before the frame that holds it is synced.',
    breaks: 'I7',
    file: `${embedded}/disk-log.ts`,
    find: `    const start = this.#map.end
    try {
      yield* this.#write(frames, start)`,
    replace: `    const start = this.#map.end
    const next = { checkpointLsn: this.nextLsn, checkpointSegment: this.#map.id.baseLsn }
    if (this.sinceCheckpoint > 3_000)
      yield* this.#writeSuper({ ...this.#super, ...next, checkpointPosition: start })
    try {
      yield* this.#write(frames, start)`,
    gate: crash,
  },
  {
    name: 'file-sink-position-not-synced',
    what: 'The position of a file sink is acknowledged before its file is durable.',
    breaks: 'I2',
    file: 'src/sinks/file/parts.ts',
    find: `      writeAll(file, bytes, 0)
      file.fdatasync()
`,
    replace: `      writeAll(file, bytes, 0)
`,
    gate: crashUnder('file sink'),
  },
  {
    name: 'file-sink-position-name-not-synced',
    what: 'The new position of a file sink is acknowledged before its name is durable.',
    breaks: 'I2',
    file: 'src/sinks/file/parts.ts',
    find: `    this.#disk.rename(this.#path(\`\${name}.new\`), this.#path(name))
    this.#disk.fsyncDir(this.#directory)
`,
    replace: `    this.#disk.rename(this.#path(\`\${name}.new\`), this.#path(name))
`,
    gate: crashUnder('file sink'),
  },
  {
    name: 'part-name-not-synced',
    what: 'The position of a file sink counts on a part whose name is not durable.',
    breaks: 'I1',
    file: 'src/sinks/file/parts.ts',
    find: `      if (isNew) this.#disk.fsyncDir(this.#directory)
`,
    replace: '',
    gate: crashUnder('file sink'),
  },
  {
    name: 'small-file-not-synced',
    what: 'What an operator decided is acknowledged before it is durable.',
    breaks: 'I9',
    file: 'src/runtime/data-files.ts',
    find: `      file.fdatasync()
`,
    replace: '',
    gate: crashUnder('small files'),
  },
  {
    name: 'failed-sync-swallowed',
    what: 'A sync that failed counts as one that did not.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads`,
    replace: `    try {
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    } catch {}
    const heads`,
    gate: faultsUnder('write'),
  },
  {
    name: 'failed-sync-tried-again',
    what: 'A sync that failed is tried again: the kernel has called the pages clean, and the second one does nothing.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads`,
    replace: `    try {
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    } catch {
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    }
    const heads`,
    gate: faultsUnder('write'),
  },
  {
    name: 'full-disk-taken-for-written',
    what: 'A group for which there was no room is acknowledged.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
      return 'full'
`,
    replace: `      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
`,
    gate: { tests: [`${embedded}/full.test.ts`] },
  },
  {
    name: 'file-sink-error-forgotten',
    what: 'A file sink goes on after a write of its part that failed half way.',
    breaks: 'I2',
    file: 'src/sinks/file/parts.ts',
    find: `    if (this.#unfinished) this.#finish()
    this.#broken = true
`,
    replace: `    if (this.#unfinished) this.#finish()
`,
    gate: faultsUnder('file sink'),
  },
  {
    name: 'head-hash-not-verified',
    what: 'The head of a frame is taken whatever its checksum.',
    breaks: 'I6',
    file: `${embedded}/format.ts`,
    find: `  if (view.getUint32(at + 4, true) !== crc32(bytes.subarray(at + 8, at + size)))
    return bad('wrong head checksum')
`,
    replace: '',
    gate: bits,
  },
  {
    name: 'file-head-hash-not-verified',
    what: 'SUPER, MARK and the heads of segments are taken whatever their checksums.',
    breaks: 'I6',
    file: `${embedded}/format.ts`,
    find: `  if (view.getUint32(4, true) !== crc32(bytes.subarray(8, end))) return 'wrong checksum'
`,
    replace: '',
    gate: bits,
  },
  {
    name: 'checkpoint-hash-not-verified',
    what: 'Recovery begins with a checkpoint whatever its hash.',
    breaks: 'I6',
    file: `${embedded}/scan.ts`,
    find: `      const flaw = flawOf(head, bytes)
`,
    replace: `      const flaw = state === undefined ? undefined : flawOf(head, bytes)
`,
    gate: bits,
  },
  {
    name: 'index-trusted',
    what: 'A reader goes by an index whatever its checksum.',
    breaks: 'I6',
    file: `${embedded}/segment-map.ts`,
    find: `    if (view.getUint32(88, true) !== crc32(bytes.subarray(INDEX_HEADER))) return undefined
`,
    replace: '',
    gate: bits,
  },
  {
    name: 'damage-without-its-place',
    what: 'Damage is reported without its LSN.',
    breaks: 'I6',
    file: `${embedded}/decide.ts`,
    find: '`In ${file} at byte ${offset} (LSN ${lsn})`',
    replace: '`In ${file} at byte ${offset} (${String(lsn).slice(0, 0)})`',
    gate: bits,
  },
  {
    name: 'damage-at-another-place',
    what: 'A reader reports damage at the end of the segment instead of where it is.',
    breaks: 'I6',
    file: `${embedded}/reader.ts`,
    find: 'const details = { file, offset: at, lsn }',
    replace: 'const details = { file, offset: map.end, lsn }',
    gate: bits,
  },
  {
    name: 'marked-tail-cut-off',
    what: 'Recovery cuts damage off as if it were a torn tail, acknowledged or not.',
    breaks: 'I1',
    file: `${embedded}/decide.ts`,
    find: 'if (nextLsn <= facts.markLsn) {',
    replace: 'if (nextLsn <= facts.markLsn && why === undefined) {',
    gate: bits,
  },
  {
    name: 'changelog-entry-beyond-its-bytes',
    what: 'The head of a changelog entry is read whether its bytes are there or not.',
    breaks: 'I6',
    file: 'src/state/changelog.ts',
    find: `    if (at + HEADER > bytes.length) throw malformed(at)
`,
    replace: '',
    gate: decoders,
  },
  {
    name: 'sections-without-limit',
    what: 'A head may ask for any number of sections.',
    breaks: 'I10',
    file: `${embedded}/format.ts`,
    find: '  if (count > limits.commitSections) return bad(`${count} sections`)\n',
    replace: '',
    gate: decoders,
  },
  {
    name: 'block-beyond-its-bytes',
    what: 'The lengths of the values of a block are not held against the bytes that are there.',
    breaks: 'I6',
    file: 'src/log/block.ts',
    find: 'startsOf(this.valueLengths, this.valueStarts, valuesAt, valueBytes) &&',
    replace: 'startsOf(this.valueLengths, this.valueStarts, valuesAt, Infinity) !== undefined &&',
    gate: decoders,
  },
  {
    name: 'partitions-without-limit',
    what: 'A topic read from the log may have any number of partitions.',
    breaks: 'I10',
    file: `${embedded}/payloads.ts`,
    find: `    value['partitions'] <= limits.partitions &&
`,
    replace: '',
    gate: decoders,
  },
  {
    name: 'snapshot-chunk-without-limit',
    what: 'A snapshot may claim a chunk that is longer than its file.',
    breaks: 'I10',
    file: 'src/state/snapshot-file.ts',
    find: 'if (length > largestChunk || at + CHUNK_HEADER + length > header.bytes) {',
    replace: 'if (length > largestChunk) {',
    gate: decoders,
  },
  {
    name: 'gzip-bomb',
    what: 'A small body may inflate to any size.',
    breaks: 'I10',
    file: 'src/runtime/http/receive.ts',
    find: 'gunzip(bytes, { maxOutputLength, info: true }',
    replace: 'gunzip(bytes, { maxOutputLength: 1e9 + 0 * maxOutputLength, info: true }',
    gate: decoders,
  },
]

/** Planted bugs in the log: what a tired engineer could write there. */
import type { NamedMutant } from './mutant.ts'

const embedded = 'src/log/embedded'
const crash = { tests: [`${embedded}/crash.test.ts`] }
const damage = { tests: [`${embedded}/damage.test.ts`] }
const archive = { tests: [`${embedded}/archive.test.ts`] }
const retain = { tests: [`${embedded}/retain.test.ts`] }
const full = { tests: [`${embedded}/full.test.ts`] }
const decide = { tests: [`${embedded}/decide.test.ts`] }
const quarantine = { tests: [`${embedded}/quarantine.test.ts`] }
const chain = { tests: [`${embedded}/segment-map.test.ts`] }
const slots = { tests: [`${embedded}/slots.test.ts`] }
const unsynced = { tests: [`${embedded}/unsynced-slot.test.ts`] }
const publish = { tests: [`${embedded}/publish.test.ts`] }
const firstLook = { tests: [`${embedded}/first-look.test.ts`] }
const log = { tests: [`${embedded}/log.test.ts`], only: 'on the simulated disk' }

export const namedLog: readonly NamedMutant[] = [
  {
    name: 'sync-skipped',
    what: 'A group is acknowledged without a sync of the segment.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads`,
    replace: `    const heads`,
    gate: crash,
  },
  {
    name: 'mark-before-sync',
    what: 'The mark moves before the frames below it are synced.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads`,
    replace: `    yield* this.#markAt(this.#map.id, this.#map.nextLsn - 1 + frames.length, start + bytes)
    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    const heads`,
    gate: crash,
  },
  {
    name: 'sync-after-acknowledgement',
    what: 'The sync of a group comes with the next one, after its acknowledgement.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `    const start = this.#map.end
    try {
      yield* this.#write(frames, start)
    } catch (error) {
      if (!isFull(error)) throw error
      yield* step('truncate', this.#file.path, () => this.#file.truncate(start))
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
      return 'full'
    }
    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
`,
    replace: `    const start = this.#map.end
    yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
    try {
      yield* this.#write(frames, start)
    } catch (error) {
      if (!isFull(error)) throw error
      yield* step('truncate', this.#file.path, () => this.#file.truncate(start))
      yield* step('fdatasync', this.#file.path, () => this.#file.fdatasync())
      return 'full'
    }
`,
    gate: crash,
  },
  {
    name: 'mark-not-synced',
    what: 'The mark is written and not synced before the acknowledgement.',
    breaks: 'I6',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#markFile.path, () => this.#markFile.fdatasync())
    this.#markSlot`,
    replace: `    this.#markSlot`,
    gate: slots,
  },
  {
    name: 'mark-built-on-unsynced',
    what: 'Recovery writes one slot of the mark while what a killed process left of the other is in the cache alone.',
    breaks: 'I7',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* step('fdatasync', this.#markFile.path, () => this.#markFile.fdatasync())
    yield* syncFile`,
    replace: `    yield* syncFile`,
    gate: unsynced,
  },
  {
    name: 'super-built-on-unsynced',
    what: 'Recovery writes one SUPER while what a killed process left of the other is in the cache alone.',
    breaks: 'I7',
    file: `${embedded}/disk-log.ts`,
    find: `    yield* syncFile(this.#disk, \`\${this.directory}/SUPER.\${this.#superSlot}\`)
`,
    replace: '',
    gate: unsynced,
  },
  {
    name: 'mark-over-itself',
    what: 'The mark is always written into the slot that counts, so that a torn write leaves none.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: 'const slot = this.#markSlot === 0 ? 1 : 0',
    replace: 'const slot = this.#markSlot',
    gate: crash,
  },
  {
    name: 'super-over-itself',
    what: 'SUPER is always written into the file that counts.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: 'const slot = this.#superSlot === 0 ? 1 : 0',
    replace: 'const slot = this.#superSlot',
    gate: slots,
  },
  {
    name: 'super-not-synced',
    what: 'SUPER names a checkpoint without being synced.',
    breaks: 'I7',
    file: `${embedded}/disk-log.ts`,
    find: `  yield* writeAll(file, encodeSuper(value), 0)
  yield* step('fdatasync', path, () => file.fdatasync())
`,
    replace: `  yield* writeAll(file, encodeSuper(value), 0)
`,
    gate: crash,
  },
  {
    name: 'published-before-durable',
    what: 'Readers may read a group before it is synced.',
    breaks: 'I9',
    file: `${embedded}/engine.ts`,
    find: `    const heads = frames.length === 0 ? [] : yield* this.#append(frames)
`,
    replace: `    const ahead = frames.reduce((sum, frame) => sum + frame.bytes, this.log.published.end)
    if (ahead < 9e15) this.end.write({ ...this.log.published, end: ahead, lsn: this.log.nextLsn })
    const heads = frames.length === 0 ? [] : yield* this.#append(frames)
`,
    gate: publish,
  },
  {
    name: 'tail-read-to-the-end-of-the-file',
    what: 'A reader of the newest segment goes by the size of the file, not by the published end.',
    breaks: 'I9',
    file: `${embedded}/segments.ts`,
    find: `if (this.#tail.end < published.end) this.#extend(this.#tail, published.end)`,
    replace: `if (this.#tail.end < published.end) this.#extend(this.#tail, undefined)`,
    gate: publish,
  },
  {
    name: 'directory-not-synced',
    what: 'A new segment is used before its name is durable.',
    breaks: 'I1',
    file: `${embedded}/disk-log.ts`,
    find: `  yield* step('fsyncDir', log, () => disk.fsyncDir(log))
  return made`,
    replace: `  return made`,
    gate: crash,
  },
  {
    name: 'failed-sync-forgotten',
    what: 'After a failed sync the log takes the next commit as if nothing had happened.',
    breaks: 'I1',
    file: `${embedded}/engine.ts`,
    find: `    this.#failure = new MillraceError('MR2008', what, { cause: error })
    return this.#failure`,
    replace: `    return new MillraceError('MR2008', what, { cause: error })`,
    gate: crash,
  },
  {
    name: 'torn-write-left',
    what: 'A write that found no space leaves what it wrote in the segment.',
    breaks: 'I7',
    file: `${embedded}/disk-log.ts`,
    find: `      yield* step('truncate', this.#file.path, () => this.#file.truncate(start))
`,
    replace: '',
    gate: full,
  },
  {
    name: 'epoch-not-raised',
    what: 'A restart goes on in the epoch of the process before it.',
    breaks: 'I8',
    file: `${embedded}/open.ts`,
    find: 'last.lastEpoch) + 1',
    replace: 'last.lastEpoch)',
    gate: damage,
  },
  {
    name: 'quarantine-skipped',
    what: 'A torn tail is left where the next frame will be written.',
    breaks: 'I6',
    file: `${embedded}/open.ts`,
    find: 'const quarantined = torn ? yield* quarantine(disk, directory, file, map.end, epoch) : undefined',
    replace: 'const quarantined = torn ? quarantine.name : undefined',
    gate: damage,
  },
  {
    name: 'quarantine-not-synced',
    what: 'A torn tail is cut off before its copy is durable.',
    breaks: 'I6',
    file: `${embedded}/open.ts`,
    find: `  yield* step('fdatasync', path, () => copy.fdatasync())
`,
    replace: '',
    gate: quarantine,
  },
  {
    name: 'tail-not-rewritten',
    what: 'Recovery trusts what the cache shows above the mark, without writing it again.',
    breaks: 'I1',
    file: `${embedded}/open.ts`,
    find: 'const rewrittenBytes = yield* rewrite(file, last.unmarked)',
    replace: 'const rewrittenBytes = 0 * (rewrite.length + last.unmarked.length)',
    gate: crash,
  },
  {
    name: 'rewritten-tail-not-synced',
    what: 'Recovery writes the tail again and does not sync it.',
    breaks: 'I1',
    file: `${embedded}/open.ts`,
    find: `  if (bytes > 0) yield* step('fdatasync', file.path, () => file.fdatasync())
`,
    replace: '',
    gate: crash,
  },
  {
    name: 'marked-frame-taken-for-torn',
    what: 'Damage of the last acknowledged frame counts as a torn tail.',
    breaks: 'I6',
    file: `${embedded}/decide.ts`,
    find: 'if (nextLsn <= facts.markLsn) {',
    replace: 'if (nextLsn < facts.markLsn) {',
    gate: decide,
  },
  {
    name: 'later-group-ignored',
    what: 'Recovery cuts off damage with sound groups behind it.',
    breaks: 'I6',
    file: `${embedded}/decide.ts`,
    find: 'if (facts.later !== undefined) {',
    replace: 'if (facts.later === -1) {',
    gate: decide,
  },
  {
    name: 'section-hash-not-verified',
    what: 'A reader hands out a section whatever its hash.',
    breaks: 'I6',
    file: `${embedded}/reader.ts`,
    find: 'if (xxh64(bytes) !== map.hashes[i])',
    replace: 'if (xxh64(bytes) === map.hashes[i]! + 1n)',
    gate: damage,
  },
  {
    name: 'recovery-hash-not-verified',
    what: 'Recovery takes a frame by its head, whatever its sections hold.',
    breaks: 'I6',
    file: `${embedded}/scan.ts`,
    find: 'return flawed === -1 ? undefined :',
    replace: 'return flawed < bytes.length ? undefined :',
    gate: damage,
  },
  {
    name: 'chain-not-verified',
    what: 'A frame may follow any other.',
    breaks: 'I6',
    file: `${embedded}/segment-map.ts`,
    find: `  if (head.prevHash !== map.lastHash) return 'it does not follow the frame before it'
`,
    replace: '',
    gate: chain,
  },
  {
    name: 'fence-not-checked',
    what: 'A writer that was replaced may still commit.',
    breaks: 'I8',
    file: `${embedded}/plan-commit.ts`,
    find: 'if (writer === undefined || writer.epoch !== request.epoch) {',
    replace: 'if (writer === undefined) {',
    gate: log,
  },
  {
    name: 'offsets-of-a-group-overlap',
    what: 'Two commits of one group get the same offsets.',
    breaks: 'I4',
    file: `${embedded}/plan-commit.ts`,
    find: 'own.get(place) ?? nexts.get(place) ??',
    replace: 'own.get(place) ??',
    gate: crash,
  },
  {
    name: 'checkpoint-ignored',
    what: 'Recovery begins at the checkpoint with an empty state.',
    breaks: 'I1',
    file: `${embedded}/facts.ts`,
    find: 'let state = checkpointLsn > 0 ? undefined : new LogState()',
    replace: 'let state: LogState | undefined = new LogState()',
    gate: crash,
  },
  {
    name: 'positions-not-in-the-checkpoint',
    what: 'A checkpoint is restored without the positions.',
    breaks: 'I2',
    file: `${embedded}/state.ts`,
    find: 'for (const entry of entries) state.#position(entry)',
    replace: 'for (const entry of entries.slice(1)) state.#position(entry)',
    gate: crash,
  },
  {
    name: 'epochs-not-in-the-checkpoint',
    what: 'A checkpoint is restored without the epochs of the writers.',
    breaks: 'I8',
    file: `${embedded}/state.ts`,
    find: 'this.#openWriter(owner, id, epoch)\n    this.writers.get(owner)!.commits = commits',
    replace: 'this.#openWriter(owner, id, 0)\n    this.writers.get(owner)!.commits = commits',
    gate: log,
  },
  {
    name: 'retention-past-a-slow-sink',
    what: 'Retention removes what a group holds.',
    breaks: 'I1',
    file: `${embedded}/retention.ts`,
    find: 'const goes = expired && held.length === 0 && !blocked.has(place)',
    replace: 'const goes = expired && held.length >= 0 && !blocked.has(place)',
    gate: retain,
  },
  {
    name: 'removed-without-a-word',
    what: 'Segments go before a durable frame says so.',
    breaks: 'I7',
    file: `${embedded}/retain.ts`,
    find: `    yield* this.#engine.change([{ type: 'removed', to: last.lastLsn }])
`,
    replace: '',
    gate: retain,
  },
  {
    name: 'checkpoint-removed',
    what: 'Retention removes the segment with the checkpoint from which recovery starts.',
    breaks: 'I7',
    file: `${embedded}/retain.ts`,
    find: 'yield* this.#engine.checkpoint(true)',
    replace: 'yield* this.#engine.checkpoint(false)',
    gate: retain,
  },
  {
    name: 'archive-drops-a-live-section',
    what: 'An archive leaves out a section of which only the beginning is gone.',
    breaks: 'I1',
    file: `${embedded}/archive.ts`,
    find: 'if (!live(place, source.nexts[i]!)) continue',
    replace: 'if (!live(place, source.bases[i]!)) continue',
    gate: archive,
  },
  {
    name: 'archive-not-synced',
    what: 'What an archive stands for goes before its name is durable.',
    breaks: 'I1',
    file: `${embedded}/archive.ts`,
    find: `  yield* step('fsyncDir', folder, () => disk.fsyncDir(folder))
  for (const { id: old } of maps) {`,
    replace: `  for (const { id: old } of maps) {`,
    gate: archive,
  },
  {
    name: 'archive-of-damaged-bytes',
    what: 'An archive takes over a section that does not match its hash.',
    breaks: 'I6',
    file: `${embedded}/archive.ts`,
    find: 'if (section.length !== length || xxh64(section) !== source.hashes[i]) return -1',
    replace: 'if (section.length !== length || xxh64(section) === 0n) return -1',
    gate: archive,
  },
  {
    name: 'gap-passed-over',
    what: 'A reader goes on behind what retention removed without a word.',
    breaks: 'I6',
    file: `${embedded}/reader.ts`,
    find: `    if (baseOffset > wanted.offset) return goneAt(wanted, baseOffset)
`,
    replace: '',
    gate: retain,
  },
  {
    name: 'end-taken-for-newest-segment',
    what: 'A reader that begins at the end of a partition begins in the segment that is the newest when it first looks.',
    breaks: 'I1',
    file: `${embedded}/reader.ts`,
    find: 'offset >= next ? tail : ',
    replace: 'offset >= next ? segments.tailBase : ',
    gate: firstLook,
  },
]

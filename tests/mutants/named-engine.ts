/** Planted bugs in state, processing, sinks and the edge. */
import type { NamedMutant } from './mutant.ts'

const store = { tests: ['src/state/memory.test.ts'] }
const durable = { tests: ['src/state/snapshot-durable.test.ts'] }
const oneCommit = { tests: ['src/process/one-commit.test.ts'] }
const snapshot = { tests: ['src/state/snapshot.test.ts'] }
const windows = { tests: ['src/process/process-runner.test.ts'] }
const time = { tests: ['src/process/time/time.test.ts'] }
const failures = { tests: ['src/process/failures.test.ts'] }
const worker = { tests: ['src/process/worker.test.ts'] }
const ingest = { tests: ['src/process/ingest-runner.test.ts'] }
const sessions = { tests: ['src/process/ingest-sessions.test.ts'] }
const pull = { tests: ['src/process/ingest-pull.test.ts'] }
const deliver = { tests: ['src/process/deliver-crash.test.ts'] }
const sqlite = { tests: ['src/sinks/sqlite/sqlite.test.ts'] }
const files = { tests: ['src/sinks/file/file.test.ts'] }
const cursor = { tests: ['src/runtime/serve/cursor.test.ts'] }
const serve = { tests: ['src/runtime/serve/serve.test.ts'] }

export const namedEngine: readonly NamedMutant[] = [
  {
    name: 're-dirty-skipped',
    what: 'A value changed again after a commit is not marked as changed.',
    breaks: 'I2',
    file: 'src/state/memory.ts',
    find: `    this.#stagedBytes = 0
    this.#epoch++`,
    replace: `    this.#stagedBytes = 0`,
    gate: store,
  },
  {
    name: 'rollback-forgets-a-key',
    what: 'A key that came since the last commit stays after a rollback.',
    breaks: 'I3',
    file: 'src/state/memory.ts',
    find: `      if (entry !== undefined) {
        this.#map.delete(key)
        this.#bytes`,
    replace: `      if (entry !== undefined && pre.existed) {
        this.#map.delete(key)
        this.#bytes`,
    gate: store,
  },
  {
    name: 'pre-image-shared',
    what: 'What a rollback goes back to is the very value that is changed.',
    breaks: 'I3',
    file: 'src/state/memory.ts',
    find: 'const value = this.spec.codec.clone(entry.value)',
    replace: 'const value = entry.value',
    gate: store,
  },
  {
    name: 'tombstone-lost',
    what: 'A deleted key is not in the changelog and comes back after a restart.',
    breaks: 'I2',
    file: 'src/state/memory.ts',
    find: `        if (pre.existed) this.#writer.add(pre.bucket, key, undefined)
`,
    replace: '',
    gate: store,
  },
  {
    name: 'snapshot-before-its-data',
    what: 'A snapshot gets its name before its data is synced.',
    breaks: 'I1',
    file: 'src/state/snapshot.ts',
    find: `    const header = writer.finish(lsn, delta.offset)
    disk.rename(temporary, \`\${folder}/\${lsn}.snap\`)
    disk.fsyncDir(folder)
`,
    replace: `    disk.rename(temporary, \`\${folder}/\${lsn}.snap\`)
    disk.fsyncDir(folder)
    const header = writer.finish(lsn, delta.offset)
`,
    gate: snapshot,
  },
  {
    name: 'snapshot-not-synced',
    what: 'A snapshot is named without a sync of its data.',
    breaks: 'I1',
    file: 'src/state/snapshot-file.ts',
    find: `    this.#file.fdatasync()
`,
    replace: '',
    gate: durable,
  },
  {
    name: 'changelog-trimmed-too-far',
    what: 'The changelog goes up to the newest snapshot: a damaged one leaves nothing to restore from.',
    breaks: 'I1',
    file: 'src/state/snapshot.ts',
    find: 'await this.#log.topics.trim(changelog, partition, made.spareOffset)',
    replace: 'await this.#log.topics.trim(changelog, partition, made.offset)',
    gate: snapshot,
  },
  {
    name: 'snapshot-hash-not-verified',
    what: 'State is restored from a damaged snapshot.',
    breaks: 'I6',
    file: 'src/state/snapshot-file.ts',
    find: 'readAll(file, bytes, at + CHUNK_HEADER) && view.getBigUint64(8, true) === xxh64(bytes)',
    replace: 'readAll(file, bytes, at + CHUNK_HEADER) && view.getBigUint64(8, true) !== 0n',
    gate: snapshot,
  },
  {
    name: 'snapshot-drops-a-live-key',
    what: 'A snapshot leaves out keys that did not change since the one before.',
    breaks: 'I2',
    file: 'src/state/snapshot.ts',
    find: 'if (!delta.has(key)) yield old',
    replace: 'if (delta.size === 0) yield old',
    gate: snapshot,
  },
  {
    name: 'snapshot-of-another-log',
    what: 'A snapshot from beyond the end of its changelog is taken.',
    breaks: 'I12',
    file: 'src/state/snapshot.ts',
    find: 'if (header !== undefined && header.offset <= end && isWhole(file, header))',
    replace: 'if (header !== undefined && isWhole(file, header))',
    gate: snapshot,
  },
  {
    name: 'timers-fired-twice-after-restore',
    what: 'A restored task does not know up to where its windows were closed.',
    breaks: 'I2',
    file: 'src/process/time/task-time.ts',
    find: 'this.#applied = record?.applied ?? -Infinity',
    replace: 'this.#applied = record === undefined ? -Infinity : -Infinity',
    gate: windows,
  },
  {
    name: 'cursor-not-restored',
    what: 'Closing that was cut short begins again from the first key.',
    breaks: 'I2',
    file: 'src/process/time/task-time.ts',
    find: 'this.#cursor = record?.cursor ?? undefined',
    replace: 'this.#cursor = undefined',
    gate: time,
  },
  {
    name: 'watermark-from-the-wall-clock',
    what: 'The watermark follows the time of arrival.',
    breaks: 'I12',
    file: 'src/process/stage-inputs.ts',
    find: 'const after = timestamps[i]! - input.boundMs',
    replace: 'const after = view.appendTime - input.boundMs',
    gate: windows,
  },
  {
    name: 'bound-ignored',
    what: 'The watermark does not wait for records that are out of order.',
    breaks: 'I12',
    file: 'src/process/stage-inputs.ts',
    find: 'const after = timestamps[i]! - input.boundMs',
    replace: 'const after = timestamps[i]!',
    gate: windows,
  },
  {
    name: 'lateness-by-the-merged-watermark',
    what: 'A record is late by how far its task is, not by its own partition.',
    breaks: 'I12',
    file: 'src/process/windows/aggregate.ts',
    find: 'if (batch.watermark[row]! >= end + latenessMs) {',
    replace: 'if (task.applied >= end + latenessMs) {',
    gate: windows,
  },
  {
    name: 'merged-watermark-is-the-largest',
    what: 'Windows close as soon as the fastest upstream task is past them.',
    breaks: 'I12',
    file: 'src/process/time/task-time.ts',
    find: 'for (const watermark of vector) smallest = Math.min(smallest, watermark)',
    replace: 'smallest = Math.min(smallest, Math.max(...vector))',
    gate: windows,
  },
  {
    name: 'watermark-ahead-of-its-windows',
    what: 'A task announces a watermark before it has emitted the windows below it.',
    breaks: 'I12',
    file: 'src/process/stage-time.ts',
    find: 'const watermark = task.time.applied - shiftMs',
    replace: 'const watermark = task.time.merged() - shiftMs',
    gate: windows,
  },
  {
    name: 'window-closed-too-early',
    what: 'A window closes when the watermark passes its begin.',
    breaks: 'I12',
    file: 'src/process/windows/aggregate.ts',
    find: `emit === 'close' && start + sizeMs <= to &&`,
    replace: `emit === 'close' && start <= to &&`,
    gate: windows,
  },
  {
    name: 'lateness-off-by-one',
    what: 'A record at the very end of what is allowed is still taken.',
    breaks: 'I12',
    file: 'src/process/windows/aggregate.ts',
    find: 'if (batch.watermark[row]! >= end + latenessMs) {',
    replace: 'if (batch.watermark[row]! > end + latenessMs) {',
    gate: windows,
  },
  {
    name: 'late-update-not-emitted',
    what: 'A record within the lateness changes a closed window, and nobody hears of it.',
    breaks: 'I2',
    file: 'src/process/windows/aggregate.ts',
    find: `if (emit === 'update' || end <= task.applied) task.dirty.add(storeKey)`,
    replace: `if (emit === 'update') task.dirty.add(storeKey)`,
    gate: windows,
  },
  {
    name: 'watermark-not-committed',
    what: 'A watermark that rose is not stored with the position.',
    breaks: 'I12',
    file: 'src/process/time/task-time.ts',
    find: `    this.#sources[input] = watermark
    this.#changed = true`,
    replace: `    this.#sources[input] = watermark`,
    gate: oneCommit,
  },
  {
    name: 'late-record-counted-twice',
    what: 'A late record is counted when it is met and again with its batch.',
    breaks: 'I11',
    file: 'src/process/stage-fates.ts',
    find: `    this.#mark(batch, row, late)
`,
    replace: `    this.#mark(batch, row, late)
    const counters = this.#tasks[batch.partition[row]!]?.counters
    if (counters !== undefined) counters.late++
`,
    gate: windows,
  },
  {
    name: 'position-outside-the-commit',
    what: 'Positions wait for a commit that holds nothing else.',
    breaks: 'I2',
    file: 'src/process/process-runner.ts',
    find: `    if (!task.moved) return
`,
    replace: `    if (!task.moved || writer.stagedBytes > 0) return
`,
    gate: windows,
  },
  {
    name: 'dead-letter-outside-the-commit',
    what: 'Dead letters wait for a commit that holds nothing else.',
    breaks: 'I5',
    file: 'src/process/process-runner.ts',
    find: `    open.letters.staged.stage(writer, now)
`,
    replace: `    if (writer.stagedBytes === 0) open.letters.staged.stage(writer, now)
`,
    gate: oneCommit,
  },
  {
    name: 'outputs-of-a-failed-task-kept',
    what: 'What a task made before it failed is committed with the next commit.',
    breaks: 'I3',
    file: 'src/process/process-runner.ts',
    find: `    for (const output of open.built.outputs) output.drop(task.partition)
`,
    replace: '',
    gate: failures,
  },
  {
    name: 'rollback-keeps-the-position',
    what: 'A task that is rolled back goes on behind what it did not do.',
    breaks: 'I2',
    file: 'src/process/task.ts',
    find: `    this.positions.set(this.#committedPositions)
`,
    replace: '',
    gate: failures,
  },
  {
    name: 'rollback-keeps-the-counters',
    what: 'A task that is rolled back counts what it did not do.',
    breaks: 'I11',
    file: 'src/process/task.ts',
    find: `    this.counters = { ...this.#committedCounters }
    this.positions`,
    replace: `    this.positions`,
    gate: failures,
  },
  {
    name: 'unknown-commit-taken-for-done',
    what: 'After a commit of unknown outcome the worker goes on without reading its positions back.',
    breaks: 'I2',
    file: 'src/process/worker.ts',
    find: `if (result.outcome === 'unknown') return { next: 'reset', cause: result.error, full: false }`,
    replace: `if (result.outcome === 'unknown') return goOn`,
    gate: worker,
  },
  {
    name: 'nothing-reset',
    what: 'A worker that starts over keeps what its runners had staged.',
    breaks: 'I3',
    file: 'src/process/worker.ts',
    find: `    for (const runner of [...this.#live]) this.#resetRunner(runner, cause)
`,
    replace: `    for (const runner of this.#live.slice(1)) this.#resetRunner(runner, cause)
`,
    gate: worker,
  },
  {
    name: 'acknowledgement-before-commit',
    what: 'A producer is answered when its events are staged.',
    breaks: 'I1',
    file: 'src/process/ingest-runner.ts',
    find: `    this.#decided.push({ waiting, answer })
    return outcome.accepted`,
    replace: `    this.#answer(waiting, answer)
    return outcome.accepted`,
    gate: ingest,
  },
  {
    name: 'producer-session-not-persisted',
    what: 'Sessions of producers are not in the commit.',
    breaks: 'I2',
    file: 'src/process/ingest-runner.ts',
    find: `      const changes = store.changes()
      if (changes !== undefined)`,
    replace: `      const changes = store.changes()
      if (changes !== undefined && changes.count < 0)`,
    gate: sessions,
  },
  {
    name: 'repeat-stored-again',
    what: 'A request that comes again is stored again.',
    breaks: 'I2',
    file: 'src/process/ingest-sessions.ts',
    find: 'if (ref.sequence === live.next) return',
    replace: 'if (ref.sequence <= live.next) return',
    gate: sessions,
  },
  {
    name: 'failed-commit-acknowledged-later',
    what: 'Requests of a commit that failed are answered by the next one, as stored.',
    breaks: 'I1',
    file: 'src/process/ingest-runner.ts',
    find: `    this.#refuseDecided(error)
    if (full)`,
    replace: `    if (full)`,
    gate: ingest,
  },
  {
    name: 'queue-never-given-back',
    what: 'The room that a request took is not given back.',
    breaks: 'I7',
    file: 'src/process/ingest-runner.ts',
    find: `    this.#options.queue.give(waiting.bytes)
`,
    replace: '',
    gate: ingest,
  },
  {
    name: 'queue-without-a-limit',
    what: 'Any number of requests may wait.',
    breaks: 'I10',
    file: 'src/process/ingest-runner.ts',
    find: 'if (this.#used > 0 && this.#used + bytes > this.limit) return false',
    replace: 'if (this.#used < 0 && this.#used + bytes > this.limit) return false',
    gate: ingest,
  },
  {
    name: 'source-position-not-committed',
    what: 'Events of a source are committed without the position of the source.',
    breaks: 'I2',
    file: 'src/process/ingest-stage.ts',
    find: 'meta: JSON.stringify(metaOf(task)),',
    replace: 'meta: JSON.stringify(metaOf(task.base)),',
    gate: pull,
  },
  {
    name: 'position-of-the-sink-not-read-back',
    what: 'After an unknown commit a sink gets again what it has.',
    breaks: 'I2',
    file: 'src/process/deliver-lane.ts',
    find: 'this.#until = stored !== undefined && !gaveUp && stored.offset > log.offset ? stored.offset : 0',
    replace: 'this.#until = 0',
    gate: deliver,
  },
  {
    name: 'sink-position-not-in-its-transaction',
    what: 'Rows are committed to SQLite before the position behind them.',
    breaks: 'I2',
    file: 'src/sinks/sqlite/session.ts',
    find: `      const { logId, epoch } = this.#who.context
      const kept`,
    replace: `      this.#db.exec('COMMIT; BEGIN IMMEDIATE')
      const { logId, epoch } = this.#who.context
      const kept`,
    gate: sqlite,
  },
  {
    name: 'sink-fence-not-checked',
    what: 'A writer of a sink that was replaced may still deliver.',
    breaks: 'I8',
    file: 'src/sinks/position.ts',
    find: 'if (row.logId !== who.context.logId || row.opening !== who.opening) {',
    replace: 'if (row.logId !== who.context.logId) {',
    gate: sqlite,
  },
  {
    name: 'part-not-synced',
    what: 'The position of a file sink counts on lines that are not synced.',
    breaks: 'I1',
    file: 'src/sinks/file/parts.ts',
    find: `      writeAll(this.#file, bytes, part.length)
      this.#file.fdatasync()
`,
    replace: `      writeAll(this.#file, bytes, part.length)
`,
    gate: files,
  },
  {
    name: 'part-not-cut-back',
    what: 'Lines behind the position of a file sink stay after a crash, and come again.',
    breaks: 'I2',
    file: 'src/sinks/file/parts.ts',
    find: `      file.truncate(part.length)
      file.fdatasync()
`,
    replace: `      file.fdatasync()
`,
    gate: files,
  },
  {
    name: 'sink-given-up',
    what: 'A sink that is away for a while is not tried again.',
    breaks: 'I7',
    file: 'src/process/deliver-link.ts',
    find: `const refused = error.kind !== 'unavailable'`,
    replace: `const refused = error.kind.length > 0`,
    gate: deliver,
  },
  {
    name: 'websocket-resume-off-by-one',
    what: 'A client that comes back gets its last record again.',
    breaks: 'I2',
    file: 'src/runtime/serve/cursor.ts',
    find: 'this.#next.set(block.partition, offset + 1)',
    replace: 'this.#next.set(block.partition, offset)',
    gate: cursor,
  },
  {
    name: 'retention-not-told-to-readers',
    what: 'A reader of a topic goes on behind removed records without a word.',
    breaks: 'I6',
    file: 'src/runtime/serve/cursor.ts',
    find: `          return { kind: 'gone', partition: read.partition, from, earliest: read.earliest }
        }`,
    replace: `          break
        }`,
    gate: serve,
  },
]

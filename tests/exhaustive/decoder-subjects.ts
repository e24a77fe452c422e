/** Every decoder of bytes that come from a disk or a wire, with valid encodings to begin from. */
import { isUtf8 } from 'node:buffer'
import { crc32 } from 'node:zlib'
import type { Disk } from '../../src/core/env/env.ts'
import { xxh64 } from '../../src/core/hash.ts'
import { limits } from '../../src/limits.ts'
import { BlockBuilder, BlockView, controlBytes, readControl } from '../../src/log/block.ts'
import {
  decodeHead,
  decodeSegmentHeader,
  decodeSuper,
  encodeSegmentHeader,
  encodeSuper,
  headBytes,
  newestMark,
  sectionKinds,
} from '../../src/log/embedded/format.ts'
import type { FrameHead, Section } from '../../src/log/embedded/format.ts'
import { decodeChanges, decodePositions, encodeJson } from '../../src/log/embedded/payloads.ts'
import { SegmentMap } from '../../src/log/embedded/segment-map.ts'
import { Segments } from '../../src/log/embedded/segments.ts'
import { LogState } from '../../src/log/embedded/state.ts'
import { EventSpans, splitBody } from '../../src/process/ingest-split.ts'
import { parseEvent } from '../../src/schema/json-gate.ts'
import { readPosition } from '../../src/sources/file-position.ts'
import { ChangelogReader, ChangelogWriter, keyOf } from '../../src/state/changelog.ts'
import { readChunks, readHeader, SnapshotFileWriter } from '../../src/state/snapshot-file.ts'
import { killed } from './bits.ts'
import { Bytes, must, refusing } from './subject.ts'
import type { Subject } from './subject.ts'
import { wireSubjects } from './wire-subjects.ts'

const utf8 = new TextEncoder()
const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** The sum of bytes 8 to `end` at byte 4. */
const sumTo = (end: number) => (bytes: Uint8Array) => {
  if (bytes.length >= end) viewOf(bytes).setUint32(4, crc32(bytes.subarray(8, end)), true)
}

export async function subjects(): Promise<readonly Subject[]> {
  const { files } = await killed()
  const file = (ending: string): Uint8Array =>
    [...files].find(([path]) => path.endsWith(ending))![1]
  const segment = [...files].filter(([path]) => path.endsWith('.seg')).at(-1)![1]
  const index = [...files].find(([path]) => path.endsWith('.idx'))!
  const [epoch, baseLsn] = /(\d+)-(\d+)\.idx/.exec(index[0])!.slice(1).map(Number)
  const ofLog = decodeSuper(file('SUPER.0'))
  const logUuid = ofLog.result === 'super' ? ofLog.uuid : uuid
  const payloads = payloadsOf(segment)
  const archive = [...files].find(([path]) => path.endsWith('.arc'))!
  const archived = 96 + 68 * viewOf(archive[1]).getUint32(4096 + 68, true)
  return [
    { name: 'frame head', seeds: headsOf(segment), seal: sealHead, decode: frameHead },
    { name: 'super', seeds: [superBytes(), file('SUPER.1')], seal: sumTo(96), decode: superBlock },
    { name: 'mark', seeds: [file('MARK')], seal: sumTo(64), decode: mark },
    { name: 'segment header', seeds: headersOf(segment), seal: sealSegment, decode: segmentHeader },
    {
      name: 'index',
      seeds: [index[1]],
      seal: sealIndex,
      decode: (bytes) => segmentIndex(bytes, { epoch: epoch!, baseLsn: baseLsn! }, logUuid),
    },
    {
      name: 'archive',
      seeds: [archive[1].slice(0, 4096 + archived)],
      seal: (bytes) => sealIndex(bytes.subarray(4096)),
      decode: (bytes) => archiveIndex(bytes, archive[0], logUuid),
    },
    { name: 'checkpoint', seeds: payloads.checkpoints, json: true, decode: checkpoint },
    { name: 'changes', seeds: payloads.changes, json: true, decode: changes },
    { name: 'positions', seeds: payloads.positions, json: true, decode: positions },
    { name: 'block', seeds: blocks(), decode: block },
    {
      name: 'control',
      seeds: [controlBytes(3, 17.5)],
      decode: (b) => readControl(b) !== undefined,
    },
    { name: 'changelog', seeds: [changelogBytes()], decode: changelog },
    { name: 'snapshot', seeds: [snapshotBytes()], seal: sealSnapshot, decode: snapshot },
    { name: 'event', seeds: events(), decode: event },
    { name: 'body', seeds: bodies(), decode: body },
    { name: 'file position', seeds: filePositions(), json: true, decode: filePosition },
    ...(await wireSubjects()),
  ]
}

function* framesOf(segment: Uint8Array) {
  for (let at = 4096; at < segment.length;) {
    const head = decodeHead(segment, at)
    if (head.result !== 'frame') return
    yield { head, at }
    at += head.length
  }
}

function headsOf(segment: Uint8Array): Uint8Array[] {
  const heads = [...framesOf(segment)].map(({ head, at }) =>
    segment.slice(at, at + headBytes(head.sections.length)),
  )
  return heads.slice(0, 8)
}

function payloadsOf(segment: Uint8Array) {
  const byKind = new Map<number, Uint8Array[]>()
  for (const { head, at } of framesOf(segment)) {
    for (const s of head.sections) {
      const list = byKind.get(s.kind) ?? []
      list.push(segment.slice(at + s.at, at + s.at + s.length))
      byKind.set(s.kind, list)
    }
  }
  const more = encodeJson([
    { type: 'hold', group: 'g', topic: 1, ms: 5, bytes: 6 },
    { type: 'earliest', topic: 1, partition: 0, offset: 4, bytes: 9 },
    { type: 'topic-deleted', topic: 2 },
    { type: 'removed', to: 3 },
    { type: 'topic', info: { id: 4, name: 't', kind: 'user', partitions: 2, labels: { a: [1] } } },
  ])
  return {
    checkpoints: byKind.get(6) ?? [new LogState().toCheckpoint()],
    positions: byKind.get(4)!.slice(0, 3),
    changes: [...(byKind.get(5) ?? []), more],
  }
}

function sealHead(bytes: Uint8Array): void {
  if (bytes.length < 24) return
  const size = headBytes(Math.min(viewOf(bytes).getUint32(20, true), limits.commitSections))
  sumTo(size)(bytes)
}

function frameHead(bytes: Uint8Array): boolean {
  const head = decodeHead(bytes, 0)
  if (head.result === 'short')
    must(head.need <= headBytes(limits.commitSections), `asks for ${head.need} bytes`)
  if (head.result !== 'frame') return false
  must(Number.isSafeInteger(head.length), `a length of ${head.length}`)
  for (const s of head.sections) must(s.at + s.length <= head.length, 'a section beyond the frame')
  return true
}

function superBytes(): Uint8Array {
  const numbers = { sequence: 7, checkpointLsn: 5, checkpointSegment: 1, checkpointPosition: 4096 }
  return encodeSuper({ version: 1, incompat: 0, roCompat: 0, epoch: 3, uuid, ...numbers })
}

function superBlock(bytes: Uint8Array): boolean {
  const s = decodeSuper(bytes)
  return s.result === 'super' && Number.isSafeInteger(s.checkpointPosition)
}

function mark(bytes: Uint8Array): boolean {
  const found = newestMark(bytes)
  if (found === undefined) return false
  must(Number.isSafeInteger(found.mark.lsn) && found.mark.end >= 0, 'a mark of nothing')
  return true
}

function headersOf(segment: Uint8Array): Uint8Array[] {
  const members = ['1-1.seg', '1-5-9.arc']
  const h = { version: 1, epoch: 2, uuid, baseLsn: 9, prevHash: 5n, members }
  return [segment.slice(0, 4096), encodeSegmentHeader(h), encodeSegmentHeader(h, 'archive')]
}

function sealSegment(bytes: Uint8Array): void {
  if (bytes.length < 64) return
  const names = bytes.subarray(64, 64 + viewOf(bytes).getUint32(48, true))
  viewOf(bytes).setUint32(52, crc32(names), true)
  sumTo(64)(bytes)
}

function segmentHeader(bytes: Uint8Array): boolean {
  const both = [decodeSegmentHeader(bytes), decodeSegmentHeader(bytes, 'archive')]
  return both.some(({ result }) => result === 'segment')
}

function sealIndex(bytes: Uint8Array): void {
  if (bytes.length < 96) return
  viewOf(bytes).setUint32(88, crc32(bytes.subarray(96)), true)
  sumTo(96)(bytes)
}

function segmentIndex(
  bytes: Uint8Array,
  id: { readonly epoch: number; readonly baseLsn: number },
  of: Uint8Array,
): boolean {
  const map = SegmentMap.decode(bytes, id, of)
  if (map === undefined) return false
  must(map.sections * 68 + 96 === bytes.length, 'columns beyond the bytes')
  map.ranges()
  return true
}

/** As readers open it: the index lies inside the file, which is what it is. */
function archiveIndex(bytes: Uint8Array, path: string, of: Uint8Array): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const [segmentEpoch = 0, base = 0] = name.split(/[-.]/).map(Number)
  const disk: Partial<Disk> = {
    list: () => [{ name, directory: false }],
    open: () => new Bytes(bytes),
  }
  const behind = { segmentEpoch, segmentBase: base + 1_000, end: 4096, lsn: base + 999 }
  const segments = new Segments(disk as Disk, 'log', of, () => behind)
  const map = segments.map(base)
  must(map !== undefined, 'the archive is taken for gone')
  return map!.broken === undefined
}

function checkpoint(bytes: Uint8Array): boolean {
  const state = LogState.fromCheckpoint(bytes)
  if (state === undefined) return false
  // What was taken once is taken again: a state that could not be written would stop the log later.
  must(LogState.fromCheckpoint(state.toCheckpoint()) !== undefined, 'a checkpoint that is none')
  return true
}

function changes(bytes: Uint8Array): boolean {
  if (decodeChanges(bytes) === undefined) return false
  const section = { kind: sectionKinds.changes } as Section
  return new LogState().apply({ sections: [section] } as unknown as FrameHead, () => bytes)
}

function positions(bytes: Uint8Array): boolean {
  return decodePositions(bytes) !== undefined
}

function blocks(): Uint8Array[] {
  const plain = new BlockBuilder()
  const judged = new BlockBuilder()
  for (let i = 0; i < 5; i++) {
    const value = i === 3 ? undefined : utf8.encode(`value ${i}`)
    plain.add(i, i === 2 ? undefined : utf8.encode(`k${i}`), value)
    judged.add(i, utf8.encode(`k${i}`), value, i % 2, i < 3 ? 10 : 20)
  }
  return [plain.finish(1, 2), judged.finish(3), new BlockBuilder().finish(4)]
}

const view = new BlockView()

function block(bytes: Uint8Array): boolean {
  if (!view.read(bytes)) return false
  must(view.count * 16 + 48 <= bytes.length, `${view.count} records in ${bytes.length} bytes`)
  let sum = 0
  for (let i = 0; i < view.count; i++) {
    const [key, value] = [view.key(i), view.value(i)]
    must(key === undefined || key.length === view.keyLengths[i], 'a key that is cut')
    must(value === undefined || value.length === view.valueLengths[i], 'a value that is cut')
    sum += (key?.length ?? 0) + (value?.length ?? 0)
  }
  must(sum <= bytes.length, 'records that share their bytes')
  return true
}

function changelogBytes(): Uint8Array {
  const writer = new ChangelogWriter()
  for (let i = 0; i < 6; i++) writer.add(i * 7, `ключ ${i}`, i === 4 ? undefined : utf8.encode('v'))
  return writer.take().bytes
}

function changelog(bytes: Uint8Array): boolean {
  return refusing('MR4011', () => {
    const reader = new ChangelogReader(bytes)
    const other = new ChangelogReader(bytes)
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      const key = keyOf(entry)
      other.advance()
      must(other.keyText() === key && other.bucket === entry.bucket, 'another key')
      must(other.value()?.length === entry.value?.length, 'another value')
    }
  })
}

const place = { changelog: 'p.s.c.changelog', partition: 2 }

function snapshotBytes(): Uint8Array {
  const file = new Bytes(new Uint8Array(0))
  const writer = new SnapshotFileWriter(file, place)
  for (let i = 0; i < 6; i++)
    writer.add({ bucket: i, key: utf8.encode(`k${i}`), value: utf8.encode('v') })
  writer.finish(9, 12)
  return file.bytes
}

function sealSnapshot(bytes: Uint8Array): void {
  if (bytes.length < 80) return
  const dv = viewOf(bytes)
  dv.setFloat64(40, bytes.length, true)
  dv.setBigUint64(56, xxh64(bytes.subarray(0, 56)), true)
  const length = dv.getUint32(64, true)
  if (80 + length <= bytes.length) dv.setBigUint64(72, xxh64(bytes.subarray(80, 80 + length)), true)
}

function snapshot(bytes: Uint8Array): boolean {
  const file = new Bytes(bytes)
  let taken = false
  const sound = refusing('MR4011 MR2004', () => {
    const header = readHeader(file, place)
    taken = header !== undefined
    for (const chunk of header === undefined ? [] : readChunks(file, header)) {
      if (chunk === undefined) return
      const reader = new ChangelogReader(chunk)
      for (let entry = reader.next(); entry !== undefined; entry = reader.next()) keyOf(entry)
    }
  })
  return sound && taken
}

const texts = [
  '{"user_id":"u1","n":-12.5e3,"deep":{"a":[1,null,true,"x\\u00e9\\n"]},"é":"\u{1F600}"}',
  '{"a":1,"b":{"c":[[],{},""]},"__prot__":0}',
  '[0,-0,1e999,"\\ud83d\\ude00",{"a":"b"}]',
]

function events(): Uint8Array[] {
  return texts.map((text) => Buffer.from(text))
}

/** What JSON.parse takes is taken with the same value, or refused for one of our reasons; nothing else is taken. */
function event(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const parsed = parseEvent(buffer, 0, buffer.length)
  const valid = isUtf8(buffer)
  const value = parsedBy(buffer.toString('utf8'))
  if (parsed.ok) {
    must(valid && value !== undefined, 'took what JSON.parse does not')
    must(JSON.stringify(parsed.value) === JSON.stringify(value!.value), 'took another value')
  } else if (valid && value !== undefined)
    must(['MR1003', 'MR1004', 'MR1005'].includes(parsed.code), `refused by ${parsed.code}`)
  return parsed.ok
}

function parsedBy(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}

function bodies(): Uint8Array[] {
  const bom = Buffer.from([0xef, 0xbb, 0xbf])
  return [
    Buffer.from(`${texts.join('\n')}\n`),
    Buffer.from(`[${texts.join(' ,\n')}]`),
    Buffer.concat([bom, Buffer.from(` ${texts[0]} `)]),
  ]
}

const spans = new EventSpans()

function body(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let taken = false
  for (const format of ['json', 'ndjson'] as const) {
    const split = splitBody(buffer, format, 50, spans)
    if ('code' in split) continue
    let before = 0
    let good = true
    for (let i = 0; i < spans.count; i++) {
      const [start, end] = [spans.starts[i]!, spans.ends[i]!]
      must(start >= before && end >= start && end <= bytes.length, 'an event outside the body')
      before = end
      good &&= parseEvent(buffer, start, end).ok
    }
    if (format === 'json' && good && isUtf8(buffer)) sameAs(buffer, split.single)
    taken ||= good
  }
  return taken
}

/** A JSON body all of whose events are taken is JSON as a whole, with the same events in it. */
function sameAs(buffer: Buffer, single: boolean): void {
  const whole = parsedBy(buffer.toString('utf8').replace(/^\uFEFF/, ''))
  must(whole !== undefined, 'took a body that is not JSON')
  if (single) return
  const list = whole!.value as unknown[]
  must(Array.isArray(list) && list.length === spans.count, 'took another number of events')
  for (const [i, value] of list.entries()) {
    const event = parseEvent(buffer, spans.starts[i]!, spans.ends[i]!)
    must(event.ok && JSON.stringify(event.value) === JSON.stringify(value), 'took another event')
  }
}

function filePositions(): Uint8Array[] {
  return [Buffer.from('{"inode":12,"offset":345,"head":678,"headBytes":100,"cut":false}')]
}

function filePosition(bytes: Uint8Array): boolean {
  return refusing('MR1061', () => void readPosition('events.log', Buffer.from(bytes).toString()))
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { xxh64 } from '../../core/hash.ts'
import {
  align8,
  decodeHead,
  decodeMark,
  decodeSegmentHeader,
  decodeSuper,
  encodeMark,
  encodeSegmentHeader,
  encodeSuper,
  fileName,
  ENTRY_BYTES,
  FRAME_HEADER,
  headBytes,
  newestMark,
  newHead,
  parseFileName,
  putEntry,
  stampHead,
} from './format.ts'
import type { Section } from './format.ts'
import { decodeChanges, decodePositions } from './payloads.ts'
import { SegmentMap } from './segment-map.ts'
import { LogState } from './state.ts'

const uuid = Uint8Array.from({ length: 16 }, (_, i) => i)
const whole = fc.maxSafeNat()
const u32 = fc.nat(0xffffffff)

const section = fc.record({
  kind: fc.integer({ min: 1, max: 6 }),
  topic: u32,
  partition: fc.nat(1023),
  count: u32,
  baseOffset: fc.nat(1e9),
  nextOffset: fc.integer({ min: 1e9, max: 2e9 }),
  length: fc.nat(1e6),
  hash: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
})

function frameOf(sections: readonly Omit<Section, 'at'>[], lsn = 5): Uint8Array {
  const head = newHead(sections.length)
  for (const [i, s] of sections.entries()) putEntry(head, i, s)
  const payloadBytes = sections.reduce((sum, s) => sum + align8(s.length), 0)
  stampHead(head, {
    lsn,
    epoch: 2,
    group: 3,
    writer: 4,
    writerEpoch: 6,
    commitNumber: 7,
    payloadBytes,
    prevHash: 8n,
    time: 9.5,
    logTime: 10.5,
  })
  return head
}

describe('what is encoded decodes to the same', () => {
  test('frame heads, at any place in a buffer', () => {
    fc.assert(
      fc.property(fc.array(section, { maxLength: 20 }), fc.nat(50), (sections, shift) => {
        const head = frameOf(sections)
        const buffer = new Uint8Array(head.length + shift + 10)
        buffer.set(head, shift)
        const decoded = decodeHead(buffer, shift)
        if (decoded.result !== 'frame') throw new Error(JSON.stringify(decoded))
        expect(decoded.sections).toMatchObject(sections)
        expect(decoded).toMatchObject({
          lsn: 5,
          epoch: 2,
          group: 3,
          writer: 4,
          writerEpoch: 6,
          commitNumber: 7,
          prevHash: 8n,
          time: 9.5,
          logTime: 10.5,
        })
        expect(decoded.hash).toBe(xxh64(head))
        let at = head.length
        for (const s of decoded.sections) {
          expect(s.at).toBe(at)
          at += align8(s.length)
        }
        expect(decoded.length).toBe(at)
      }),
    )
  })

  test('super blocks, marks and segment headers', () => {
    fc.assert(
      fc.property(u32, whole, whole, whole, whole, (small, a, b, c, d) => {
        const s = {
          version: 1,
          incompat: small,
          roCompat: small,
          epoch: small,
          uuid,
          sequence: a,
          checkpointLsn: b,
          checkpointSegment: c,
          checkpointPosition: d,
        }
        expect(decodeSuper(encodeSuper(s))).toEqual({ result: 'super', ...s })
        const m = {
          uuid,
          epoch: small,
          segmentEpoch: small,
          lsn: a,
          segmentBase: b,
          end: c,
          sequence: d,
        }
        expect(decodeMark(encodeMark(m))).toEqual({ result: 'mark', ...m })
        const h = {
          version: small,
          epoch: small,
          uuid,
          baseLsn: a,
          prevHash: 5n,
          members: ['1-1.seg', '1-5-9.arc'],
        }
        expect(decodeSegmentHeader(encodeSegmentHeader(h))).toEqual({ result: 'segment', ...h })
      }),
    )
  })

  test('names of segments, and nothing else is taken for one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 31 }),
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        (epoch, baseLsn) => {
          for (const id of [
            { epoch, baseLsn },
            { epoch, baseLsn, toLsn: baseLsn },
          ])
            expect(parseFileName(fileName(id))).toEqual(id)
        },
      ),
    )
    for (const name of ['1-1.idx', '01-1.seg', '1-0.seg', '1-1.seg~', '-1-1.seg', 'x'])
      expect(parseFileName(name)).toBeUndefined()
  })
})

test('the newest mark is the valid slot with the higher sequence, whichever it is', () => {
  const mark = (sequence: number): Uint8Array =>
    encodeMark({
      uuid,
      epoch: 1,
      segmentEpoch: 1,
      lsn: sequence,
      segmentBase: 1,
      end: 4096,
      sequence,
    })
  const file = new Uint8Array(8192)
  expect(newestMark(file)).toBeUndefined()
  file.set(mark(3), 4096)
  expect(newestMark(file)).toMatchObject({ slot: 1, mark: { lsn: 3 } })
  file.set(mark(4), 0)
  expect(newestMark(file)).toMatchObject({ slot: 0, mark: { lsn: 4 } })
  file[40]! ^= 1
  expect(newestMark(file)).toMatchObject({ slot: 1, mark: { lsn: 3 } })
})

describe('hostile bytes', () => {
  const flip = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))

  test('a frame head with any byte changed is no frame', () => {
    fc.assert(
      fc.property(fc.array(section, { maxLength: 8 }), flip, (sections, [at, by]) => {
        const head = frameOf(sections)
        head[at % head.length]! ^= by
        expect(decodeHead(head, 0).result).not.toBe('frame')
      }),
      { numRuns: 3000 },
    )
  })

  test('the decoders are total, and ask for no more than the largest head', () => {
    const seeds = [
      frameOf([]),
      frameOf([
        {
          kind: 1,
          topic: 1,
          partition: 1,
          count: 1,
          baseOffset: 1,
          nextOffset: 2,
          length: 3,
          hash: 4n,
        },
      ]),
      encodeMark({ uuid, epoch: 1, segmentEpoch: 1, lsn: 1, segmentBase: 1, end: 1, sequence: 1 }),
      encodeSegmentHeader({ version: 1, epoch: 1, uuid, baseLsn: 1, prevHash: 1n, members: [] }),
      new SegmentMap({ epoch: 1, baseLsn: 1 }, 0n).encode(uuid),
      new LogState().toCheckpoint(),
    ]
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(...seeds).map((seed) => seed.slice()),
    )
    fc.assert(
      fc.property(input, fc.array(flip, { maxLength: 3 }), fc.nat(400), (bytes, flips, at) => {
        for (const [where, by] of flips) if (bytes.length > 0) bytes[where % bytes.length]! ^= by
        const head = decodeHead(bytes, at)
        if (head.result === 'short') expect(head.need).toBeLessThanOrEqual(headBytes(65_536))
        decodeSuper(bytes)
        decodeMark(bytes)
        decodeSegmentHeader(bytes)
        newestMark(bytes)
        SegmentMap.decode(bytes, { epoch: 1, baseLsn: 1 }, uuid)
        LogState.fromCheckpoint(bytes)
        decodePositions(bytes)
        decodeChanges(bytes)
      }),
      { numRuns: 5000 },
    )
  })

  test('JSON of any shape is no checkpoint, no change and no position, or a sound one', () => {
    const keys = fc.constantFrom(
      'type',
      'lsn',
      'topics',
      'writers',
      'holds',
      'positions',
      'group',
      'time',
      'nextTopic',
      'removedTo',
      'info',
      'topic',
    )
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.nat(5),
        fc.constantFrom('topic', 'writer', null, -1, 1.5),
        fc.array(tie('tree'), { maxLength: 5, size: 'small' }),
        fc.dictionary(keys, tie('tree'), { size: 'small' }),
      ),
    }))
    fc.assert(
      fc.property(tree, (value) => {
        const bytes = new TextEncoder().encode(JSON.stringify(value))
        LogState.fromCheckpoint(bytes)
        decodeChanges(bytes)
        decodePositions(bytes)
      }),
      { numRuns: 2000 },
    )
  })
})

test('a checkpoint or a change with one value out of bounds is none, and takes no memory (I10)', () => {
  const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
  const info = { id: 1, name: 'a', kind: 'user', partitions: 1 }
  const topic = { info, next: [0], earliest: [0], bytes: 0 }
  const none = { topics: [topic], writers: [['w', 1, 1, 1]], holds: [], positions: [] }
  const sound = { lsn: 1, group: 1, logTime: 1, nextTopic: 2, removedTo: 0, ...none }
  const text = JSON.stringify(sound)
  expect(LogState.fromCheckpoint(bytesOf(text))).toBeDefined()
  const wrongs = [
    text.replace('"logTime":1', '"logTime":1e999'),
    JSON.stringify({ ...sound, writers: [5] }),
    JSON.stringify({ ...sound, holds: [null] }),
    text.replaceAll('"partitions":1', '"partitions":0').replaceAll('[0]', '[]'),
  ]
  for (const wrong of wrongs) expect(LogState.fromCheckpoint(bytesOf(wrong))).toBeUndefined()
  for (const partitions of [0, 1_025, 2 ** 40]) {
    const change = { type: 'topic', info: { ...info, partitions } }
    expect(decodeChanges(bytesOf(JSON.stringify([change])))).toBeUndefined()
  }
})

test('the sizes on disk are those that the format page gives', () => {
  expect([FRAME_HEADER, ENTRY_BYTES, headBytes(2)]).toEqual([80, 48, 176])
})

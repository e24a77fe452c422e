import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Disk, DiskFile } from '../../core/env/env.ts'
import { decodeHead, newHead, putEntry, SEGMENT_HEADER, sectionKinds, stampHead } from './format.ts'
import { extendMap, SegmentMap } from './segment-map.ts'
import { Segments } from './segments.ts'
import { placeOf } from './state.ts'

const uuid = new Uint8Array(16).fill(9)
const id = { epoch: 3, baseLsn: 10 }

interface Made {
  readonly lsn: number
  readonly prevHash: bigint
  readonly sections: number
}

/** A frame with sections of 8 bytes in partitions 0, 1, …; returns it with its hash. */
function frameOf({ lsn, prevHash, sections }: Made): { bytes: Uint8Array; hash: bigint } {
  const head = newHead(sections)
  for (let i = 0; i < sections; i++) {
    const offsets = { count: 1, baseOffset: lsn, nextOffset: lsn + 1, length: 8, hash: 7n }
    putEntry(head, i, { kind: sectionKinds.records, topic: 1, partition: i, ...offsets })
  }
  const by = { epoch: 3, group: lsn, writer: 1, writerEpoch: 1, commitNumber: lsn }
  const hash = stampHead(head, {
    lsn,
    prevHash,
    payloadBytes: 8 * sections,
    time: lsn,
    logTime: lsn,
    ...by,
  })
  const bytes = new Uint8Array(head.length + 8 * sections)
  bytes.set(head)
  return { bytes, hash }
}

/** A file in memory, after the page that a segment's header takes. */
function fileOf(frames: readonly Uint8Array[]): DiskFile {
  const size = frames.reduce((sum, frame) => sum + frame.length, SEGMENT_HEADER)
  const content = new Uint8Array(size)
  let at = SEGMENT_HEADER
  for (const frame of frames) {
    content.set(frame, at)
    at += frame.length
  }
  const no = (): never => {
    throw new Error('a reader only reads')
  }
  return {
    path: 'memory',
    read(into, position) {
      const part = content.subarray(position, position + into.length)
      into.set(part)
      return part.length
    },
    size: () => size,
    write: no,
    truncate: no,
    fdatasync: no,
    close: () => {},
  }
}

describe('walking a segment', () => {
  test('maps every section of a chain, however the reads fall, and stops at the given end', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(500), { maxLength: 30 }), fc.nat(30), (counts, published) => {
        const frames: Uint8Array[] = []
        let hash = 5n
        for (const [i, sections] of counts.entries()) {
          const frame = frameOf({ lsn: 10 + i, prevHash: hash, sections })
          frames.push(frame.bytes)
          hash = frame.hash
        }
        const some = frames.slice(0, published)
        const end = some.reduce((sum, frame) => sum + frame.length, SEGMENT_HEADER)
        const map = new SegmentMap(id, 5n)
        const file = fileOf(frames)
        extendMap(map, file, end)
        expect([map.broken, map.end, map.nextLsn]).toEqual([undefined, end, 10 + some.length])
        extendMap(map, file, file.size())
        expect([map.broken, map.lastHash]).toEqual([undefined, hash])
        const truth = counts.flatMap((n, i) =>
          Array.from({ length: n }, (_, p) => [placeOf(1, p), 10 + i]),
        )
        const seen = Array.from({ length: map.sections }, (_, i) => [map.places[i], map.lsns[i]])
        expect(seen).toEqual(truth)
        const again = SegmentMap.decode(map.encode(uuid), id, uuid)
        expect(again?.encode(uuid)).toEqual(map.encode(uuid))
        expect(again?.ranges()).toEqual(map.ranges())
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['another LSN', { lsn: 12, prevHash: undefined }, 'LSN 12 where 11 must be'],
    ['another past', { lsn: 11, prevHash: 1n }, 'it does not follow the frame before it'],
  ])('stops at a sound frame with %s, as an old tail may have', (_, made, why) => {
    const first = frameOf({ lsn: 10, prevHash: 5n, sections: 2 })
    const second = frameOf({ lsn: made.lsn, prevHash: made.prevHash ?? first.hash, sections: 1 })
    expect(decodeHead(second.bytes, 0).result).toBe('frame')
    const map = new SegmentMap(id, 5n)
    const file = fileOf([first.bytes, second.bytes])
    extendMap(map, file, file.size())
    expect([map.broken, map.nextLsn, map.sections]).toEqual([why, 11, 2])
  })

  test('stops where a frame ends beyond what may be read', () => {
    const first = frameOf({ lsn: 10, prevHash: 5n, sections: 2 })
    const map = new SegmentMap(id, 5n)
    const file = fileOf([first.bytes])
    extendMap(map, file, file.size() - 8)
    expect(map.broken).toContain('beyond')
    expect(map.sections).toBe(0)
  })
})

test('an archive whose index claims more than the file has takes no memory for it (I10)', () => {
  const index = new SegmentMap(id, 0n).encode(uuid)
  const view = new DataView(index.buffer)
  view.setUint32(68, 0xffffffff, true)
  view.setUint32(4, crc32(index.subarray(8)), true)
  const disk: Partial<Disk> = {
    list: () => [{ name: '3-10-12.arc', directory: false }],
    open: () => fileOf([index]),
  }
  const published = { segmentEpoch: 4, segmentBase: 12, end: SEGMENT_HEADER, lsn: 11 }
  const segments = new Segments(disk as Disk, 'log', uuid, () => published)
  expect(segments.map(10)?.broken).toBe('the index of the archive has a flaw')
})

import { describe, expect, test } from 'vitest'
import { decideChain, decideLayout, decideTail } from './decide.ts'
import type { ChainFact, LayoutFacts, SegmentFact, TailFacts } from './decide.ts'
import { encodeMark, MARK_SLOT, SEGMENT_HEADER } from './format.ts'
import type { SegmentId, Super } from './format.ts'

const uuid = new Uint8Array(16).fill(1)
const none = { checkpointLsn: 0, checkpointSegment: 0, checkpointPosition: 0 }
const super0: Super = {
  result: 'super',
  version: 1,
  incompat: 0,
  roCompat: 0,
  epoch: 2,
  uuid,
  sequence: 5,
  ...none,
}

function segment(id: SegmentId, size = 9_000, members: readonly string[] = []): SegmentFact {
  if (size < SEGMENT_HEADER) return { id, size, header: { result: 'bad', why: 'too short' } }
  const header = { result: 'segment', version: 1, uuid, prevHash: 0n, members, ...id } as const
  return { id, size, header }
}

const at = (baseLsn: number, epoch = 2): SegmentId => ({ epoch, baseLsn })

function layout(segments: readonly SegmentFact[], named = at(1), lsn = 5): LayoutFacts {
  const mark = new Uint8Array(2 * MARK_SLOT)
  const { baseLsn: segmentBase, epoch: segmentEpoch } = named
  mark.set(encodeMark({ uuid, epoch: 2, segmentEpoch, lsn, segmentBase, end: 9_000, sequence: 3 }))
  return { supers: [super0, undefined], mark, segments, leftovers: [] }
}

function judged(facts: LayoutFacts): unknown {
  const decision = decideLayout(facts)
  if (decision.decision !== 'scan') return decision.decision
  return { keep: decision.segments.map((s) => s.id), drop: decision.drop }
}

describe('the layout', () => {
  test('of nothing is created, of anything with frames and no SUPER refused', () => {
    const supers = [undefined, { result: 'bad', why: 'wrong checksum' }] as const
    const empty = { supers, mark: undefined, segments: [], leftovers: [] }
    expect(judged(empty)).toBe('create')
    expect(judged({ ...empty, segments: [segment(at(1), SEGMENT_HEADER)] })).toBe('create')
    expect(judged({ ...empty, segments: [segment(at(1), SEGMENT_HEADER + 1)] })).toBe('refuse')
    expect(judged({ ...layout([]), supers })).toBe('refuse')
  })

  test('takes the SUPER with the higher sequence', () => {
    const facts = layout([segment(at(1))])
    const newer = { ...super0, sequence: 6, epoch: 9 }
    expect(decideLayout({ ...facts, supers: [super0, newer] })).toMatchObject({
      superSlot: 1,
      super: { epoch: 9 },
    })
    expect(decideLayout({ ...facts, supers: [newer, super0] })).toMatchObject({
      superSlot: 0,
      super: { epoch: 9 },
    })
  })

  test('drops what several attempts at a next segment left, as the removal of an earlier one may be lost (I7)', () => {
    const facts = [segment(at(1)), segment(at(5), 0), segment(at(6), SEGMENT_HEADER)]
    expect(judged(layout(facts))).toEqual({ keep: [at(1)], drop: [at(5), at(6)] })
    // Behind the mark, or in front of one with frames, an empty one is not just one more attempt.
    expect(judged(layout(facts, at(6)))).toBe('refuse')
    expect(judged(layout([segment(at(1)), segment(at(5), 0), segment(at(6))]))).toBe('refuse')
  })

  test('drops a last segment that was never used, and an earlier attempt at it; nothing that the mark names', () => {
    const empty = (id: SegmentId): SegmentFact => segment(id, SEGMENT_HEADER)
    expect(judged(layout([segment(at(1)), empty(at(6))]))).toEqual({ keep: [at(1)], drop: [at(6)] })
    expect(judged(layout([segment(at(1)), empty(at(6))], at(6)))).toEqual({
      keep: [at(1), at(6)],
      drop: [],
    })
    const again = [segment(at(1)), empty(at(6, 2)), segment(at(6, 3))]
    expect(judged(layout(again, at(6, 3)))).toEqual({ keep: [at(1), at(6, 3)], drop: [at(6, 2)] })
    expect(judged(layout([segment(at(1)), segment(at(6))]))).toEqual({
      keep: [at(1), at(6)],
      drop: [],
    })
  })

  test('counts an archive only once something that it stands for is gone', () => {
    const archive = (base: number, toLsn: number, ...members: string[]): SegmentFact =>
      segment({ epoch: 2, baseLsn: base, toLsn }, 9_000, members)
    const [one, two, last] = [segment(at(1)), segment(at(4)), segment(at(7))]
    const both = archive(1, 7, '2-1.seg', '2-4.seg')
    const keep = (...facts: SegmentFact[]): unknown => judged(layout([...facts, last], at(7)))
    expect(keep(both)).toEqual({ keep: [both.id, last.id], drop: [] })
    expect(keep(both, one, two)).toEqual({ keep: [one.id, two.id, last.id], drop: [both.id] })
    expect(keep(both, two)).toEqual({ keep: [both.id, last.id], drop: [two.id] })
    const wider = archive(1, 7, '2-1-4.arc', '2-4.seg')
    const inner = archive(1, 4, '2-1.seg')
    expect(keep(wider, inner, two)).toEqual({ keep: [inner.id, two.id, last.id], drop: [wider.id] })
    // What came back of an older generation does not make the newer ones complete.
    expect(keep(wider, one, two)).toEqual({ keep: [wider.id, last.id], drop: [one.id, two.id] })
    expect(keep(wider, inner, one, two)).toEqual({
      keep: [one.id, two.id, last.id],
      drop: expect.arrayContaining([wider.id, inner.id]),
    })
  })
})

describe('the chain', () => {
  const whole = (id: SegmentId, nextLsn: number, prevHash: bigint): ChainFact => {
    const sealed = { nextLsn, end: 9_000, lastHash: prevHash + 1n, broken: undefined }
    return { id, size: 9_000, prevHash, sealed }
  }
  const last: ChainFact = { id: at(20), size: 5_000, prevHash: 3n, sealed: undefined }
  const chain = [whole(at(1), 10, 1n), whole(at(10), 20, 2n), last]

  test('is whole when each segment begins where the one before ended, with its hash and its size', () => {
    expect(decideChain(chain, 0)).toEqual({ decision: 'whole' })
    expect(decideChain(chain.slice(1), 9)).toEqual({ decision: 'whole' })
  })

  test.each([
    ['a first segment that is missing', chain.slice(1), 0, 'LSN 1 is missing'],
    ['one in the middle that is missing', [chain[0]!, last], 0, 'LSN 10 is missing'],
    [
      'one that follows another past',
      [chain[0]!, whole(at(10), 20, 9n), last],
      0,
      'does not follow',
    ],
    [
      'one that is too short',
      [{ ...chain[0]!, size: 8_999 }, ...chain.slice(1)],
      0,
      '8999 bytes where 9000',
    ],
  ])('is refused for %s', (_, facts, removedTo, what) => {
    expect(decideChain(facts, removedTo)).toMatchObject({
      decision: 'refuse',
      code: 'MR2002',
      what: expect.stringContaining(what) as string,
    })
  })
})

describe('the tail', () => {
  const torn: TailFacts = {
    markLsn: 5,
    file: '2-1.seg',
    offset: 7_000,
    nextLsn: 6,
    size: 7_400,
    lastSegment: true,
    why: 'wrong head checksum',
    later: undefined,
  }

  test('is clean where the file ends, torn above the mark, and refused in every other case', () => {
    expect(decideTail({ ...torn, why: undefined })).toEqual({ decision: 'clean' })
    expect(decideTail(torn)).toEqual({ decision: 'torn', bytes: 400 })
    const details = { file: '2-1.seg', offset: 7_000, lsn: 6 }
    for (const change of [
      { markLsn: 6 },
      { markLsn: 6, why: undefined },
      { lastSegment: false },
      { later: 7_200 },
    ]) {
      expect(decideTail({ ...torn, ...change })).toMatchObject({
        decision: 'refuse',
        code: 'MR2002',
        details,
      })
    }
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BlockBuilder, BlockView, controlBytes, readControl } from './block.ts'

interface Row {
  readonly timestamp: number
  readonly key: Uint8Array | undefined
  readonly value: Uint8Array | undefined
  readonly upstream: number
  readonly watermark: number
}

const bytes = fc.uint8Array({ maxLength: 40 })
const row: fc.Arbitrary<Row> = fc.record({
  timestamp: fc.double({ noNaN: true }),
  key: fc.option(bytes, { nil: undefined }),
  value: fc.option(bytes, { nil: undefined }),
  upstream: fc.nat(3),
  // Few values, so that runs of more than one record occur.
  watermark: fc.constantFrom(-Infinity, 1, 2, 1e15),
})
const rows = fc.array(row, { maxLength: 200 })

function build(builder: BlockBuilder, all: readonly Row[], runs: boolean): Uint8Array {
  for (const r of all) {
    if (runs) builder.add(r.timestamp, r.key, r.value, r.upstream, r.watermark)
    else builder.add(r.timestamp, r.key, r.value)
  }
  return builder.finish(77, 3)
}

describe('a block', () => {
  test('gives back what was put in, wherever its bytes lie, from a builder that was used before', () => {
    const builder = new BlockBuilder()
    const view = new BlockView()
    fc.assert(
      fc.property(rows, fc.boolean(), fc.nat(9), (all, runs, shift) => {
        const made = build(builder, all, runs)
        const around = new Uint8Array(made.length + 20).fill(0xee)
        around.set(made, shift)
        expect(view.read(around.subarray(shift, shift + made.length))).toBe(true)
        expect([view.count, view.appendTime, view.schemaVersion]).toEqual([all.length, 77, 3])
        expect(view.maxTimestamp).toBe(Math.max(-Infinity, ...all.map((r) => r.timestamp)))
        for (const [i, r] of all.entries()) {
          expect(view.timestamps[i]).toBe(r.timestamp)
          expect(view.key(i)).toEqual(r.key)
          expect(view.value(i)).toEqual(r.value)
          if (runs)
            expect([view.upstreams?.[i], view.watermarks?.[i]]).toEqual([r.upstream, r.watermark])
        }
        if (!runs) expect(view.watermarks).toBeUndefined()
        expect(builder.count).toBe(0)
      }),
    )
  })

  test('is as large as the builder said, nearly', () => {
    fc.assert(
      fc.property(rows, (all) => {
        const builder = new BlockBuilder()
        for (const r of all) builder.add(r.timestamp, r.key, r.value)
        const { bytes: expected } = builder
        expect(Math.abs(builder.finish(0).length - expected)).toBeLessThan(24)
      }),
    )
  })

  test('a reader of hostile bytes gets false or slices that lie inside, never an exception', () => {
    const view = new BlockView()
    const inside = (part: Uint8Array | undefined, all: Uint8Array): boolean =>
      part === undefined ||
      (part.byteOffset >= all.byteOffset &&
        part.byteOffset + part.length <= all.byteOffset + all.length)
    const mutation = fc.tuple(fc.nat(), fc.nat(255))
    fc.assert(
      fc.property(
        rows,
        fc.boolean(),
        fc.array(mutation, { maxLength: 4 }),
        fc.nat(40),
        (all, runs, mutations, cut) => {
          const made = build(new BlockBuilder(), all, runs)
          for (const [at, value] of mutations) made[at % (at % 3 === 0 ? made.length : 48)] = value
          const hostile = made.subarray(0, made.length - Math.min(cut, made.length))
          if (!view.read(hostile)) return
          for (let i = 0; i < view.count; i++) {
            expect(inside(view.key(i), hostile)).toBe(true)
            expect(inside(view.value(i), hostile)).toBe(true)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('counts that would wrap around are refused', () => {
    const made = build(new BlockBuilder(), [], false)
    const fields = new DataView(made.buffer)
    // 2^29 records of 8 bytes each are 2^32 bytes, which a 32-bit alignment takes for none.
    for (const at of [4, 28, 32, 36]) {
      const hostile = made.slice()
      new DataView(hostile.buffer).setUint32(at, 0x20000000, true)
      expect(new BlockView().read(hostile)).toBe(false)
    }
    expect(fields.getUint32(4, true)).toBe(0)
  })
})

test('a control block carries an upstream and a watermark', () => {
  for (const watermark of [0, -Infinity, 1.7e12]) {
    expect(readControl(controlBytes(4_000_000_000, watermark))).toEqual({
      upstream: 4_000_000_000,
      watermark,
    })
  }
  expect(readControl(new Uint8Array(15))).toBeUndefined()
})

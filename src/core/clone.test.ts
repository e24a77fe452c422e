import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cloneMessage } from './clone.ts'

interface Message {
  readonly views: readonly Uint8Array[]
  readonly inSet: ReadonlySet<Uint8Array>
  readonly rest: unknown
}

const plain = fc.anything({ withBigInt: true, withTypedArray: false, withNullPrototype: true })

/** Several views of one buffer, and some of others. */
const message = fc
  .record({
    bytes: fc.uint8Array({ minLength: 1 }),
    cuts: fc.array(fc.tuple(fc.nat(), fc.nat())),
    rest: plain,
  })
  .map(({ bytes, cuts, rest }) => {
    const views = cuts.map(([a, b]) => {
      const start = a % bytes.length
      return bytes.subarray(start, start + (b % (bytes.length - start + 1)))
    })
    return {
      buffer: bytes.buffer as ArrayBuffer,
      message: {
        views,
        inSet: new Set(views.map((view) => view.subarray())),
        rest,
      } satisfies Message,
    }
  })

test('a message arrives as structuredClone gives it, whether its buffer moves or not', () => {
  fc.assert(
    fc.property(message, fc.boolean(), ({ buffer, message: sent }, moves) => {
      const want = structuredClone(sent)
      const got = cloneMessage(sent, moves ? [buffer] : []) as Message
      expect(got).toStrictEqual(want)
      expect(buffer.detached).toBe(moves)
      const shared = new Set(got.views.map((view) => view.buffer))
      expect(shared.size).toBe(Math.min(1, got.views.length))
      expect(shared.has(buffer)).toBe(false)
    }),
  )
})

test('shared memory is shared; what no thread can be sent is refused', () => {
  const memory = new SharedArrayBuffer(8)
  expect((cloneMessage({ memory }) as { memory: unknown }).memory).toBe(memory)
  for (const value of [() => 1, Symbol('x'), new Map(), new (class Thing {})()]) {
    expect(() => cloneMessage({ value })).toThrow(TypeError)
  }
})

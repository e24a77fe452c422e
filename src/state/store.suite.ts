/** The promises of the store contract, S1 to S4, for any implementation: `storeSuite('memory', (spec) => new …)`. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ChangelogReader, keyOf } from './changelog.ts'
import type { Store, StoreSpec } from './store.ts'
import { jsonCodec } from './codecs.ts'

type Value = { n: number }
type Make = (spec: StoreSpec<Value>) => Store<Value>

const spec: StoreSpec<Value> = {
  name: 'suite',
  codec: jsonCodec<Value>(),
  partitionKey: (key) => key,
  maxBytes: 1e9,
}

const keys = fc.constantFrom('', 'a', 'b', 'ab', 'z', 'é', '￿', '\u{10000}', '日本')

const command = fc.oneof(
  fc.record({ kind: fc.constant('put'), key: keys, n: fc.nat(9) }),
  fc.record({ kind: fc.constant('touch'), key: keys, n: fc.nat(9) }),
  fc.record({ kind: fc.constant('delete'), key: keys }),
  fc.record({ kind: fc.constant('range'), from: keys, to: keys }),
  fc.constant({ kind: 'commit' as const }),
  fc.constant({ kind: 'rollback' as const }),
)

function contents(store: Store<Value>): [string, number][] {
  return [...store.entries()]
    .map(([key, value]): [string, number] => [key, value.n])
    .toSorted(order)
}

function order(a: readonly [string, number], b: readonly [string, number]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}

const sorted = (map: Map<string, number>): [string, number][] => [...map].toSorted(order)

export function storeSuite(name: string, make: Make): void {
  describe(`store promises: ${name}`, () => {
    test('S1, S2, S3: staging, rollback, ranges and restoring agree with a plain map', () => {
      fc.assert(
        fc.property(fc.array(command, { maxLength: 60, size: 'max' }), (commands) => {
          const store = make(spec)
          let committed = new Map<string, number>()
          let live = new Map<string, number>()
          const log: Uint8Array[] = []
          for (const step of commands) {
            if (step.kind === 'put') {
              store.put(step.key, { n: step.n })
              live.set(step.key, step.n)
            } else if (step.kind === 'touch') {
              const value = store.touch(step.key)
              expect(value?.n).toBe(live.get(step.key))
              if (value !== undefined) {
                value.n += step.n
                live.set(step.key, value.n)
              }
            } else if (step.kind === 'delete') {
              store.delete(step.key)
              live.delete(step.key)
            } else if (step.kind === 'range') {
              const got = [...store.range(step.from, step.to)].map(([key, value]) => [key, value.n])
              expect(got).toEqual(sorted(live).filter(([key]) => key >= step.from && key < step.to))
            } else if (step.kind === 'rollback') {
              store.rollback()
              live = new Map(committed)
              expect(store.changes()).toBeUndefined()
            } else {
              const staged = store.stagedBytes
              const changes = store.changes()
              if (changes !== undefined) {
                expect(staged).toBeGreaterThan(0)
                log.push(changes.bytes)
              }
              // A key may take more bytes than it has characters, and what came and went is counted as well.
              expect(Math.abs(staged - (changes?.bytes.length ?? 0))).toBeLessThan(110)
              store.committed()
              expect(store.stagedBytes).toBe(0)
              committed = new Map(live)
            }
            expect(contents(store)).toEqual(sorted(live))
            expect(store.size).toBe(live.size)
          }
          const restored = make(spec)
          for (const bytes of log) restored.restore(bytes)
          expect(contents(restored)).toEqual(sorted(committed))
          store.rollback()
          store.changes()
          expect(restored.bytes).toBe(store.bytes)
        }),
        { numRuns: 300 },
      )
    })

    test('S1: changes hold the last write per key and nothing for keys that come and go', () => {
      const store = make(spec)
      store.put('kept', { n: 1 })
      store.put('kept', { n: 2 })
      store.put('gone', { n: 1 })
      store.delete('gone')
      const changes = store.changes()
      expect(changes?.count).toBe(1)
      const entry = new ChangelogReader(changes?.bytes ?? new Uint8Array()).next()
      expect(entry && keyOf(entry)).toBe('kept')
      expect(new TextDecoder().decode(entry?.value)).toBe('{"n":2}')
    })

    test('S1: what is staged counts as the bytes it has now, not as those it had', () => {
      const store = make(spec)
      const sized = (length: number): Value => ({ n: 1, text: 'x'.repeat(length) }) as Value
      store.put('grows', sized(1))
      store.put('shrinks', sized(10_000))
      store.put('goes', sized(10_000))
      store.changes()
      store.committed()
      store.put('grows', sized(20_000))
      store.put('shrinks', sized(1))
      store.delete('goes')
      for (const key of ['new', 'comes back', 'goes again']) store.put(key, sized(5_000))
      for (const key of ['comes back', 'goes again']) store.delete(key)
      store.put('comes back', sized(2_000))
      const staged = store.stagedBytes
      expect(Math.abs(staged - store.changes()!.bytes.length)).toBeLessThan(50)
    })

    test('S2: a store may be changed while it is ranged over', () => {
      const store = make(spec)
      for (const key of ['a', 'b', 'c', 'd']) store.put(key, { n: 0 })
      const seen: string[] = []
      for (const [key] of store.range('a', 'z')) {
        seen.push(key)
        store.delete(key)
        if (key === 'a') store.delete('c')
      }
      expect(seen).toEqual(['a', 'b', 'd'])
      expect(store.size).toBe(0)
    })

    test('S4: what goes past the byte limit is refused with a code, and changes nothing', () => {
      const store = make({ ...spec, maxBytes: 2_000 })
      let refused: unknown
      let keptKeys = 0
      try {
        for (; keptKeys < 1_000; keptKeys++) store.put(`key ${keptKeys}`, { n: keptKeys })
      } catch (error) {
        refused = error
      }
      expect(refused).toMatchObject({ code: 'MR4010' })
      expect(String(refused)).toMatch(/\d+ keys.*TTL.*RocksDB/s)
      expect(store.size).toBe(keptKeys)
      expect(store.bytes).toBeLessThanOrEqual(2_000)
      store.delete('key 0')
      store.put('key x', { n: 1 })
      expect(store.size).toBe(keptKeys)
    })

    test('hostile changelog bytes are refused, whatever they are', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 64, size: 'max' }), (bytes) => {
          try {
            make(spec).restore(bytes)
          } catch (error) {
            expect(error).toMatchObject({ code: 'MR4011' })
          }
        }),
      )
    })
  })
}

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TimeHeap } from './heap.ts'
import type { HeapEntry } from './heap.ts'

test('gives entries back by time, tie and order of insertion, whatever was taken out in between', () => {
  const action = fc.oneof(
    fc.record({ at: fc.nat(30), tie: fc.nat(2) }),
    fc.record({ at: fc.nat(30), tie: fc.nat(2) }),
    fc.record({ remove: fc.nat(20) }),
    fc.constant('pop' as const),
  )
  fc.assert(
    fc.property(fc.array(action, { minLength: 10, maxLength: 60 }), (actions) => {
      const heap = new TimeHeap()
      const model: HeapEntry[] = []
      const sorted = (): HeapEntry[] =>
        model.toSorted((a, b) => a.at - b.at || a.tie - b.tie || a.order - b.order)
      for (const one of actions) {
        if (one === 'pop') {
          const [first] = sorted()
          expect(heap.pop()).toBe(first)
          if (first !== undefined) model.splice(model.indexOf(first), 1)
        } else if ('remove' in one) {
          const [entry] = model.splice(one.remove % Math.max(model.length, 1), 1)
          if (entry === undefined) continue
          expect(heap.remove(entry)).toBe(true)
          expect(heap.remove(entry)).toBe(false)
        } else {
          model.push(heap.push(one.at, one.tie, () => {}))
        }
        expect(heap.size).toBe(model.length)
        expect(heap.peek()).toBe(sorted()[0])
      }
      for (const entry of sorted()) expect(heap.pop()).toBe(entry)
    }),
    { numRuns: 1000 },
  )
})

/** A snapshot that was made is there after a power cut: the changelog before it may be gone by then (I1). */
import { expect, test } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import { MemoryLog } from '../../tests/support/memory-log.ts'
import { jsonCodec } from './codecs.ts'
import { MemoryStore } from './memory.ts'
import { loadSnapshot, snapshotOnce } from './snapshot.ts'

const changelog = 'p.stage.counts.changelog'

function newStore(): MemoryStore<number> {
  return new MemoryStore({
    name: 's',
    codec: jsonCodec<number>(),
    partitionKey: (key) => key,
    maxBytes: 1e9,
  })
}

test('what snapshotOnce says it made survives a power cut, name and data', async () => {
  // What an unsynced disk keeps is drawn: some of the draws keep everything.
  for (let seed = 0; seed < 12; seed++) {
    const simulation = new Simulation({ seed })
    const log = new MemoryLog()
    await log.topics.create({ name: changelog, kind: 'changelog', partitions: 1 })
    const store = newStore()
    for (const n of [1, 2]) {
      store.put('a', n)
      store.put(`b${n}`, n)
      const changes = store.changes()!
      const writer = await log.open('worker')
      writer.state(changelog, 0, changes.bytes, changes.count)
      store.committed()
      await writer.commit()
      const env = simulation.env('engine')
      const made = await snapshotOnce(env, log, changelog, 0, 'data/state')
      env.crash('power')
      const restored = newStore()
      const after = simulation.env('engine')
      expect(loadSnapshot(after, 'data/state', changelog, 0, restored)).toBe(made?.offset)
      expect(Object.fromEntries(restored.entries())).toEqual(Object.fromEntries(store.entries()))
    }
  }
})

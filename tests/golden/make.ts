/**
 * Makes the golden data directory of the present format version: `node tests/golden/make.ts`. Run it once per version
 * and never again for an old one: what it wrote then is what must open for ever.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Simulation } from '../../src/core/env/simulated/index.ts'
import { BlockBuilder } from '../../src/log/block.ts'
import { openEmbeddedLog } from '../../src/log/embedded/index.ts'
import { FORMAT_VERSION } from '../../src/log/embedded/format.ts'
import { Paused } from '../../src/runtime/paused.ts'
import { snapshotOnce } from '../../src/state/snapshot.ts'
import { changelog, contentsOf, newStore } from './contents.ts'
import type { Contents } from './contents.ts'

const directory = 'data'
const utf8 = new TextEncoder()

async function make(world: Simulation): Promise<Contents> {
  const env = world.env('engine')
  const options = {
    env,
    directory,
    segmentBytes: 10_000,
    checkpointBytes: 9_000,
    reserve: { low: 0, high: 0 },
    retentionCheckMs: 1e9,
  }
  const log = await openEmbeddedLog(options)
  await log.topics.create({ name: 'events', kind: 'user', partitions: 2, retentionBytes: 2_000 })
  await log.topics.create({ name: 'shop.main.repartition', kind: 'internal', partitions: 1 })
  await log.topics.create({ name: changelog, kind: 'changelog', partitions: 1 })
  await log.topics.hold('shop/main', 'events', 1_000, 1)
  const writer = await log.open('worker-0')
  const store = newStore()
  for (let i = 0; i < 14; i++) {
    const block = new BlockBuilder()
    block.add(i, utf8.encode(`k${i % 8}`), utf8.encode(`{"n":${i}}`.padEnd(700)))
    block.add(i + 1, undefined, i % 3 === 0 ? undefined : utf8.encode('"é"'))
    writer.append('events', i % 2, block.finish(i), 2)
    if (i % 5 === 0) {
      block.add(i, utf8.encode('r'), utf8.encode('1'), 0, i - 1)
      block.add(i, utf8.encode('s'), utf8.encode('2'), 1, i)
      writer.append('shop.main.repartition', 0, block.finish(i), 2)
      writer.control('shop.main.repartition', 0, 1, i)
    }
    if (i === 9) store.delete('k1')
    else store.put(`k${i % 8}`, { n: i })
    const changes = store.changes()
    if (changes !== undefined) writer.state(changelog, 0, changes.bytes, changes.count)
    store.committed()
    const position = { topic: 'events', partition: i % 2, offset: i, meta: `{"commit":${i}}` }
    writer.position('shop/main', position)
    const { outcome } = await writer.commit()
    if (outcome !== 'committed') throw new Error(outcome)
    if (i === 4 || i === 9) await snapshotOnce(env, log, changelog, 0, `${directory}/state`)
  }
  await log.topics.trim(changelog, 0, 3)
  await log.host.retain()
  new Paused(env, directory).add(['shop/main/0', 'shop/out/1'])
  await log.stop()
  const again = await openEmbeddedLog({ ...options, env: world.env('again') })
  const contents = await contentsOf(env, again, directory)
  await again.stop()
  return contents
}

const world = new Simulation({ seed: `golden ${FORMAT_VERSION}`, order: 'fifo' })
let contents: Contents | undefined
const making = make(world).then((made) => (contents = made))
await world.runUntil(() => contents !== undefined)
await making
const target = join(import.meta.dirname, `v${FORMAT_VERSION}`)
rmSync(target, { recursive: true, force: true })
for (const [path, bytes] of world.disk().contents()) {
  const to = join(target, path.slice(1))
  mkdirSync(dirname(to), { recursive: true })
  writeFileSync(to, bytes)
}
writeFileSync(join(target, 'contents.json'), `${JSON.stringify(contents, undefined, 2)}\n`)

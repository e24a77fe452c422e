/** No file stays open that nothing uses any more. */
import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import { watchFiles } from '../../../tests/support/open-files.ts'
import { blockOf, drain, topic, valuesOf } from '../log.suite.ts'
import { inSimulation, small } from './damage.suite.ts'
import { openEmbeddedLog } from './index.ts'
import { verifyLog } from './verify.ts'

const sparse = {
  ...small,
  segmentBytes: 20_000,
  checkpointBytes: 10_000,
  retentionCheckMs: 60_000,
}

async function commits(log: Awaited<ReturnType<typeof openEmbeddedLog>>): Promise<void> {
  const writer = await log.open('w')
  for (let i = 0; i < 200; i++) {
    const name = i % 10 === 0 ? 'forever' : 'passing'
    writer.append(name, 0, blockOf([`${i}`.padEnd(600)]), 1)
    expect((await writer.commit()).outcome).toBe('committed')
  }
}

test('a log that was stopped has no file open, whatever it did', async () => {
  const sim = new Simulation({ seed: 'open files' })
  await inSimulation(sim, run(sim))
})

async function run(sim: Simulation): Promise<void> {
  for (let life = 0; life < 3; life++) {
    const env = sim.env('engine')
    const open = watchFiles(env.disk)
    const log = await openEmbeddedLog({ env, ...sparse })
    if (life === 0) {
      await log.topics.create(topic('forever'))
      await log.topics.create({ ...topic('passing'), retentionBytes: 1 })
    }
    await commits(log)
    for (let i = 0; i < 10; i++) await log.host.retain()
    const reader = await log.reader([{ topic: 'forever', partition: 0, offset: 0 }])
    expect(valuesOf(drain(reader).blocks)).toHaveLength(20 * (life + 1))
    reader.close()
    expect(open()).not.toEqual([])
    const names = env.disk.list(`${small.directory}/log`).map(({ name }) => name)
    expect(names.some((name) => name.endsWith('.arc'))).toBe(true)
    // Nor does anybody wait for it for ever.
    const waiting = await log.reader([{ topic: 'forever', partition: 0, offset: 20 * (life + 1) }])
    const woken = waiting.wait(new AbortController().signal)
    await log.stop()
    await woken
    expect(open()).toEqual([])
    // It can be looked at now.
    for (const step = verifyLog(env.disk, small.directory); step.next().done !== true;);
    expect(open()).toEqual([])
  }
}

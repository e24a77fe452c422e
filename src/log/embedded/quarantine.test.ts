/** A torn tail is cut off only when its copy is safe: at no moment are its bytes in neither place. */
import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import { blockOf } from '../log.suite.ts'
import { baseOf, fill, inSimulation, look, small } from './damage.suite.ts'
import { openEmbeddedLog } from './index.ts'

/** A log that was killed before the mark moved, with a flaw in the frame that nobody was told about. */
async function torn(): Promise<{ sim: Simulation; tail: string; bytes: Uint8Array }> {
  const sim = new Simulation({ seed: 'quarantine' })
  await inSimulation(sim, fill(sim.env('engine'), 5))
  const env = sim.env('engine')
  const log = await inSimulation(sim, openEmbeddedLog({ env, ...small }))
  const writer = await inSimulation(sim, log.open('w'))
  writer.append('a', 0, blockOf([`5 ${'x'.repeat(300)}`]), 1)
  const tail = [...sim.disk().contents().keys()]
    .filter((path) => path.endsWith('.seg'))
    .toSorted((a, b) => baseOf(b) - baseOf(a))[0]!
  const end = sim.disk().contents().get(tail)!.length
  sim.disk().inject({ on: 'write', path: 'MARK', effect: { crash: 'kill', moment: 'before' } })
  writer.commit().catch(() => {})
  await sim.runUntil(() => !env.alive)
  sim.disk().flipBit(tail.slice(1), end + 100, 3)
  return { sim, tail, bytes: sim.disk().contents().get(tail)!.slice(end) }
}

test('a torn tail is in its place or, whole, in quarantine, whenever the power goes', async () => {
  let copied = 0
  for (let nth = 1; ; nth++) {
    const { sim, tail, bytes } = await torn()
    const before = sim.disk().contents().get(tail)!.length
    const crash = { crash: 'power', moment: 'after' } as const
    sim.disk().inject({ on: 'change', nth, effect: crash })
    const env = sim.env('engine')
    let ended = false
    look(env).then(
      () => (ended = true),
      () => {},
    )
    await sim.runUntil(() => ended || !env.alive)
    if (env.alive) break
    const files = sim.disk().contents()
    const copies = [...files].filter(([path]) => path.includes('quarantine'))
    const whole = copies.some(([, copy]) => Buffer.compare(copy, bytes) === 0)
    if (whole) copied++
    else expect(files.get(tail)!.length).toBe(before)
  }
  expect(copied).toBeGreaterThan(3)
})

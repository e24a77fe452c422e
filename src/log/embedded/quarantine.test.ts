/** A torn tail is cut off only when its copy is safe: at no moment are its bytes in neither place. */
import { expect, test } from 'vitest'
import type { Simulation } from '../../core/env/simulated/index.ts'
import { look, unacknowledged } from './damage.suite.ts'

/** A log that was killed before the mark moved, with a flaw in the frame that nobody was told about. */
async function torn(): Promise<{ sim: Simulation; tail: string; bytes: Uint8Array }> {
  const { sim, tail, end } = await unacknowledged()
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

/** What a killed process left unsynced is what the next one builds on. Found by simulation. */
import { expect, test } from 'vitest'
import { Simulation } from '../../core/env/simulated/index.ts'
import { fill, inSimulation } from './damage.suite.ts'

const slots = { 'data/SUPER': ['data/SUPER.0', 'data/SUPER.1'], 'data/MARK': ['data/MARK'] }

test.each(['data/SUPER', 'data/MARK'] as const)(
  'no slot of %s is written while the other is not durable, whenever the process before was killed (I7)',
  async (path) => {
    for (let nth = 1; nth <= 6; nth++) {
      const sim = new Simulation({ seed: `unsynced ${nth}` })
      const disk = sim.disk()
      await inSimulation(sim, fill(sim.env('engine'), 5))
      disk.inject({ on: 'fdatasync', path, nth, effect: { crash: 'kill' } })
      const killed = sim.env('engine')
      void fill(killed, 40).catch(() => undefined)
      await sim.runUntil(() => !killed.alive)
      let writes = 0
      disk.hook = (operation, written) => {
        if (operation !== 'write' || !written.startsWith(path)) return undefined
        writes++
        for (const slot of slots[path]) {
          const node = disk.find(slot)
          if (node?.kind !== 'file') throw new Error(`there is no ${slot}`)
          expect(Buffer.from(node.durable.view())).toEqual(Buffer.from(node.volatile.view()))
        }
        return undefined
      }
      await inSimulation(sim, fill(sim.env('engine'), 5))
      expect(writes).toBeGreaterThan(0)
    }
  },
)

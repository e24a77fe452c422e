/** The lives of the log, with a disk that fails while they are lived. */
import { openReadOnly } from '../../src/log/embedded/index.ts'
import { lives, record, recover } from './crash-states.ts'
import type { Scenario } from './faults.ts'
import { settled, worldWith } from './disk-from.ts'
import { directory, look, openLog } from './log-life.ts'
import { Picture } from './picture.ts'

export async function logScenarios(): Promise<Scenario[]> {
  const scenarios: Scenario[] = []
  for (const life of await lives()) {
    const recorded = await record(life)
    const start = async () => {
      const world = worldWith(life.before.files, life.before.directories)
      const ledger = life.ledger.copy()
      // Refused for want of space: asked again, and again.
      ledger.patience = 2
      const run = async (): Promise<void> => {
        await settled(world, life.run(world, ledger))
        await settled(world, again(world))
      }
      const check = async (): Promise<void> => {
        const known = ledger.known()
        const whole = { ...recorded, ledger }
        ledger.earliest.splice(0, Infinity, ...recorded.ledger.earliest)
        const disk = world.disk()
        const killed = new Picture(disk)
        await recover(killed.image(killed.states - 1), whole, known)
        await recover(killed.image(0), whole, known)
      }
      return { world, run, check, raw: false }
    }
    scenarios.push({ name: life.name, start })
  }
  return scenarios
}

/** The process is killed, a command looks at the directory, and the next process opens it. */
async function again(world: ReturnType<typeof worldWith>): Promise<void> {
  const env = world.env('command')
  const only = openReadOnly(env, directory)
  try {
    await look(only)
  } finally {
    only.close()
  }
  world.disk().locks.clear()
  const log = await openLog(world.env('next'))
  await look(log)
  await log.stop()
}

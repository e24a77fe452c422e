/** For the tests of salvage: what comes of the directory that they damaged. */
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { small } from '../log/embedded/damage.suite.ts'
import { salvageDirectory } from './salvage-directory.ts'
import type { Salvaged } from './salvage-directory.ts'

export function salvage(env: SimulatedEnv): Salvaged | MillraceError {
  try {
    const run = salvageDirectory(env, small.directory, 'new')
    for (let step = run.next(); ; step = run.next()) if (step.done === true) return step.value
  } catch (error) {
    if (error instanceof MillraceError) return error
    throw error
  }
}

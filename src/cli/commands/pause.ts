import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import type { Steered } from '../../runtime/steering.ts'
import { engineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

const actions = {
  pause: {
    about:
      'stop a task, stage, sink or pipeline from reading, until it is resumed; a restart keeps it paused',
    done: 'Paused',
    unchanged: 'Was paused already',
  },
  resume: {
    about: 'let what is paused, failed, behind retention or waiting to try again go on at once',
    done: 'Resumed',
    unchanged: 'Was neither paused nor failed',
  },
} as const

export function addPause(root: Command, { output }: Surroundings): void {
  for (const action of ['pause', 'resume'] as const) {
    const { about, done, unchanged } = actions[action]
    root
      .command(action)
      .description(about)
      .argument(
        '<target>',
        'a pipeline (`shop`), a stage or sink (`shop/main`) or a task (`shop/main/3`)',
      )
      .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
      .option('--json', 'print JSON')
      .addHelpText('after', `\nExample:\n  $ millrace ${action} shop/sqlite-orders`)
      .action(async (target, options) => {
        const path = `/admin/${action}`
        const call = engineClient(resolve(options.dataDir)).call('POST', path, { target })
        const answer = await output.progress('Waiting for the workers', call)
        if (options.json === true) return output.json(answer)
        // The engine is this very program: its answers are as the type says.
        const steered = answer as Steered
        if (steered.tasks.length > 0) output.line(`${done}: ${steered.tasks.join(', ')}`)
        if (steered.unchanged.length > 0)
          output.line(`${unchanged}: ${steered.unchanged.join(', ')}`)
      })
  }
}

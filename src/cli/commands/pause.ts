import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { engineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

export function addPause(root: Command, { output }: Surroundings): void {
  const about = {
    pause:
      'stop a task, stage, sink or pipeline from reading, until it is resumed or the engine starts again',
    resume: 'let it go on, also when it stopped behind retention',
  } as const
  for (const action of ['pause', 'resume'] as const) {
    root
      .command(action)
      .description(about[action])
      .argument(
        '<target>',
        'a pipeline (`shop`), a stage or sink (`shop/main`) or a task (`shop/main/3`)',
      )
      .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
      .option('--json', 'print JSON')
      .addHelpText('after', `\nExample:\n  $ millrace ${action} shop/sqlite-orders`)
      .action(async (target, options) => {
        const answer = await engineClient(resolve(options.dataDir)).call(
          'POST',
          `/admin/${action}`,
          { target },
        )
        if (options.json === true) return output.json(answer)
        const { tasks } = answer as { tasks: readonly string[] }
        output.line(`${action === 'pause' ? 'Paused' : 'Resumed'}: ${tasks.join(', ')}`)
      })
  }
}

import type { Command } from '@commander-js/extra-typings'
import { realEnv } from '../../core/env/real/index.ts'
import { reviveError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import { fileUrl } from '../arguments.ts'
import type { Surroundings } from '../program.ts'

export function addPlan(root: Command, { output }: Surroundings): void {
  root
    .command('plan')
    .description(
      'print the stages, stores, topics and guarantees of pipelines, without running them',
    )
    .argument('<files...>', 'pipeline files (.ts or .js)')
    .option('--json', 'print the plan as JSON, one line per pipeline')
    .addHelpText('after', '\nExample:\n  $ millrace plan pipeline.ts')
    .action(async (files, options) => {
      const { planPass } = await import('../../runtime/plan-pass.ts')
      const { nodeThreads } = await import('../../runtime/node-threads.ts')
      const { explain } = await import('../../plan/index.ts')
      const pass = planPass(
        files.map(fileUrl),
        { env: realEnv(), threads: nodeThreads },
        limits.watchdogMs,
      )
      const planned = await output.progress('Loading', pass)
      for (const one of planned) {
        if ('error' in one) throw reviveError(one.error)
        if (options.json === true) output.json(one.plan)
        else output.line(explain(one.plan))
      }
    })
}

import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { DiskError } from '../../core/env/env.ts'
import { realEnv } from '../../core/env/real/index.ts'
import { MillraceError } from '../../errors.ts'
import { dumpLog } from '../../log/embedded/inspect.ts'
import { wholeNumber } from '../arguments.ts'
import { isWanted, jsonOf, linesOf } from '../log-lines.ts'
import type { Surroundings } from '../program.ts'

export function addLog(root: Command, { output, signal }: Surroundings): void {
  root
    .command('log')
    .description(
      'print what is in the log, commit by commit: records, positions, state, damage; changes nothing',
    )
    .argument('[directory]', 'the data directory, whether an engine runs on it or not', '.millrace')
    .option(
      '--from <commit>',
      'begin at this commit (LSN)',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      0,
    )
    .option('--topic <topic>', 'only commits that touch this topic')
    .option('--limit <count>', 'print at most so many commits', wholeNumber(1, 1_000_000_000), 100)
    .option('--records', 'print every record and change of state as well')
    .option('--json', 'print JSON, one line per commit')
    .addHelpText('after', '\nExample:\n  $ millrace log --topic orders --from 1000 --records')
    .action(async (directory, options) => {
      const { disk, timers } = realEnv()
      const { topic, limit } = options
      const how = { topic, records: options.records === true }
      let printed = 0
      try {
        for (const dumped of dumpLog(disk, resolve(directory), options.from)) {
          if (signal.aborted) return
          if (!isWanted(dumped, topic)) continue
          if (printed++ === limit) {
            const lsn = dumped.what === 'flaw' ? dumped.flaw.lsn : dumped.commit.lsn
            return output.note(`There is more: --from ${lsn}, or a higher --limit.`)
          }
          if (options.json === true) output.json(jsonOf(dumped, how))
          else for (const line of linesOf(dumped, how)) output.line(line)
          // So that what was printed leaves this process, and a signal can come in.
          if (printed % 100 === 0) await timers.yield()
        }
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        throw new MillraceError('MR2015', `${directory} cannot be read: ${error.message}.`, {
          cause: error,
        })
      }
    })
}

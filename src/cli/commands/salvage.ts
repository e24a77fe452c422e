import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { realEnv } from '../../core/env/real/index.ts'
import { MillraceError } from '../../errors.ts'
import { isRunning } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'
import { salvageDirectory } from '../salvage-directory.ts'
import { worked } from './backup.ts'
import { showFinding } from './verify.ts'

export function addSalvage(root: Command, { output, exitWith, signal }: Surroundings): void {
  root
    .command('salvage')
    .description(
      'write a new data directory with everything that is readable of a damaged one, and say what is lost',
    )
    .argument(
      '<directory>',
      'the damaged data directory; it is not changed. No engine may run on it',
    )
    .requiredOption('--to <directory>', 'the data directory to make; it does not exist yet')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nThe new directory is a log of its own: sinks that stored a position in the old one stop with MR5002' +
        '\nuntil you decide. The report is also in it, as salvage.json.' +
        '\n\nExample:\n  $ millrace salvage /var/lib/millrace --to /var/lib/millrace-salvaged',
    )
    .action(async (directory, options) => {
      const [from, to] = [resolve(directory), resolve(options.to)]
      if (await isRunning(from)) throw new MillraceError('MR2001', `An engine runs on ${from}.`)
      const { report, ...made } = await worked(
        output,
        signal,
        salvageDirectory(realEnv(), from, to),
      )
      if (report.verdict === 'damaged') exitWith(6)
      if (options.json === true) return output.json({ ...made, verdict: report.verdict })
      output.line(`${to}: ${made.records} records, log ${made.logId}.`)
      const uncertain = made.findings.some((finding) => finding.uncertain === true)
      if (made.lost.length === 0 && !uncertain) output.line('No record is known to be lost.')
      if (made.lost.length > 0) {
        output.line('Lost:')
        output.table(
          ['TOPIC', 'PARTITION', 'FROM', 'TO'],
          made.lost.map((l) => [l.topic, l.partition, l.from, l.to - 1]),
        )
      }
      for (const finding of made.findings)
        if (finding.grade === 'damage' && finding.lost.length === 0) showFinding(output, finding)
      if (uncertain) {
        output.line(
          'Records at the ends of partitions may be lost; nothing readable says how many. They end now at:',
        )
        output.table(
          ['TOPIC', 'PARTITION', 'NEXT OFFSET'],
          made.ends.map((end) => [end.topic, end.partition, end.next]),
        )
      }
      if (made.findings.some(({ file }) => file === 'paused.json'))
        output.line('Nothing is paused in it: pause again what must not run.')
      if (made.lost.some(({ topic }) => topic.endsWith('.changelog')))
        output.line(
          'Changes of stores are among it: the state of these stages may be older than their positions.',
        )
      if (report.verdict === 'damaged')
        output.line(`Not all of it is usable: see \`millrace verify ${to}\`.`)
      output.line('What to do now: docs/how-to/damaged-data.md.')
    })
}

import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { DiskError } from '../../core/env/env.ts'
import { realEnv } from '../../core/env/real/index.ts'
import { unusable } from '../../runtime/data-files.ts'
import { makeBackup, restoreBackup } from '../backup-directory.ts'
import type { Step } from '../backup-directory.ts'
import type { Output } from '../output.ts'
import type { Surroundings } from '../program.ts'
import { inTurns } from '../verify-directory.ts'
import { megabytes } from './verify.ts'

export function addBackup(root: Command, surroundings: Surroundings): void {
  addMake(root, surroundings)
  addRestore(root, surroundings)
}

function addMake(root: Command, { output, exitWith, signal }: Surroundings): void {
  root
    .command('backup')
    .description(
      'copy a data directory as it stands at one commit, while the engine goes on or not, and read the copy back',
    )
    .requiredOption('--to <directory>', 'where to; it does not exist yet')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ millrace backup --data-dir /var/lib/millrace --to /backups/monday',
    )
    .action(async (options) => {
      const [from, to] = [resolve(options.dataDir), resolve(options.to)]
      const made = await worked(output, signal, makeBackup(realEnv(), from, to))
      const { report, lsn, bytes, files, logId } = made
      if (options.json === true)
        output.json({ ...made, report: undefined, verdict: report.verdict })
      else
        output.line(
          `${to}: log ${logId} up to commit ${lsn}, ${files} files, ${megabytes(bytes)}, read back and ${report.verdict === 'damaged' ? 'DAMAGED' : 'sound'}.`,
        )
      if (report.verdict !== 'damaged') return
      output.note(
        `The backup holds what is in ${from}, damage included: see \`millrace verify ${from}\`.`,
      )
      exitWith(6)
    })
}

function addRestore(root: Command, { output, exitWith, signal }: Surroundings): void {
  root
    .command('restore')
    .description(
      'make a new data directory from a backup, or from a copy of a data directory, after verifying it',
    )
    .argument('<backup>', 'the directory of the backup; it is not changed')
    .requiredOption(
      '-d, --data-dir <directory>',
      'the data directory to make; it does not exist yet',
    )
    .option(
      '--keep-identity',
      'only to move a directory: no engine ran on the old one after the backup was made. Sinks then go on where they stand',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe new directory is a log of its own. Sinks that stored a position in the old one stop with MR5002' +
        '\nuntil you decide, because what they hold may be newer than the backup.' +
        '\n\nExample:\n  $ millrace restore /backups/monday --data-dir /var/lib/millrace-restored',
    )
    .action(async (backup, options) => {
      const [from, to] = [resolve(backup), resolve(options.dataDir)]
      const keep = options.keepIdentity === true
      const restored = await worked(output, signal, restoreBackup(realEnv(), from, to, keep))
      const { report, ...rest } = restored
      if (options.json === true) output.json({ ...rest, verdict: report.verdict })
      else {
        output.line(`${to}: restored up to commit ${rest.lsn}, log ${rest.logId}.`)
        if (!keep)
          output.line(
            'It is a log of its own. Sinks with a position in the old one stop with MR5002 until you decide: docs/how-to/damaged-data.md.',
          )
      }
      if (report.verdict === 'damaged') exitWith(6)
    })
}

/** Runs to the end with a word now and then; a signal ends it, and the directory it wrote to has no SUPER yet. */
export async function worked<T>(
  output: Output,
  signal: AbortSignal,
  work: Generator<Step, T>,
): Promise<T> {
  const { timers, clock } = realEnv()
  const now = (): number => clock.monotonic()
  let last = now()
  try {
    return await inTurns(timers, now, work, ({ verb, done, total }) => {
      if (signal.aborted)
        work.throw(
          new Error('Interrupted. What was written so far is of no use and can be removed.'),
        )
      if (now() - last < 1_000) return
      last = now()
      output.note(`${verb} ${megabytes(done)} of ${megabytes(total)}.`)
    })
  } catch (error) {
    throw error instanceof DiskError ? unusable(error) : error
  }
}

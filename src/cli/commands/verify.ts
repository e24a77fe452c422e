import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { realEnv } from '../../core/env/real/index.ts'
import type { Finding } from '../../log/embedded/inspect.ts'
import type { Output } from '../output.ts'
import type { Surroundings } from '../program.ts'
import { inTurns, verifyDirectory } from '../verify-directory.ts'
import type { DirectoryReport } from '../verify-directory.ts'

export function addVerify(root: Command, { output, exitWith }: Surroundings): void {
  root
    .command('verify')
    .description(
      'read every byte of a data directory, say what is damaged and what that means; changes nothing',
    )
    .argument('[directory]', 'the data directory, whether an engine runs on it or not', '.millrace')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nExit code 0: nothing is lost and the engine starts. 6: something is damaged; the report says what to do.' +
        '\n\nExample:\n  $ millrace verify /var/lib/millrace',
    )
    .action(async (directory, options) => {
      const report = await verified(output, resolve(directory))
      if (options.json === true) output.json(report)
      else show(output, report)
      if (report.verdict === 'damaged') exitWith(6)
    })
}

/** Verifies and says every second how far it is. */
export async function verified(output: Output, directory: string): Promise<DirectoryReport> {
  const { disk, timers, clock } = realEnv()
  const now = (): number => clock.monotonic()
  return inTurns(timers, now, verifyDirectory(disk, directory), progressOf(output, 'Verified', now))
}

/** Says at most once a second how much is done. */
export function progressOf(
  output: Output,
  verb: string,
  now: () => number,
): (progress: { readonly done: number; readonly total: number }) => void {
  let last = now()
  return ({ done, total }) => {
    if (now() - last < 1_000) return
    last = now()
    output.note(`${verb} ${megabytes(done)} of ${megabytes(total)}.`)
  }
}

export const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`

const verdicts = {
  sound: 'Sound: everything that was acknowledged is there and readable.',
  harmless: 'Nothing is lost and the engine starts, but something is damaged: watch this disk.',
  damaged: 'Damaged.',
} as const

function show(
  output: Output,
  { directory, log, snapshots, findings, verdict }: DirectoryReport,
): void {
  output.line(directory)
  output.line(
    `Log ${log.logId ?? '(its identity is not readable)'}: ${log.files} files, ${megabytes(log.bytes)}, up to commit ${log.lsn ?? '(not known)'}; ${log.topics} topics, ${log.records} records, ${snapshots} snapshots.`,
  )
  for (const finding of findings) showFinding(output, finding)
  output.line('')
  output.line(verdicts[verdict])
  if (verdict !== 'damaged') return
  const lost = findings.flatMap((finding) => finding.lost)
  const count = lost.reduce((sum, { from, to }) => sum + to - from, 0)
  const uncertain = findings.some((finding) => finding.uncertain === true)
  if (count > 0) output.line(`Up to ${count} acknowledged records cannot be read any more.`)
  else if (!uncertain) output.line('No record is known to be lost.')
  if (uncertain)
    output.line('Records at the ends of partitions may be lost; nothing readable says how many.')
  output.line(
    log.starts && findings.every(({ file }) => file !== 'paused.json')
      ? 'The engine starts on this directory; whoever reads what is damaged stops there.'
      : 'The engine refuses to start on this directory, and changes nothing in it.',
  )
  output.line(
    'What to do: docs/how-to/damaged-data.md. Do not delete or change a file before you have a copy.',
  )
}

const grades = { note: 'note', harmless: 'harmless', damage: 'DAMAGE' } as const

export function showFinding(
  output: Output,
  { grade, file, offset, lsn, what, means, lost }: Finding,
): void {
  const where = [
    file,
    ...(offset === undefined ? [] : [`byte ${offset}`]),
    ...(lsn === undefined ? [] : [`commit ${lsn}`]),
  ]
  output.line('')
  output.line(`${grades[grade]}: ${where.join(', ')}`)
  output.line(`  ${what}`)
  for (const { topic, partition, from, to } of lost)
    output.line(`  Lost: ${topic}, partition ${partition}, offsets ${from} to ${to - 1}.`)
  output.line(`  ${means}`)
}

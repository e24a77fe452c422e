import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { reviveError } from '../../errors.ts'
import { openAccess } from '../access.ts'
import type { Output } from '../output.ts'
import type { Surroundings } from '../program.ts'

export function addTail(root: Command, { output, signal }: Surroundings): void {
  root
    .command('tail')
    .description('print the records of a topic')
    .argument('<topic>')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--from <where>', 'earliest, latest, an offset or an ISO time', 'earliest')
    .option('-f, --follow', 'wait for what comes next')
    .option('--json', 'print whole records (partition, offset, timestamp, key, value)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ millrace tail orders\n  $ millrace tail shop.revenue --follow --from latest --json',
    )
    .action(async (topic, options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        const query = { topic, from: options.from, follow: options.follow === true }
        let unflushed = 0
        for await (const line of access.tail(query, signal)) {
          if (line === '') continue
          const record = line.startsWith('{"topic":')
          if (!record) remark(output, line)
          if (options.json === true) output.line(line)
          else if (record) output.line(valueOf(line))
          // A slow reader slows the reading, so that a large topic does not gather in memory.
          if (++unflushed % 1_000 === 0) await output.flushed()
        }
      } finally {
        await access.close()
      }
    })
}

export function addLag(root: Command, { output }: Surroundings): void {
  root
    .command('lag')
    .description('print how far each stage and sink is behind, from committed positions')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        const rows = await access.lag()
        if (options.json === true) return output.json(rows)
        output.table(
          ['READER', 'TOPIC', 'PARTITION', 'POSITION', 'END', 'LAG'],
          rows.map((row) => [
            row.group,
            row.topic,
            row.partition,
            row.position ?? '-',
            row.next,
            row.lag,
          ]),
        )
      } finally {
        await access.close()
      }
    })
}

/** What the engine says between records. Throws what reading failed with. */
function remark(output: Output, line: string): void {
  const { error, gone } = JSON.parse(line) as Remark
  if (error !== undefined) throw reviveError(error)
  if (gone === undefined) return
  const { partition, from, earliest } = gone
  output.note(`Retention removed what partition ${partition} had from ${from} to ${earliest - 1}.`)
}

interface Remark {
  readonly error?: { readonly code: string; readonly message: string }
  readonly gone?: { readonly partition: number; readonly from: number; readonly earliest: number }
}

/** The value as it was sent, the last field of its line: parsing it would change large numbers. Null for bytes. */
function valueOf(line: string): string {
  const text = line.slice(line.indexOf(',"value":') + ',"value":'.length, -1)
  return text.startsWith('null,') ? 'null' : text
}

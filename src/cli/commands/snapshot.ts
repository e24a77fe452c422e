import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import type { StandingSnapshot } from '../../state/snapshot.ts'
import { engineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

export function addSnapshot(root: Command, { output, signal }: Surroundings): void {
  root
    .command('snapshot')
    .description(
      'make a running engine take snapshots of its stores now, so that its next start has little to read',
    )
    .argument('[target]', 'only of this pipeline (`shop`) or stage (`shop/main`)')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nIt ends when the snapshots stand. The engine goes on meanwhile; what comes later is not in them.' +
        '\nMILLISECONDS is 0 where the newest snapshot holds everything already.' +
        '\n\nExample:\n  $ millrace snapshot --data-dir /var/lib/millrace && systemctl restart millrace',
    )
    .action(async (target, options) => {
      const engine = engineClient(resolve(options.dataDir))
      const body = target === undefined ? {} : { target }
      const call = engine.call('POST', '/admin/snapshot', body, signal)
      // The engine is this very program: its answers are as the type says.
      const { snapshots } = (await output.progress('Taking snapshots', call)) as Answer
      if (options.json === true) return output.json(snapshots)
      const taken = snapshots.filter(({ lsn }) => lsn !== undefined)
      if (taken.length === 0) return output.line('No store holds anything yet.')
      output.table(
        ['STORE', 'PARTITION', 'COMMIT', 'KEYS', 'BYTES', 'MILLISECONDS'],
        taken.map(({ changelog, partition, lsn = 0, entries, bytes, ms }) => [
          changelog.replace(/\.changelog$/, ''),
          partition,
          lsn,
          entries,
          bytes,
          Math.round(ms),
        ]),
      )
    })
}

interface Answer {
  readonly snapshots: readonly StandingSnapshot[]
}

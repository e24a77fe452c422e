import { Command } from '@commander-js/extra-typings'
import type { ExitCode } from './exit-codes.ts'
import type { Output } from './output.ts'
import { addBackup } from './commands/backup.ts'
import { addDlq } from './commands/dlq.ts'
import { addLog } from './commands/log.ts'
import { addPause } from './commands/pause.ts'
import { addPlan } from './commands/plan.ts'
import { addProduce } from './commands/produce.ts'
import { addRun } from './commands/run.ts'
import { addSalvage } from './commands/salvage.ts'
import { addSnapshot } from './commands/snapshot.ts'
import { addStatus } from './commands/status.ts'
import { addLag, addTail } from './commands/tail.ts'
import { addTopics } from './commands/topics.ts'
import { addVerify } from './commands/verify.ts'

/** What commands have of the world around them. */
export interface Surroundings {
  readonly output: Output
  readonly stdin: AsyncIterable<Uint8Array>
  /** Aborts when the user asks to stop. */
  readonly signal: AbortSignal
  /** Of this process. */
  readonly pid: number
  /** For a command that did its work and still has to say that something is wrong. */
  exitWith(code: ExitCode): void
}

const examples = `
Examples:
  $ millrace dev pipeline.ts                     run, and start again whenever the file changes
  $ millrace run orders.ts clicks.ts             two pipelines on one engine
  $ millrace produce orders orders.ndjson        send a file of events
  $ millrace tail orders --follow                watch what arrives
  $ millrace dlq list shop                       see what failed, and why

Commands talk to the engine that runs on --data-dir, or read the directory when none runs.
Exit codes: 0 done, 1 unexpected, 2 command line, 3 input, 4 not now, 5 in use, 6 unreadable data.`

/** The whole command line. Unknown commands and options are refused, with what was probably meant. */
export function program(surroundings: Surroundings, version: string): Command {
  const root = new Command('millrace')
    .description(
      'Stream processing for TypeScript: typed pipelines over a durable log, exactly-once.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help for the options and examples.')
    .exitOverride()
    .addHelpText('after', examples)
  addRun(root, surroundings)
  addPlan(root, surroundings)
  addTail(root, surroundings)
  addProduce(root, surroundings)
  addTopics(root, surroundings)
  addLag(root, surroundings)
  addStatus(root, surroundings)
  addPause(root, surroundings)
  addSnapshot(root, surroundings)
  addDlq(root, surroundings)
  addVerify(root, surroundings)
  addLog(root, surroundings)
  addBackup(root, surroundings)
  addSalvage(root, surroundings)
  return root
}

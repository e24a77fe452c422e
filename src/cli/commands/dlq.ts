import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { MillraceError } from '../../errors.ts'
import { openAccess } from '../access.ts'
import { wholeNumber } from '../arguments.ts'
import { engineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

export function addDlq(root: Command, surroundings: Surroundings): void {
  const dlq = root
    .command('dlq')
    .description('list, show, replay and drop dead letters: records that failed')
  addReading(dlq, surroundings)
  addResolving(dlq, surroundings)
}

function addReading(dlq: Command, { output }: Surroundings): void {
  dlq
    .command('list')
    .description('print how many letters each pipeline has, or the letters of one')
    .argument('[pipeline]')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--from <letter>', 'only letters from this one on', wholeNumber(0), 0)
    .option('--limit <count>', 'at most this many', wholeNumber(1, 1_000), 100)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ millrace dlq list\n  $ millrace dlq list shop --limit 10',
    )
    .action(async (pipeline, options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        if (pipeline === undefined) {
          const all = await access.deadLetters()
          if (options.json === true) return output.json(all)
          return output.table(
            ['PIPELINE', 'OPEN'],
            all.map((one) => [one.pipeline, one.open]),
          )
        }
        const found = await access.letters(pipeline, { from: options.from, limit: options.limit })
        if (options.json === true) return output.json(found)
        output.table(
          ['LETTER', 'STAGE', 'OPERATOR', 'CODE', 'MESSAGE'],
          found.letters.map((one) => [
            one.letter,
            ...['stage', 'operator', 'code'].map((name) => short(one[name])),
            // The code has a column of its own.
            short(one['message']).replace(`${short(one['code'])}: `, ''),
          ]),
        )
        if (found.open > found.letters.length) output.note(`${found.open} letters are open in all.`)
      } finally {
        await access.close()
      }
    })
  dlq
    .command('show')
    .description('print one letter: the record, what failed and where')
    .argument('<pipeline>')
    .argument('<letter>', 'its number in the list', wholeNumber(0))
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON on one line')
    .action(async (pipeline, letter, options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        const found = await access.letter(pipeline, letter)
        if (options.json === true) output.json(found)
        else output.line(JSON.stringify(found, null, 2))
      } finally {
        await access.close()
      }
    })
}

function addResolving(dlq: Command, { output }: Surroundings): void {
  const about = {
    replay: 'send letters back to the operator that failed',
    drop: 'give letters up: no list shows them again',
  } as const
  for (const how of ['replay', 'drop'] as const) {
    dlq
      .command(how)
      .description(about[how])
      .argument('<pipeline>')
      .argument('[letters...]', 'their numbers in the list', letterNumbers, [])
      .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
      .option('--all', 'every open letter of the pipeline')
      .option('--json', 'print JSON')
      .addHelpText(
        'after',
        `\nExamples:\n  $ millrace dlq ${how} shop 17 18\n  $ millrace dlq ${how} shop --all`,
      )
      .action(async (pipeline, offsets, options) => {
        if (offsets.length === 0 && options.all !== true) {
          throw new MillraceError('MR6002', 'Neither letters nor --all are given.')
        }
        const body = offsets.length > 0 ? { offsets } : { all: true }
        const path = `/admin/dlq/${encodeURIComponent(pipeline)}/${how}`
        const call = engineClient(resolve(options.dataDir)).call('POST', path, body)
        const answer = await output.progress('Working through the letters', call)
        if (options.json === true) output.json(answer)
        else {
          const { done, left = 0 } = answer as { done: number; left?: number }
          output.line(`${how === 'replay' ? 'Replayed' : 'Dropped'}: ${done}`)
          if (left > 0)
            output.note(
              `${left} never got to an operator and cannot be replayed: send their records again, or drop them.`,
            )
        }
      })
  }
}

/** For commander: one more number to those before it. */
function letterNumbers(text: string, before: readonly number[]): readonly number[] {
  return [...before, wholeNumber(0)(text)]
}

/** Messages can hold user data: one line of bounded length, without control characters. */
function short(value: unknown): string {
  const text = typeof value === 'string' ? value : ''
  const line = Array.from(text.slice(0, 100), (char) => (/\p{Cc}/u.test(char) ? ' ' : char)).join(
    '',
  )
  return text.length <= 100 ? line : `${line.slice(0, 99)}…`
}

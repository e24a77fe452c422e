import { describe, expect, it } from 'vitest'
import { CommanderError } from '@commander-js/extra-typings'
import { program } from './program.ts'
import type { Output } from './output.ts'
import { tableLines } from './output.ts'

const silent: Output = {
  line: () => {},
  json: () => {},
  table: () => {},
  note: () => {},
  progress: (_text, work) => work,
  error: () => {},
  flushed: () => Promise.resolve(),
}

async function refusal(...args: string[]): Promise<string> {
  const written: string[] = []
  const surroundings = {
    output: silent,
    stdin: noInput(),
    signal: new AbortController().signal,
    pid: 1,
    exitWith: () => {},
  }
  const root = program(surroundings, '1.2.3')
  const quiet = {
    writeErr: (text: string) => void written.push(text),
    writeOut: (text: string) => void written.push(text),
  }
  for (const command of [root, ...root.commands, ...root.commands.flatMap((one) => one.commands)]) {
    command.exitOverride().configureOutput(quiet)
  }
  await expect(root.parseAsync(args, { from: 'user' })).rejects.toThrow(CommanderError)
  return written.join('')
}

async function* noInput(): AsyncIterable<Uint8Array> {}

describe('the command line', () => {
  it('refuses what it does not know, and says what was probably meant', async () => {
    expect(await refusal('rum', 'p.ts')).toContain('Did you mean run?')
    expect(await refusal('run', 'p.ts', '--worker', '2')).toContain('Did you mean --workers?')
    expect(await refusal('topics', 'lst')).toContain('Did you mean list?')
    expect(await refusal('run')).toContain("missing required argument 'files'")
  })

  it('refuses values with what they may be', async () => {
    expect(await refusal('run', 'p.ts', '--workers', '0')).toContain('a whole number from 1 to 64')
    expect(await refusal('run', 'p.ts', '--port', '99999')).toContain('from 0 to 65535')
    expect(await refusal('dlq', 'drop', 'shop', '1', 'x')).toContain('a whole number from 0')
    expect(await refusal('run', 'p.ts', '--watchdog', '5')).toContain('500ms, 30s, 5m, 12h or 7d')
    expect(await refusal('topics', 'create', 't', '--retention-size', 'big')).toContain(
      'KB, MB or GB',
    )
  })

  it('shows examples in its help', async () => {
    expect(await refusal('--help')).toContain('millrace dev pipeline.ts')
    expect(await refusal('produce', '--help')).toContain('millrace produce orders orders.ndjson')
  })
})

describe('tables', () => {
  it('have columns as wide as their widest cell, with numbers to the right', () => {
    expect(
      tableLines(
        ['TOPIC', 'RECORDS'],
        [
          ['orders', 7],
          ['a', 12_345],
        ],
      ),
    ).toEqual(['TOPIC   RECORDS', 'orders        7', 'a         12345'])
    expect(tableLines(['TOPIC'], [])).toEqual(['TOPIC'])
  })
})

/** The parts of the reference that are made from tables in the code, each between two marks in its page. */
import type { Argument, CommandUnknownOpts, Option } from '@commander-js/extra-typings'
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts'
import { program } from '../../src/cli/program.ts'
import { errorTable, MillraceError } from '../../src/errors.ts'
import type { ErrorCode, ErrorEntry } from '../../src/errors.ts'
import { histograms, metrics } from '../../src/observe/metrics.ts'

export const generatedPages = [
  'docs/reference/errors.md',
  'docs/reference/metrics.md',
  'docs/reference/cli.md',
] as const

const makers: Readonly<Record<string, () => string>> = {
  'error kinds': errorKinds,
  'exit codes': exitCodeTable,
  metrics: metricTable,
  commands: commandSections,
}

const marks = /<!-- made: ([\w .-]+) -->\n[\s\S]*?<!-- end -->/g

/** The page with every marked part made anew. Throws where a mark names nothing that can be made. */
export function withGenerated(page: string, text: string): string {
  if (!text.includes('<!-- made: ')) throw new Error(`${page} has no part to make`)
  return text.replaceAll(marks, (_part, name: string) => {
    return `<!-- made: ${name} -->\n${partNamed(page, name)}\n<!-- end -->`
  })
}

function partNamed(page: string, name: string): string {
  const range = /^errors (MR\d{4}) to (MR\d{4})$/.exec(name)
  if (range !== null) return errorRange(range[1] ?? '', range[2] ?? '')
  const make = makers[name]
  if (make === undefined) throw new Error(`${page}: nothing is called "${name}"`)
  return make()
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

const entries = Object.entries(errorTable) as [ErrorCode, ErrorEntry][]

function errorRange(first: string, last: string): string {
  const rows = entries
    .filter(([code]) => code >= first && code <= last)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { kind, status, title, advice }]) => [
      code,
      kind,
      status === undefined ? '' : String(status),
      `${title}.`,
      advice,
    ])
  return table(['code', 'kind', 'HTTP', 'what happened', 'what to do'], rows)
}

const kindMeaning: Readonly<Record<ErrorEntry['kind'], string>> = {
  invalid: 'What was sent or configured is wrong. The same again fails again.',
  unavailable: 'Not now. The same again, later, can succeed.',
  conflict: 'Something else holds, or has already, what was asked for.',
  data: 'Stored data cannot be read, or does not mean what it should. Somebody must look.',
  fenced: 'A newer owner took over. This one must stop.',
  internal: 'A bug in Millrace. Please report it with the message.',
}

function errorKinds(): string {
  const codeOf = (kind: ErrorEntry['kind']): string => {
    const example = entries.find(([, entry]) => entry.kind === kind)?.[0] ?? 'MR6000'
    return String(exitCodeOf(new MillraceError(example, '')))
  }
  const kinds = Object.keys(kindMeaning) as ErrorEntry['kind'][]
  return table(
    ['kind', 'meaning', 'exit code'],
    kinds.map((kind) => [`\`${kind}\``, kindMeaning[kind], codeOf(kind)]),
  )
}

function exitCodeTable(): string {
  return table(['code', 'meaning'], Object.entries(exitCodes))
}

function metricTable(): string {
  const rows = [...metrics, ...histograms].map(({ name, type, unit, labels, help }) => [
    `\`${type === 'counter' ? `${name}_total` : name}\``,
    type,
    unit === '1' ? '' : unit,
    labels.map((label) => `\`${label}\``).join(' '),
    help,
  ])
  return table(['metric', 'type', 'unit', 'labels', 'meaning'], rows)
}

interface Listed {
  readonly path: string
  readonly command: CommandUnknownOpts
}

/** Every command that does something, in the order of the program's own help. */
function commandsOf(root: CommandUnknownOpts, path = 'millrace'): Listed[] {
  return root.commands.flatMap((command) => {
    const own = `${path} ${command.name()}`
    return command.commands.length > 0 ? commandsOf(command, own) : [{ path: own, command }]
  })
}

/** The program as `millrace` builds it, to be looked at and not run. */
function commandLine(): CommandUnknownOpts {
  const output = {
    line: () => {},
    json: () => {},
    table: () => {},
    note: () => {},
    error: () => {},
    progress: <T>(_text: string, work: Promise<T>) => work,
    flushed: () => Promise.resolve(),
  }
  const { signal } = new AbortController()
  const surroundings = { output, stdin: process.stdin, signal, pid: 0, exitWith: () => {} }
  return program(surroundings, '0.0.0')
}

function commandSections(): string {
  return commandsOf(commandLine())
    .map(({ path, command }) => {
      const options = command.options.map((option) => [`\`${option.flags}\``, optionText(option)])
      const given = command.registeredArguments.map(argumentText)
      const about = command.description()
      return [
        `### ${path}`,
        '',
        '```text',
        `${[path, ...given, '[options]'].join(' ')}`,
        '```',
        '',
        `${about.charAt(0).toUpperCase()}${about.slice(1)}.`,
        '',
        table(['option', 'meaning'], options),
      ].join('\n')
    })
    .join('\n\n')
}

function argumentText(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${name}>` : `[${name}]`
}

function optionText({ description, defaultValue }: Option): string {
  return defaultValue === undefined
    ? description
    : `${description}; default \`${String(defaultValue)}\``
}

import { styleText } from 'node:util'
import { realTimers } from '../core/env/real/time.ts'

/** Where a command writes: results to stdout, everything for people to stderr. Escape codes only on a terminal. */
export interface Output {
  /** One line of the result. */
  line(text: string): void
  /** A value for programs, as one line of JSON. */
  json(value: unknown): void
  table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): void
  /** A remark for people: not part of the result. */
  note(text: string): void
  /** Shows `text` once `work` has taken a second, until it ends. */
  progress<T>(text: string, work: Promise<T>): Promise<T>
  error(error: unknown, asJson: boolean): void
  /** Resolves once all that was written has left this process: a pipe takes it at its reader's speed. */
  flushed(): Promise<void>
}

const afterMs = 1_000

export function terminalOutput(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): Output {
  const paint = (style: 'bold' | 'red' | 'dim', text: string, stream: NodeJS.WriteStream): string =>
    styleText(style, text, { stream })
  const timers = realTimers()
  const line = (text: string): void => void stdout.write(`${text}\n`)
  return {
    line,
    json: (value) => line(JSON.stringify(value)),
    table: (header, rows) => {
      const [first = '', ...rest] = tableLines(header, rows)
      line(paint('bold', first, stdout))
      for (const text of rest) line(text)
    },
    note: (text) => void stderr.write(`${paint('dim', text, stderr)}\n`),
    progress: async (text, work) => {
      const cancel = timers.after(afterMs, () => stderr.write(`${text}…\n`))
      try {
        return await work
      } finally {
        cancel()
      }
    },
    error: (error, asJson) => {
      if (asJson) stderr.write(`${JSON.stringify({ error: errorJson(error) })}\n`)
      else stderr.write(`${paint('red', 'error', stderr)} ${messageOf(error)}\n`)
    },
    flushed: async () => {
      for (const stream of [stdout, stderr]) {
        await new Promise<void>((resolve) => stream.write('', () => resolve()))
      }
    },
  }
}

/** Columns as wide as their widest cell; numbers to the right. */
export function tableLines(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string[] {
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => String(row[column] ?? '').length)),
  )
  const numeric = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'))
  const render = (row: readonly (string | number)[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return numeric[column] === true && rows.length > 0
          ? String(cell).padStart(width)
          : String(cell).padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return [render(header), ...rows.map(render)]
}

function errorJson(error: unknown): unknown {
  if (typeof error === 'object' && error !== null && 'toJSON' in error) return error
  return { message: messageOf(error) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

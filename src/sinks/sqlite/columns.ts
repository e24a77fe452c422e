/** Names and types of columns. Users see the types of this file: nothing of SQLite's own is in it. */
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'

const columnTypes = ['TEXT', 'INTEGER', 'REAL', 'ANY'] as const
export type ColumnType = (typeof columnTypes)[number]

export function checkName(name: string, what: string): void {
  const problem = nameProblem(name)
  if (problem !== undefined)
    throw new MillraceError('MR5009', `${what} ${JSON.stringify(name)} ${problem}.`)
}

export function checkType(name: string, type: ColumnType): void {
  if (columnTypes.includes(type)) return
  throw new MillraceError(
    'MR5009',
    `The column ${JSON.stringify(name)} has the type ${JSON.stringify(type)}; it can be ${columnTypes.join(', ')}.`,
  )
}

/** Why this cannot be the name of a column, as the end of a sentence. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'has no name'
  if (name.includes('\0')) return 'has a zero byte in its name'
  if (!name.isWellFormed()) return 'has half a surrogate pair in its name'
  return name.length > limits.sinkColumnName
    ? `is longer than ${limits.sinkColumnName} characters`
    : undefined
}

import { dirname } from 'node:path'
import { makeDirectories } from '../../core/directories.ts'
import { MillraceError } from '../../errors.ts'
import { holdOf } from '../hold.ts'
import type { Hold, Sink } from '../sink.ts'
import { openThread } from './client.ts'
import { checkName, checkType } from './columns.ts'
import type { ColumnType } from './columns.ts'
import { openingIn } from './opening.ts'

export interface SqliteOptions<Key extends string = string> {
  /** The database file; it and its directory are made where they are not there. Relative to the working directory. */
  readonly path: string
  readonly table: string
  /** Fields that identify a row: a row with the same ones replaces it whole. Without `key` rows are only added. */
  readonly key?: readonly Key[]
  /** Types of columns; others are taken from the rows: text is TEXT, all else ANY. Used when a column is made. */
  readonly columns?: Readonly<Record<string, ColumnType>>
  /** How long to wait for another program that writes to the same database. Milliseconds, default 5,000. */
  readonly busyMs?: number
  readonly hold?: Hold
}

/**
 * Rows into a table of a SQLite database, exactly once: rows and position are one transaction, synced to disk. Fields that
 * are objects or arrays are stored as JSON text, booleans as 0 and 1, absent fields as NULL; columns are added as rows bring
 * them. Rows that SQLite refuses (types of a STRICT table, constraints, size) become dead letters, the others are stored.
 * Other programs may read the database at any time (WAL).
 *
 * Throws MR5009 when an option is wrong.
 */
export function sqlite<const Key extends string = never>(
  options: SqliteOptions<Key>,
): Sink & { readonly keyFields: readonly Key[] } {
  const { path, table, key = [], columns = {}, busyMs = 5_000 } = options
  if (typeof path !== 'string' || path === '' || path === ':memory:') {
    throw new MillraceError(
      'MR5009',
      `The path of the SQLite sink is ${JSON.stringify(path)}; it must name a file.`,
    )
  }
  for (const name of [...key, ...Object.keys(columns)]) checkName(name, 'The column')
  for (const [name, type] of Object.entries(columns)) checkType(name, type)
  checkName(table, 'The table')
  if (!Number.isInteger(busyMs) || busyMs < 0 || busyMs > 600_000) {
    throw new MillraceError(
      'MR5009',
      `busyMs is ${busyMs}; it must be a whole number from 0 to 600,000.`,
    )
  }
  return {
    kind: 'sqlite',
    target: table,
    guarantee: 'transactional',
    describe: `sqlite ${path}, table ${table}${key.length === 0 ? ', rows added' : `, upsert by ${key.join(', ')}`}`,
    keyFields: key,
    ...holdOf('sqlite', options.hold),
    open: async (context) => {
      makeDirectories(context.env.disk, dirname(path))
      return openThread({ path, table, key, columns, busyMs }, openingIn(path, context))
    },
  }
}

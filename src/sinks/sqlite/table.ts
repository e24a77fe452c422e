/** The table of a SQLite sink: makes it, adds columns that rows bring, and writes rows by key. Identifiers are quoted, values bound. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { limits } from '../../limits.ts'
import type { SinkRecord } from '../sink.ts'
import { nameProblem } from './columns.ts'
import type { ColumnType } from './columns.ts'

export interface TableOptions {
  readonly table: string
  /** Empty: rows are only added. */
  readonly key: readonly string[]
  readonly columns: Readonly<Record<string, ColumnType>>
}

/** A row that can never be stored, with the reason. */
export class RowRefused extends Error {}

/** SQLite compares column names without regard to ASCII case. */
const fold = (name: string): string => name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

export class Table {
  readonly #db: DatabaseSync
  readonly #options: TableOptions
  readonly #name: string
  /** Columns as they are in the table, by folded name; empty where there is no table yet. */
  #columns = new Map<string, string>()
  #schemaVersion = -1
  #upsert: StatementSync | undefined
  #remove: StatementSync | undefined

  constructor(db: DatabaseSync, options: TableOptions) {
    this.#db = db
    this.#options = options
    this.#name = quote(options.table)
  }

  /** Looks at the table again where its schema may have changed: by others, or by a rollback. */
  refresh(): void {
    const version = Number(this.#db.prepare('PRAGMA schema_version').get()?.['schema_version'] ?? 0)
    if (version === this.#schemaVersion) return
    this.#schemaVersion = version
    const columns = this.#db
      .prepare('SELECT name, hidden FROM pragma_table_xinfo(?)')
      .all(this.#options.table)
    this.#columns = new Map(
      columns
        .filter((column) => column['hidden'] === 0)
        .map(({ name }) => [fold(String(name)), String(name)]),
    )
    this.#upsert = undefined
    this.#remove = undefined
  }

  /** After a rollback columns that were added may be gone. */
  forget(): void {
    this.#schemaVersion = -1
  }

  /** Writes one record. Throws RowRefused, or what SQLite says. */
  write(record: SinkRecord): void {
    if (record.value === undefined) this.#delete(record)
    else this.#put(record.value)
  }

  #put(row: Readonly<Record<string, unknown>>): void {
    const values = new Map<string, SQLInputValue>()
    const names = Object.keys(row)
    if (names.length > limits.sinkColumns) {
      throw new RowRefused(
        `The row has ${names.length} fields; the limit is ${limits.sinkColumns}.`,
      )
    }
    for (const name of names) {
      const folded = fold(name)
      if (values.has(folded))
        throw new RowRefused(`Two fields of the row are both column "${folded}" for SQLite.`)
      values.set(folded, valueOf(name, row[name]))
    }
    for (const name of this.#options.key) {
      if ((values.get(fold(name)) ?? null) === null)
        throw new RowRefused(`The row has no value for the key column "${name}".`)
    }
    this.#fit(row)
    this.#upsert ??= this.#db.prepare(this.#upsertSql())
    this.#upsert.run(...[...this.#columns.keys()].map((folded) => values.get(folded) ?? null))
  }

  #delete(record: SinkRecord): void {
    const { key } = this.#options
    if (key.length === 0) throw new RowRefused('A tombstone needs a sink with key columns.')
    // Without a table there is nothing to remove.
    if (this.#columns.size === 0) return
    const parts = keyParts(record.key, key.length)
    if (parts === undefined) {
      throw new RowRefused(
        `The key of the tombstone does not name the ${key.length} key columns ${key.join(', ')}.`,
      )
    }
    // A number as a key is its decimal text in the record and a number in the table.
    const where = key.map((name) => `${quote(name)} IN (?, ?)`).join(' AND ')
    this.#remove ??= this.#db.prepare(`DELETE FROM ${this.#name} WHERE ${where}`)
    this.#remove.run(...parts.flatMap((part) => [part, numberOf(part) ?? part]))
  }

  /** Makes the table, and adds the columns that the row has and the table has not. */
  #fit(row: Readonly<Record<string, unknown>>): void {
    if (this.#columns.size === 0) {
      this.#create(row)
      return
    }
    let added = 0
    for (const name of Object.keys(row)) {
      if (this.#columns.has(fold(name))) continue
      checkField(name)
      if (this.#columns.size >= limits.sinkColumns) {
        throw new RowRefused(
          `The field "${name}" would be column ${this.#columns.size + 1}; the limit is ${limits.sinkColumns}.`,
        )
      }
      this.#db.exec(`ALTER TABLE ${this.#name} ADD COLUMN ${this.#column(name, row[name])}`)
      this.#columns.set(fold(name), name)
      added++
    }
    if (added > 0) this.#upsert = undefined
  }

  #create(row: Readonly<Record<string, unknown>>): void {
    const { key, columns } = this.#options
    const names = new Map<string, string>()
    for (const name of [...key, ...Object.keys(columns), ...Object.keys(row)]) {
      checkField(name)
      if (!names.has(fold(name))) names.set(fold(name), name)
    }
    const isKey = new Set(key.map(fold))
    const list = [...names].map(
      ([folded, name]) => this.#column(name, row[name]) + (isKey.has(folded) ? ' NOT NULL' : ''),
    )
    if (key.length > 0) list.push(`PRIMARY KEY (${key.map(quote).join(', ')})`)
    this.#db.exec(`CREATE TABLE ${this.#name} (${list.join(', ')}) STRICT`)
    this.#columns = names
  }

  /** Text is TEXT; everything else ANY, which keeps values as they are: the first may be 5 and the next 5.5. */
  #column(name: string, example: unknown): string {
    const given = Object.entries(this.#options.columns).find(
      ([column]) => fold(column) === fold(name),
    )?.[1]
    const isText = typeof example === 'string' || (typeof example === 'object' && example !== null)
    return `${quote(name)} ${given ?? (isText ? 'TEXT' : 'ANY')}`
  }

  #upsertSql(): string {
    const names = [...this.#columns.values()]
    const into = `INSERT INTO ${this.#name} (${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
    const { key } = this.#options
    if (key.length === 0) return into
    const isKey = new Set(key.map(fold))
    const others = names.filter((name) => !isKey.has(fold(name)))
    const set = others.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(', ')
    return `${into} ON CONFLICT (${key.map(quote).join(', ')}) DO ${set === '' ? 'NOTHING' : `UPDATE SET ${set}`}`
  }
}

export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function checkField(name: string): void {
  const problem = nameProblem(name)
  if (problem !== undefined)
    throw new RowRefused(`The field ${JSON.stringify(name.slice(0, 80))} ${problem}.`)
}

/** Whole numbers are bound as integers, because SQLite would store the double 5 as 5.0. */
function valueOf(name: string, value: unknown): SQLInputValue {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed())
        throw new RowRefused(
          `The text in "${name}" has half a surrogate pair: UTF-8 cannot hold it.`,
        )
      return value
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value
    case 'boolean':
      return value ? 1n : 0n
    case 'object':
      return value === null ? null : JSON.stringify(value)
    default:
      return null
  }
}

/** The key of a tombstone, one part per key column: the record's key itself, or the elements of a composite. */
function keyParts(key: string | undefined, count: number): string[] | undefined {
  if (key === undefined) return undefined
  if (count === 1) return [key]
  let parts: unknown
  try {
    parts = JSON.parse(key)
  } catch {
    return undefined
  }
  if (!Array.isArray(parts) || parts.length !== count) return undefined
  return parts.map((part: unknown) => (typeof part === 'string' ? part : JSON.stringify(part)))
}

function numberOf(text: string): SQLInputValue | undefined {
  const number = Number(text)
  if (text === '' || String(number) !== text) return undefined
  return Number.isSafeInteger(number) ? BigInt(number) : number
}

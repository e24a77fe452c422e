/** Compares what each part of the pipeline gave, in topics and sinks, with what the model says. */
import type { Expected, Given, Row, RowValue, Totals } from './model.ts'
import type { Records, SeenRecord } from './observer.ts'
import { inTopic, sameList, sameSet } from './seen.ts'
import { isIn, lateTopicOf, placesOf, rowTopicOf, topicOf } from './shape.ts'
import type { Place, Shape } from './shape.ts'
import type { Outlets } from './sinks.ts'
import { violation } from './violation.ts'

export function checkShape(records: Records, shape: Shape, version: number, model: Expected): void {
  const places = placesOf(shape)
  for (const [i, part] of shape.entries()) {
    const given = model.given[i]!
    const place = places[i]!
    const names = [
      ...(part.topic === undefined ? [] : [topicOf(part)]),
      ...(part.sink === undefined ? [] : [rowTopicOf(part)]),
    ]
    for (const name of names) {
      const got = inTopic(records, name)
      checkKeys(name, got)
      if (part.step.kind === 'aggregate') {
        // After windows that may give several rows, how many there were is not known.
        const sure = !(places[part.from]?.unsure ?? false)
        const last = checkWindows(name, got, place, part.step)
        if (isIn(shape, part, version)) checkTotals(name, last, given, sure)
        else checkGivenUp(name, last, given)
      } else if (place.unsure) checkLast(name, got, given)
      else checkRows('I2', name, got, given.rows)
    }
    if (part.step.kind === 'aggregate') checkLate(lateTopicOf(part), records, part.step.late, given)
  }
}

function checkLate(name: string, records: Records, kept: boolean, given: Given): void {
  if (kept) checkRows('I12', name, inTopic(records, name), given.late)
}

/** The rows of a key are all in one partition (I4). */
function checkKeys(name: string, got: readonly SeenRecord[][]): void {
  const at = new Map<string | undefined, number>()
  for (const [partition, list] of got.entries()) {
    for (const { key } of list) {
      const known = at.get(key) ?? partition
      if (known !== partition)
        throw violation('I4', `${name} has ${key} in partitions ${known} and ${partition}`)
      at.set(key, partition)
    }
  }
}

/** The same rows; those that came the same way in order. */
function checkRows(
  invariant: string,
  name: string,
  got: readonly SeenRecord[][],
  want: readonly Row[],
): void {
  const shown = (row: Row): string => `${row.key} ${textOf(row.value)}`
  sameSet(invariant, name, got.flat().map(seen), want.map(shown))
  const wayOf = new Map(want.map((row) => [row.value.id, row.way]))
  const wanted = byWay(
    want.map(({ value }) => value.id),
    wayOf,
  )
  for (const list of got) {
    const ids = list.map(({ text }) => (JSON.parse(text) as RowValue).id)
    for (const [way, some] of byWay(ids, wayOf)) {
      const places = new Set(some)
      const due = wanted.get(way)!.filter((id) => places.has(id))
      sameList('I4', `${name}, way ${way}`, some, due)
    }
  }
}

function byWay(ids: readonly string[], wayOf: ReadonlyMap<string, string>): Map<string, string[]> {
  const ways = new Map<string, string[]>()
  for (const id of ids) {
    const way = wayOf.get(id)!
    const list = ways.get(way)
    if (list === undefined) ways.set(way, [id])
    else list.push(id)
  }
  return ways
}

/** The last row of each window that gave several. */
function checkLast(name: string, got: readonly SeenRecord[][], given: Given): void {
  const last = new Map<string, string>()
  for (const record of got.flat()) {
    const { id } = JSON.parse(record.text) as RowValue
    last.set(`${record.key} ${id}`, seen(record))
  }
  sameSet(
    'I12',
    name,
    [...last.values()],
    given.rows.map((row) => `${row.key} ${textOf(row.value)}`),
  )
}

function seen({ key, text }: SeenRecord): string {
  return `${key} ${textOf(JSON.parse(text) as RowValue)}`
}

/** Fields in one order, whatever order they were written in. */
function textOf({ id, user, page, kind, value, at, plan, section }: RowValue): string {
  return JSON.stringify({ id, user, page, kind, value, at, plan, section })
}

interface WindowRow extends Totals {
  readonly mean: number
  readonly window_start: string
  readonly window_end: string
}

/** Each row of a window says more than the one before. Returns the last ones. */
function checkWindows(
  name: string,
  got: readonly SeenRecord[][],
  { keyName }: Place,
  { sizeMs, latenessMs, emit }: { sizeMs: number; latenessMs: number; emit: 'close' | 'update' },
): Map<string, WindowRow> {
  const last = new Map<string, WindowRow>()
  const once = emit === 'close' && latenessMs === 0
  for (const list of got) {
    const reached = new Map<string, number>()
    for (const { text } of list) {
      const row = JSON.parse(text) as WindowRow
      const group = String((row as unknown as Record<string, unknown>)[keyName])
      const start = Date.parse(row.window_start)
      const key = `${group}|${start}`
      if (Date.parse(row.window_end) - start !== sizeMs)
        throw violation('I12', `${name} has the row ${text}`)
      const before = last.get(key)
      if (before !== undefined && (once || row.n <= before.n))
        throw violation('I2', `${name} says ${key} twice: ${text}`)
      if (once && start < (reached.get(group) ?? -Infinity))
        throw violation('I4', `${name} gave ${text} after a later window`)
      reached.set(group, start)
      last.set(key, row)
    }
  }
  return last
}

/** The last row of each window equals the model's. */
function checkTotals(
  name: string,
  last: ReadonlyMap<string, WindowRow>,
  { totals }: Given,
  sure: boolean,
): void {
  const have = [...last].map(([key, row]) => show(key, row, row.mean, sure))
  const want = [...totals].map(([key, row]) => show(key, row, row.total / row.n, sure))
  sameSet('I12', name, have, want)
}

/** Of windows that went with a version of the pipeline: what came before that, and no more than there was. */
function checkGivenUp(name: string, last: ReadonlyMap<string, WindowRow>, { totals }: Given): void {
  for (const [key, { n, low, high }] of last) {
    const whole = totals.get(key)
    if (whole === undefined || n > whole.n || low < whole.low || high > whole.high)
      throw violation('I12', `${name} says of ${key}: ${n} rows, ${low} to ${high}`)
  }
}

function show(key: string, { n, total, low, high }: Totals, mean: number, sure: boolean): string {
  const counted = sure ? `n ${n} total ${total} low ${low} mean ${mean.toFixed(9)}` : ''
  return `${key}: high ${high} ${counted}`
}

/**
 * The transactional sinks hold their topics, each record once; the others saw all of it, in order, maybe some again. A
 * sink that went with its part got what came first.
 */
export function checkSinks(records: Records, shape: Shape, version: number, sinks: Outlets): void {
  for (const part of shape) {
    const stays = isIn(shape, part, version)
    for (const [partition, rows] of inTopic(records, rowTopicOf(part)).entries()) {
      const all = rows.map((row) => shown({ ...row, value: JSON.parse(row.text) as object }))
      const name = `sink of ${part.name}/${partition}`
      const stored = sinks.stored.get(part.name)?.records
      if (stored !== undefined) {
        const have = stored.filter((record) => record.partition === partition)
        sameList('I2', name, have.map(shown), stays ? all : all.slice(0, have.length))
      }
      const taken = sinks.taken.get(part.name)
      if (taken === undefined) continue
      const first: string[] = []
      let reached = -1
      for (const batch of taken.filter((one) => one.partition === partition)) {
        for (const record of batch.records) {
          if (record.offset <= reached) continue
          reached = record.offset
          first.push(shown(record))
        }
      }
      sameList('I1', name, first, stays ? all : all.slice(0, first.length))
    }
  }
}

function shown(record: {
  readonly offset: number
  readonly key: string | undefined
  readonly value: object | undefined
}): string {
  return `${record.offset} ${record.key} ${JSON.stringify(record.value)}`
}

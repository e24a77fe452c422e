/**
 * What must come out, computed the slow and obvious way from what went in: plain loops over arrays, nothing of the product.
 * The order of events in each partition of the source topic is given, and from which of them on each version of the
 * pipeline worked; everything else follows from it.
 */
import { isIn, placesOf } from './shape.ts'
import type { KeyOf, Part, Place, Shape } from './shape.ts'

export interface SourceEvent {
  readonly id: string
  readonly user: string
  readonly page: string
  readonly kind: string
  readonly value: number
  readonly at: number
}

/** What a row holds at some place of the pipeline. */
export interface RowValue extends SourceEvent {
  readonly plan?: string
  readonly section?: string
}

export interface Row {
  readonly value: RowValue
  readonly key: string
  /** Rows that went the same way keep their order. */
  readonly way: string
  /** Its event time, and by which watermark it may be late. */
  readonly at: number
  readonly watermark: number
}

export interface Totals {
  n: number
  total: number
  low: number
  high: number
}

/** What a part of the pipeline gave. */
export interface Given {
  /** Of an event form: its rows, in the order of each way. */
  readonly rows: Row[]
  /** Of windows: by `key|window start in milliseconds`; and the late ones. */
  readonly totals: Map<string, Totals>
  readonly late: Row[]
  /** How many rows came in. */
  entered: number
  /** Windows that end by then are closed. */
  closed: number
}

export interface Expected {
  readonly given: readonly Given[]
  /** Ids of clicks, per partition of the source. */
  readonly clicks: string[][]
  /** Ids of rows that became dead letters. */
  readonly letters: string[]
}

export interface Input {
  readonly shape: Shape
  readonly boundMs: number
  /** In order, per partition of the source; `version` is that of the pipeline that took it. */
  readonly events: readonly (readonly { event: SourceEvent; version: number }[])[]
  /** Of all tables, by key. */
  readonly tables: ReadonlyMap<string, string>
  /** By part, rows that committed decisions about silent partitions made late: taken as given, where there were such. */
  readonly idled: readonly ReadonlySet<string>[] | undefined
}

/** What some functions of the pipeline throw at. */
export const poison = 666

export function expected(input: Input): Expected {
  return new Model(input).run()
}

class Model {
  readonly #input: Input
  readonly #places: readonly Place[]
  readonly #given: Given[]
  readonly #letters: string[] = []

  constructor(input: Input) {
    this.#input = input
    this.#places = placesOf(input.shape)
    this.#given = input.shape.map(() => ({
      rows: [],
      totals: new Map(),
      late: [],
      entered: 0,
      closed: Infinity,
    }))
  }

  run(): Expected {
    const { events, boundMs, shape, idled } = this.#input
    const clicks: string[][] = events.map(() => [])
    let closed = Infinity
    for (const [partition, list] of events.entries()) {
      let watermark = -Infinity
      for (const { event, version } of list) {
        if (event.kind === 'click') clicks[partition]!.push(event.id)
        const { user: key, at } = event
        this.#follow(-1, { value: event, key, way: `${partition}`, at, watermark }, version)
        watermark = Math.max(watermark, event.at - boundMs)
      }
      closed = Math.min(closed, watermark)
    }
    // Where silence closes windows, it closes all of them.
    if (idled !== undefined) closed = Infinity
    for (const [i, part] of shape.entries()) this.#close(i, part, closed)
    return { given: this.#given, clicks, letters: this.#letters }
  }

  /** A row of `from` goes to all that takes its rows. */
  #follow(from: number, row: Row, version: number): void {
    const { shape } = this.#input
    for (const [i, part] of shape.entries())
      if (part.from === from && isIn(shape, part, version)) this.#enter(i, part, row, version)
  }

  #enter(i: number, part: Part, row: Row, version: number): void {
    const given = this.#given[i]!
    given.entered++
    const { fails } = part
    if (fails !== undefined && fails.onError !== 'fail' && row.value.value === fails.at) {
      if (fails.onError === 'deadLetter') this.#letters.push(row.value.id)
      return
    }
    if (part.step.kind === 'aggregate') {
      this.#group(i, part.step, row)
      return
    }
    for (const out of this.#rowsAfter(i, part, row, version)) {
      given.rows.push(out)
      this.#follow(i, out, version)
    }
  }

  #rowsAfter(i: number, { step }: Part, row: Row, version: number): Row[] {
    const { value } = row
    switch (step.kind) {
      case 'where':
        return step.kinds.includes(value.kind) ? [row] : []
      case 'filter': {
        const multiple = step.multiples[Math.min(version, step.multiples.length - 1)]!
        return value.value % multiple === 0 ? [] : [row]
      }
      case 'map':
        return [{ ...row, value: { ...value, value: value.value * 2 + 1 } }]
      case 'flatMap':
        return Array.from({ length: value.value % step.modulo }, (_, nth) => ({
          ...row,
          value: { ...value, id: `${value.id}.${nth}`, value: value.value + nth },
        }))
      case 'select': {
        const { id, user, page, kind, value: number, at } = value
        return [{ ...row, value: { id, user, page, kind, value: number, at } }]
      }
      case 'derive':
        return [{ ...row, value: { ...value, page: `page-${value.value % step.pages}` } }]
      case 'keyBy':
        return [this.#keyed(i, row, keyOf(step.key, value))]
      case 'enrich': {
        const key = keyOf(step.key, value)
        const found = this.#input.tables.get(key) ?? 'none'
        const added = step.table === 'users' ? { plan: found } : { section: found }
        return [{ ...this.#keyed(i, row, key), value: { ...value, ...added } }]
      }
      default:
        throw new Error(`${step.kind} takes windows`)
    }
  }

  /** A row that moves goes another way than those of other keys. */
  #keyed(i: number, row: Row, key: string): Row {
    return { ...row, key, way: this.#places[i]!.moved ? `${row.way} ${key}` : row.way }
  }

  #group(i: number, window: { sizeMs: number; latenessMs: number }, row: Row): void {
    const { totals: all, late } = this.#given[i]!
    const start = Math.floor(row.at / window.sizeMs) * window.sizeMs
    const idled = this.#input.idled?.[i]?.has(row.value.id) ?? false
    if (row.watermark >= start + window.sizeMs + window.latenessMs || idled) {
      late.push(row)
      return
    }
    const name = `${row.key}|${start}`
    const { value } = row.value
    const totals = all.get(name)
    if (totals === undefined) {
      all.set(name, { n: 1, total: value, low: value, high: value })
      return
    }
    totals.n += 1
    totals.total += value
    totals.low = Math.min(totals.low, value)
    totals.high = Math.max(totals.high, value)
  }

  /** All has been read: windows give what they have, in the order of their starts. */
  #close(i: number, { step, from }: Part, closed: number): void {
    const given = this.#given[i]!
    given.closed = this.#given[from]?.closed ?? closed
    if (step.kind === 'aggregate') {
      const { sizeMs, latenessMs, emit } = step
      const due = emit === 'update' ? Infinity : given.closed
      for (const name of given.totals.keys())
        if (startOf(name) + sizeMs > due) given.totals.delete(name)
      given.closed -= sizeMs + latenessMs
    }
    if (step.kind !== 'again') return
    const { keyName } = this.#places[i]!
    const last = Math.max(...this.#input.shape.map(({ since }) => since))
    const windows = [...this.#given[from]!.totals].toSorted(([a], [b]) => startOf(a) - startOf(b))
    for (const [name, { n }] of windows) {
      const key = name.slice(0, name.lastIndexOf('|'))
      const value = eventOfWindow(keyName, key, startOf(name), n)
      const row = { value, key, way: key, at: value.at, watermark: -Infinity }
      given.entered++
      given.rows.push(row)
      // What comes after a window is there for as long as it is.
      this.#follow(i, row, last)
    }
  }
}

/** What `again` makes of the row of a window. */
export function eventOfWindow(
  keyName: string,
  key: string,
  start: number,
  value: number,
): SourceEvent {
  const user = keyName === 'user' ? key : 'user-0'
  const page = keyName === 'page' ? key : 'page-0'
  return { id: `${key}@${start}`, user, page, kind: 'view', value, at: start }
}

export function keyOf({ field }: KeyOf, value: SourceEvent): string {
  return field === 'value' ? `value-${value.value % 3}` : value[field]
}

export function startOf(window: string): number {
  return Number(window.slice(window.lastIndexOf('|') + 1))
}

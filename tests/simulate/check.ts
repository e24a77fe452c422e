/** Compares what the engine holds when all is quiet with the ledger of the producers and with the model. */
import type { Log, Position } from '../../src/log/log.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { TaskCounters } from '../../src/process/runner.ts'
import type { Config } from './config.ts'
import { expected } from './model.ts'
import type { Expected, SourceEvent, Totals, Windows } from './model.ts'
import type { Records, SeenRecord, TopicWalk } from './observer.ts'
import type { Ledger } from './producers.ts'
import type { Outlets } from './sinks.ts'
import { violation } from './violation.ts'

export interface Final {
  readonly walk: TopicWalk
  /** By group. */
  readonly positions: ReadonlyMap<string, readonly Position[]>
}

/** Reads positions of every group of the plan. */
export async function positionsOf(log: Log, plan: Plan): Promise<Map<string, readonly Position[]>> {
  const groups = [...plan.ingests, ...plan.stages, ...plan.delivers].map(({ id }) => id)
  const positions = new Map<string, readonly Position[]>()
  for (const group of groups) positions.set(group, await log.positions(group))
  return positions
}

export function checkAll(
  final: Final,
  plan: Plan,
  config: Config,
  ledger: Ledger,
  plans: ReadonlyMap<string, string>,
  sinks: Outlets,
): void {
  const { records } = final.walk
  checkLedger(records, ledger)
  const events = topic(records, 'events').map((partition) => partition.map(eventOf))
  const pagesLate = topic(records, 'late-pages').flat().map(idOf)
  const usersLate = topic(records, 'late-users').flat().map(idOf)
  const idled =
    config.closing === 'idle'
      ? { pages: new Set(pagesLate), users: new Set(usersLate) }
      : { pages: new Set<string>(), users: new Set<string>() }
  const model = expected(events, plans, config.rules, idled)
  const partitionOf = new Map(events.flatMap((list, p) => list.map(({ id }) => [id, p] as const)))
  checkEnriched(records, model)
  for (const { text } of topic(records, 'late-pages').flat()) {
    const { page, section } = JSON.parse(text) as { page: string; section: string }
    const want = plans.get(page) ?? 'none'
    if (section !== want)
      throw violation('I2', `the section of ${page} is ${want}; it was read as ${section}`)
  }
  checkLetters(records, model)
  if (config.tap) {
    for (const [partition, ids] of model.clicks.entries())
      sameList('I2', `clicks/${partition}`, topic(records, 'clicks')[partition]!.map(idOf), ids)
  }
  const pageOf = new Map(events.flat().map(({ id, page }) => [id, page]))
  checkLate(
    'late-pages',
    topic(records, 'late-pages'),
    model.pages,
    (id) => `${partitionOf.get(id)} ${pageOf.get(id)}`,
  )
  checkLate(
    'late-users',
    topic(records, 'late-users'),
    model.users,
    (id) => `${partitionOf.get(id)}`,
  )
  const closed = config.closing === 'end' ? Math.min(...model.watermarks) : Infinity
  checkWindows(
    'sim.per_page',
    topic(records, 'sim.per_page'),
    'page',
    model.pages,
    config.rules.pages.sizeMs,
    closed,
  )
  checkWindows(
    'sim.per_user',
    topic(records, 'sim.per_user'),
    'user',
    model.users,
    config.rules.users.sizeMs,
    Infinity,
  )
  checkCounters(final, plan)
  checkSinks(records, sinks)
}

/** I1, I4: acknowledged is present exactly once, in order per producer; refused is absent. */
function checkLedger(records: Records, ledger: Ledger): void {
  const seen = new Set<string>()
  for (const partition of topic(records, 'events')) {
    const last = new Map<string, number>()
    for (const { text } of partition) {
      const event = JSON.parse(text) as SourceEvent
      const sent = ledger.get(event.id)
      if (sent === undefined) throw violation('I1', `${event.id} was never sent`)
      if (text !== JSON.stringify(sent.event))
        throw violation(
          'I1',
          `${event.id} was sent as ${JSON.stringify(sent.event)}, and is ${text}`,
        )
      if (seen.has(event.id)) throw violation('I1', `${event.id} is there twice`)
      if (sent.outcome === 'refused') throw violation('I1', `${event.id} was refused and is there`)
      if (sent.nth <= (last.get(sent.producer) ?? -1))
        throw violation('I4', `${event.id} comes after a later one of its producer`)
      seen.add(event.id)
      last.set(sent.producer, sent.nth)
    }
  }
  for (const [id, { outcome }] of ledger) {
    if (outcome === 'accepted' && !seen.has(id))
      throw violation('I1', `${id} was acknowledged and is gone`)
  }
}

function checkEnriched(records: Records, model: Expected): void {
  const got = topic(records, 'enriched')
  for (const [partition, rows] of model.enriched.entries()) {
    const want = rows.map(({ id, plan }) => `${id} ${plan}`)
    const have = got[partition]!.map(({ text }) => {
      const { id, plan } = JSON.parse(text) as { id: string; plan: string }
      return `${id} ${plan}`
    })
    sameList('I2', `enriched/${partition}`, have, want)
  }
}

/** One letter per event that failed, and one more for each that was sent back: it failed again, once. */
function checkLetters(records: Records, model: Expected): void {
  const want = [...model.letters]
  const idAt = new Map<number, string>()
  const have: string[] = []
  for (const record of topic(records, 'sim.dead-letters').flat()) {
    const { resolves } = JSON.parse(record.text) as { resolves?: number }
    if (resolves === undefined) {
      idAt.set(record.offset, letterId(record))
      have.push(letterId(record))
      continue
    }
    const again = idAt.get(resolves)
    if (again === undefined) throw violation('I4', `letter ${resolves} was answered before it came`)
    idAt.delete(resolves)
    want.push(again)
  }
  sameSet('I2', 'dead letters', have, want)
}

function isLetter({ text }: SeenRecord): boolean {
  return !('resolves' in (JSON.parse(text) as object))
}

/** The same late rows; those that came the same way (`wayOf`) in order. */
function checkLate(
  name: string,
  got: readonly SeenRecord[][],
  model: Windows,
  wayOf: (id: string) => string,
): void {
  sameSet('I12', name, got.flat().map(idOf), model.late.flat())
  const byWay = (ids: readonly string[]): Map<string, string[]> => {
    const ways = new Map<string, string[]>()
    for (const id of ids) ways.set(wayOf(id), [...(ways.get(wayOf(id)) ?? []), id])
    return ways
  }
  const want = byWay(model.late.flat())
  for (const records of got) {
    for (const [way, ids] of byWay(records.map(idOf)))
      sameList('I4', `${name}, way ${way}`, ids, want.get(way)!)
  }
}

interface WindowRow extends Totals {
  readonly mean: number
  readonly window_start: string
  readonly window_end: string
}

/** The last row of each window equals the model's; each row says more than the one before. */
function checkWindows(
  name: string,
  got: readonly SeenRecord[][],
  keyName: string,
  model: Windows,
  sizeMs: number,
  closed: number,
): void {
  const last = new Map<string, WindowRow>()
  for (const { text } of got.flat()) {
    const row = JSON.parse(text) as WindowRow
    const key = `${String((row as unknown as Record<string, unknown>)[keyName])}|${Date.parse(row.window_start)}`
    if (Date.parse(row.window_end) - Date.parse(row.window_start) !== sizeMs)
      throw violation('I12', `${name} has the row ${text}`)
    if (row.n <= (last.get(key)?.n ?? 0))
      throw violation('I2', `${name} says ${key} twice: ${text}`)
    last.set(key, row)
  }
  const have = [...last].map(([key, row]) => show(key, row, row.mean))
  const want = [...model.totals]
    .filter(([key]) => startOf(key) + sizeMs <= closed)
    .map(([key, totals]) => show(key, totals, totals.total / totals.n))
  sameSet('I12', name, have, want)
}

function startOf(key: string): number {
  return Number(key.slice(key.lastIndexOf('|') + 1))
}

function show(key: string, { n, total, low, high }: Totals, mean: number): string {
  return `${key}: n ${n} total ${total} low ${low} high ${high} mean ${mean.toFixed(9)}`
}

/** I11: every task accounts for all it read; topics hold what the counters say. */
function checkCounters({ walk: { records }, positions }: Final, plan: Plan): void {
  // Every enriched row is handed to the next stage; what that has read may be removed by now.
  const size = (name: string): number =>
    topic(records, name.endsWith('.repartition') ? 'enriched' : name).flat().length
  const sums = new Map<string, TaskCounters>()
  let letters = 0
  for (const [group, list] of positions) {
    const sum: TaskCounters = {
      read: 0,
      processed: 0,
      deadLettered: 0,
      late: 0,
      skipped: 0,
      shed: 0,
      expired: 0,
      emitted: 0,
    }
    for (const { meta, partition } of list) {
      if (meta === '') continue
      const { counters } = JSON.parse(meta) as { counters: TaskCounters }
      const { read, processed, deadLettered, late, skipped, shed, expired } = counters
      if (read !== processed + deadLettered + late + skipped || shed + expired > 0) {
        throw violation('I11', `${group}/${partition} counts ${JSON.stringify(counters)}`)
      }
      for (const name of Object.keys(sum) as (keyof TaskCounters)[]) sum[name] += counters[name]
    }
    letters += sum.deadLettered
    sums.set(group, sum)
  }
  const equal = (what: string, counted: number, there: number): void => {
    if (counted !== there) throw violation('I11', `${what}: counted ${counted}, there are ${there}`)
  }
  for (const { id, topic: name } of plan.ingests)
    equal(`${id} processed`, sums.get(id)!.processed, size(name))
  for (const { id, inputs, outputs } of plan.stages) {
    equal(
      `${id} read`,
      sums.get(id)!.read,
      inputs.reduce((all, input) => all + size(input.topic), 0),
    )
    equal(
      `${id} emitted`,
      sums.get(id)!.emitted,
      outputs.reduce((all, output) => all + size(output.topic), 0),
    )
  }
  for (const { id, topic: name } of plan.delivers)
    equal(`${id} processed`, sums.get(id)!.processed, size(name))
  const kept = topic(records, plan.deadLetters).flat().filter(isLetter)
  equal('dead letters', letters, kept.length)
  equal('late of sim/events', sums.get('sim/events')!.late, size('late-users'))
  const second = plan.stages.find(({ outputs }) =>
    outputs.some((output) => output.topic === 'late-pages'),
  )!
  equal(`late of ${second.id}`, sums.get(second.id)!.late, size('late-pages'))
}

/** The transactional sink holds the topic, each record once; the other one saw all of it, in order, maybe some again. */
function checkSinks(records: Records, { stored, taken }: Outlets): void {
  for (const [partition, rows] of topic(records, 'sim.per_page').entries()) {
    const have = stored.records.filter((record) => record.partition === partition)
    sameList(
      'I2',
      `sink pages/${partition}`,
      have.map(shown),
      rows.map((row) => shown({ ...row, value: JSON.parse(row.text) as object })),
    )
  }
  for (const [partition, rows] of topic(records, 'sim.per_user').entries()) {
    const first: string[] = []
    let reached = -1
    for (const batch of taken.filter((one) => one.partition === partition)) {
      for (const record of batch.records) {
        if (record.offset <= reached) continue
        reached = record.offset
        first.push(shown(record))
      }
    }
    sameList(
      'I1',
      `sink users/${partition}`,
      first,
      rows.map((row) => shown({ ...row, value: JSON.parse(row.text) as object })),
    )
  }
}

function shown(record: {
  readonly offset: number
  readonly key: string | undefined
  readonly value: object | undefined
}): string {
  return `${record.offset} ${record.key} ${JSON.stringify(record.value)}`
}

function topic(records: Records, name: string): SeenRecord[][] {
  const found = records.get(name)
  if (found === undefined) throw violation('I1', `there is no topic ${name}`)
  return found
}

function eventOf({ text }: SeenRecord): SourceEvent {
  return JSON.parse(text) as SourceEvent
}

function idOf({ text }: SeenRecord): string {
  return (JSON.parse(text) as { id: string }).id
}

/** The event inside a dead letter. */
function letterId({ text }: SeenRecord): string {
  const { raw } = JSON.parse(text) as { raw: string }
  return (JSON.parse(raw) as { id: string }).id
}

function sameSet(
  invariant: string,
  what: string,
  have: readonly string[],
  want: readonly string[],
): void {
  sameList(invariant, what, have.toSorted(), want.toSorted())
}

function sameList(
  invariant: string,
  what: string,
  have: readonly string[],
  want: readonly string[],
): void {
  for (let i = 0; i < Math.max(have.length, want.length); i++) {
    if (have[i] === want[i]) continue
    const counts = `${have.length} there, ${want.length} expected`
    throw violation(
      invariant,
      `${what} differs at ${i}: ${have[i] ?? 'nothing'}; expected ${want[i] ?? 'nothing'} (${counts})`,
    )
  }
}

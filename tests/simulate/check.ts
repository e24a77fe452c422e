/** Compares what the engine holds when all is quiet with the ledger of the producers and with the model. */
import type { Log, Position } from '../../src/log/log.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { TaskCounters } from '../../src/process/runner.ts'
import { checkSinks, checkShape } from './check-shape.ts'
import type { Config } from './config.ts'
import { expected } from './model.ts'
import type { Expected, SourceEvent } from './model.ts'
import type { Records, SeenRecord, TopicWalk } from './observer.ts'
import type { Ledger } from './producers.ts'
import { idOf, inTopic, sameList, sameSet, topic } from './seen.ts'
import { lateTopicOf, placesOf } from './shape.ts'
import type { Outlets } from './sinks.ts'
import { violation } from './violation.ts'

export interface Final {
  readonly walk: TopicWalk
  /** By group. */
  readonly positions: ReadonlyMap<string, readonly Position[]>
  /** Which version of the pipeline took an event. */
  readonly versionAt: (partition: number, offset: number) => number
  /** Of every version that ran, and which was the last. */
  readonly plans: readonly Plan[]
  readonly version: number
}

/** Reads positions of every group of the plans. */
export async function positionsOf(
  log: Log,
  plans: readonly Plan[],
): Promise<Map<string, readonly Position[]>> {
  const groups = new Set(
    plans.flatMap(({ ingests, stages, delivers }) =>
      [...ingests, ...stages, ...delivers].map(({ id }) => id),
    ),
  )
  const positions = new Map<string, readonly Position[]>()
  for (const group of groups) positions.set(group, await log.positions(group))
  return positions
}

export function checkAll(
  final: Final,
  config: Config,
  ledger: Ledger,
  tables: ReadonlyMap<string, string>,
  sinks: Outlets,
): void {
  const { records } = final.walk
  const { shape, boundMs } = config
  checkLedger(records, ledger)
  const idled = shape.map((part) => new Set(inTopic(records, lateTopicOf(part)).flat().map(idOf)))
  const model = expected({
    shape,
    boundMs,
    tables,
    events: topic(records, 'events').map((list, partition) =>
      list.map((record) => ({
        event: eventOf(record),
        version: final.versionAt(partition, record.offset),
      })),
    ),
    idled: config.closing === 'idle' ? idled : undefined,
  })
  if (config.tap) {
    for (const [partition, ids] of model.clicks.entries())
      sameList('I2', `clicks/${partition}`, topic(records, 'clicks')[partition]!.map(idOf), ids)
  }
  checkLetters(records, model)
  checkShape(records, shape, final.version, model)
  checkCounters(final, config, model)
  checkSinks(records, shape, final.version, sinks)
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
      seen.add(event.id)
      // Sent once, to a worker that was taken for gone and woke up: it may come when another one has taken what came after.
      if (sent.producer === 'plain' && sent.outcome === 'unknown') continue
      if (sent.nth <= (last.get(sent.producer) ?? -1))
        throw violation('I4', `${event.id} comes after a later one of its producer`)
      last.set(sent.producer, sent.nth)
    }
  }
  for (const [id, { outcome }] of ledger) {
    if (outcome === 'accepted' && !seen.has(id))
      throw violation('I1', `${id} was acknowledged and is gone`)
  }
}

/** One letter per event that failed, and one more for each that was sent back: it failed again, once. */
function checkLetters(records: Records, model: Expected): void {
  const want = [...model.letters]
  const idAt = new Map<number, string>()
  const have: string[] = []
  for (const record of inTopic(records, 'sim.dead-letters').flat()) {
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

/** I11: every task accounts for all it read; topics hold what the counters say. */
function checkCounters(final: Final, { shape }: Config, model: Expected): void {
  const { walk, positions, plans } = final
  const { records } = walk
  const places = placesOf(shape)
  const partOf = (plan: Plan, node: number): number =>
    shape.findIndex(({ name }) => name === plan.nodes[node]!.name)
  const sums = new Map<string, TaskCounters>()
  for (const [group, list] of positions) sums.set(group, sumOf(group, list))
  // What one stage handed to the next may be removed by now; after windows that give several rows its size is not known.
  const handed = new Map<string, number | undefined>()
  for (const plan of plans) {
    for (const { topic: name, keyedBy } of plan.stages.flatMap(({ outputs }) => outputs)) {
      if (keyedBy === undefined) continue
      const part = partOf(plan, keyedBy)
      // Where another version hands the same rows on in the topic of another part, only some that entered are in this one.
      const always = plans.every(
        ({ nodes, stages }) =>
          nodes.every((node) => node.name !== shape[part]!.name) ||
          stages.some(({ outputs }) => outputs.some(({ topic }) => topic === name)),
      )
      const entered = places[part]!.unsure || !always ? undefined : model.given[part]!.entered
      if (!handed.has(name) || (entered ?? 0) > handed.get(name)!) handed.set(name, entered)
    }
  }
  // How many sums cross depends on the commits: what is written is compared with what is read.
  const combined = new Set(
    plans.flatMap(({ stages }) =>
      stages.flatMap(({ outputs }) =>
        outputs.flatMap((output) => (output.combinedFor === undefined ? [] : [output.topic])),
      ),
    ),
  )
  for (const name of combined) handed.set(name, undefined)
  const size = (name: string): number | undefined =>
    handed.has(name) ? handed.get(name) : inTopic(records, name).flat().length
  const equal = (what: string, counted: number, names: readonly string[]): void => {
    let there = 0
    for (const name of names) {
      const one = size(name)
      if (one === undefined) return
      there += one
    }
    if (counted !== there) throw violation('I11', `${what}: counted ${counted}, there are ${there}`)
  }
  const all = new Map<string, { read: Set<string>; emitted: Set<string> }>()
  const { ingests, delivers } = plans.at(-1)!
  for (const { id, topic: name } of [...ingests, ...delivers])
    equal(`${id} processed`, sums.get(id)!.processed, [name])
  for (const { stages } of plans) {
    for (const { id, inputs, outputs } of stages) {
      const names = all.get(id) ?? { read: new Set(), emitted: new Set() }
      for (const input of inputs) names.read.add(input.topic)
      for (const output of outputs) names.emitted.add(output.topic)
      all.set(id, names)
    }
  }
  for (const name of combined) {
    const through = (side: 'read' | 'emitted'): number | undefined => {
      const [stage, ...others] = [...all].filter(([, its]) => its[side].has(name))
      if (stage === undefined || others.length > 0) return undefined
      let count = sums.get(stage[0])![side]
      for (const other of stage[1][side]) {
        if (other === name) continue
        const known = size(other)
        if (known === undefined) return undefined
        count -= known
      }
      return count
    }
    const [written, read] = [through('emitted'), through('read')]
    if (written !== undefined && read !== undefined && written !== read)
      throw violation('I11', `${name}: ${written} records written, ${read} read`)
  }
  for (const [id, { read, emitted }] of all) {
    equal(`${id} read`, sums.get(id)!.read, [...read])
    // In another version another stage may be before a topic.
    const alone = [...all].every(
      ([other, its]) => other === id || ![...its.emitted].some((topic) => emitted.has(topic)),
    )
    if (alone) equal(`${id} emitted`, sums.get(id)!.emitted, [...emitted])
  }
  checkFates(records, plans, sums, model, shape)
}

/** Of all tasks of a group. `mayMiss`: retention or shedding may have left something out. */
export function sumOf(group: string, list: readonly Position[], mayMiss = false): TaskCounters {
  const sum = {
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
    const missed = shed + expired
    if (read !== processed + deadLettered + late + skipped + missed || (missed > 0 && !mayMiss))
      throw violation('I11', `${group}/${partition} counts ${JSON.stringify(counters)}`)
    for (const name of Object.keys(sum) as (keyof TaskCounters)[]) sum[name] += counters[name]
  }
  return sum
}

/** A record is counted once, however many of the rows made of it failed or came late. */
function checkFates(
  records: Records,
  plans: readonly Plan[],
  sums: ReadonlyMap<string, TaskCounters>,
  model: Expected,
  shape: Config['shape'],
): void {
  const failed = new Map<string, Set<string>>()
  for (const record of inTopic(records, plans[0]!.deadLetters).flat().filter(isLetter)) {
    const {
      id,
      stage,
      topic: from,
      partition,
      offset,
      attempts,
    } = JSON.parse(record.text) as {
      readonly [field: string]: string | number | undefined
    }
    // What a window made was not read, the first time.
    if (offset === undefined && attempts === 1) continue
    const name = attempts === 1 ? `${from}/${partition}/${offset}` : `${id} ${record.offset}`
    failed.set(String(stage), (failed.get(String(stage)) ?? new Set()).add(name))
  }
  for (const [id, { deadLettered }] of sums) {
    const there = failed.get(id)?.size ?? 0
    if (deadLettered !== there)
      throw violation('I11', `${id}: ${deadLettered} dead letters counted, there are ${there}`)
  }
  if (shape.some(({ step, fails }) => step.kind === 'flatMap' || fails !== undefined)) return
  const lateOf = new Map<string, Set<string>>()
  for (const plan of plans) {
    for (const { id, nodes } of plan.stages) {
      const late = lateOf.get(id) ?? new Set()
      lateOf.set(id, late)
      for (const node of nodes) {
        const part = shape.findIndex(({ name }) => name === plan.nodes[node]!.name)
        if (shape[part]?.step.kind !== 'aggregate') continue
        for (const { value } of model.given[part]!.late) late.add(value.id)
      }
    }
  }
  for (const [id, late] of lateOf) {
    if (sums.get(id)!.late !== late.size)
      throw violation('I11', `${id}: ${sums.get(id)!.late} late counted, there are ${late.size}`)
  }
}

function eventOf({ text }: SeenRecord): SourceEvent {
  return JSON.parse(text) as SourceEvent
}

/** The event inside a dead letter. */
function letterId({ text }: SeenRecord): string {
  const { raw } = JSON.parse(text) as { raw: string }
  return (JSON.parse(raw) as { id: string }).id
}

/** Every event is where its senders, functions and sinks let it come to, once; or it is a dead letter that says why. */
import type { Position } from '../../../src/log/log.ts'
import { sumOf } from '../check.ts'
import type { Records, SeenRecord } from '../observer.ts'
import { inTopic, sameList, sameSet } from '../seen.ts'
import { violation } from '../violation.ts'
import { timeOf } from './events.ts'
import { burstAt, isDisliked, isUnliked, listRows } from './pipeline.ts'
import type { StraysConfig, StraySinks, Tested } from './pipeline.ts'
import type { StrayLedger } from './sender.ts'
import { shedGroup } from './shed.ts'
import { shortGroup } from './short.ts'

export interface StraysFinal {
  readonly records: Records
  readonly positions: ReadonlyMap<string, readonly Position[]>
  readonly config: StraysConfig
  readonly ledger: StrayLedger
  readonly sinks: StraySinks
}

interface Event {
  readonly id: string
  readonly who: unknown
  readonly at: unknown
  readonly n?: unknown
  readonly m?: unknown
  readonly deep?: { readonly a?: number }
}

interface Letter {
  readonly stage: string
  readonly operator: string
  readonly topic: string
  readonly partition?: number
  readonly offset?: number
  readonly code: string
  readonly attempts: number
  readonly raw?: string
  readonly rawBase64?: string
}

/** All letters of one failure: each that was sent back and failed again is one more. */
interface Chain {
  readonly stage: string
  readonly codes: Set<string>
  letters: number
  /** How often it was tried, by the last of them. */
  attempts: number
  replayed: number
  /** Somebody expected it. */
  known: boolean
}

export function checkStrays(final: StraysFinal): void {
  const { records, ledger, positions, config } = final
  const letters = new Letters(records, config.retries)
  checkSent(records, ledger)
  checkIngested(letters, ledger)
  const events = inTopic(records, 'strays').map((list) => list.map(eventOf))
  checkStage(final, events, letters)
  checkTally(records, events.flat(), letters)
  checkAfter(records, letters)
  checkSinks(final, events, letters)
  letters.checkUnknown()
  checkCounters(positions, ledger, letters)
}

class Letters {
  readonly chains = new Map<string, Chain>()
  /** What ingest put aside: code and bytes. */
  readonly ingested: string[] = []

  readonly #retries: number

  constructor(records: Records, retries: number) {
    this.#retries = retries
    for (const name of ['strays.dead-letters', 'after.dead-letters']) {
      const at = new Map<number, Chain>()
      for (const { offset, text } of inTopic(records, name).flat()) {
        const one = JSON.parse(text) as Letter & { resolves?: number; how?: string }
        if (one.resolves === undefined) this.#add(one, offset, at)
        else if (one.how === 'replayed') at.get(one.resolves)!.replayed++
      }
    }
  }

  /** Whether the failure is one: `always`, never, or as it happened. True where the letter stands for the row. */
  expect(place: string, codes: readonly string[], when: 'always' | 'maybe', each = 1): boolean {
    const chain = this.chains.get(place)
    const open = chain === undefined ? 0 : chain.letters - chain.replayed
    if (chain !== undefined) {
      chain.known = true
      for (const code of chain.codes)
        if (!codes.includes(code)) throw violation('I2', `${place} has a letter with ${code}`)
    }
    if (open === each || (open === 0 && when === 'maybe')) return open > 0
    throw violation(
      'I2',
      `${place}: ${open} letters stand for it, expected ${each} of ${codes.join()}`,
    )
  }

  checkUnknown(): void {
    for (const [place, { known, codes }] of this.chains)
      if (!known) throw violation('I2', `${place} has a letter with ${[...codes].join()}`)
  }

  #add(letter: Letter, offset: number, at: Map<number, Chain>): void {
    const { stage, operator, topic, partition, code, rawBase64 } = letter
    if (stage.startsWith('ingest/')) {
      const raw =
        rawBase64 === undefined ? letter.raw! : Buffer.from(rawBase64, 'base64').toString('latin1')
      this.ingested.push(`${code} ${raw}`)
      // It cannot be sent back, but it can be forgotten.
      return
    }
    const place = `${operator}|${topic}/${partition}/${letter.offset}`
    const chain = this.chains.get(place) ?? {
      stage,
      codes: new Set(),
      letters: 0,
      attempts: 0,
      replayed: 0,
      known: false,
    }
    this.chains.set(place, chain)
    chain.letters++
    // What no topic can hold comes twice, once for each, and not back.
    if (operator !== 'output') chain.attempts += code === 'MR4001' ? this.#retries + 1 : 1
    if (letter.attempts !== Math.max(1, chain.attempts))
      throw violation(
        'I2',
        `${place} was tried ${letter.attempts} times, and not ${chain.attempts}`,
      )
    chain.codes.add(code)
    at.set(offset, chain)
  }
}

/** I1, I4: what was accepted is there once, in order, as it was sent, at its key and time; nothing else is. */
function checkSent(records: Records, { accepted }: StrayLedger): void {
  const due = new Map(accepted.map((one, nth) => [one.stray.id, { ...one, nth }]))
  const seen = new Set<string>()
  for (const list of inTopic(records, 'strays')) {
    const last = new Map<string, number>()
    for (const record of list) {
      const event = eventOf(record)
      const sent = due.get(event.id)
      if (sent === undefined || seen.has(event.id))
        throw violation('I1', `${event.id} is there${sent === undefined ? '' : ' twice'}`)
      seen.add(event.id)
      if (sent.nth <= (last.get(sent.sender) ?? -1))
        throw violation('I4', `${event.id} comes after a later one of its sender`)
      last.set(sent.sender, sent.nth)
      const { who, at } = event
      const key = Array.isArray(who) ? JSON.stringify(who) : String(who)
      if (
        record.text !== sent.stray.bytes.toString() ||
        record.key !== key ||
        record.timestamp !== timeOf(at)
      )
        throw violation('I1', `${record.text} is there with ${record.key} at ${record.timestamp}`)
    }
  }
  for (const id of due.keys())
    if (!seen.has(id)) throw violation('I1', `${id} was accepted and is gone`)
}

function checkIngested({ ingested }: Letters, { lettered }: StrayLedger): void {
  const want = lettered.map(
    ({ code, bytes }) => `${code} ${bytes.toString(code === 'MR1002' ? 'latin1' : 'utf8')}`,
  )
  sameSet('I2', 'letters of ingest', ingested, want)
}

function checkStage(
  { records, config }: StraysFinal,
  events: readonly Event[][],
  letters: Letters,
): void {
  const some: string[] = []
  const picked: string[] = []
  const many: string[] = []
  const odd: string[] = []
  const maybe = new Set<string>()
  for (const [partition, list] of events.entries())
    for (const [offset, event] of list.entries()) {
      const place = `strays/${partition}/${offset}`
      const { id, n, deep } = event
      if (n === burstAt) {
        letters.expect(`strays|${place}`, ['MR4013'], 'always')
        continue
      }
      if (config.tests.every((test) => holds(test, event))) some.push(id)
      const a = deep?.a
      picked.push(JSON.stringify(a === undefined ? { id } : { id, deep: { a } }))
      if (n === 2 || n === 3) letters.expect(`many|${place}`, ['MR4003'], 'always')
      else for (let i = 0; i < id.length % 3; i++) many.push(JSON.stringify({ id, n: i }))
      if (!isKey(n)) letters.expect(`numbered|${place}`, ['MR4004'], 'always')
      const text = oddText(event, place, config, letters)
      if (text === undefined) continue
      if (n === 10 && config.onError === 'skip') maybe.add(text)
      else odd.push(text)
    }
  const texts = (name: string): string[] =>
    inTopic(records, name)
      .flat()
      .map(({ text }) => text)
  sameSet(
    'I2',
    'strays-some',
    inTopic(records, 'strays-some')
      .flat()
      .map(eventOf)
      .map(({ id }) => id),
    some,
  )
  sameSet('I2', 'strays-picked', texts('strays-picked'), picked)
  sameSet('I2', 'strays-many', texts('strays-many'), many)
  for (const name of ['strays-odd', 'strays.odd']) {
    const skipped = texts(name).filter((text) => maybe.has(text))
    sameSet('I2', `${name}, of those that throw now and then`, skipped, [...new Set(skipped)])
    sameSet(
      'I2',
      name,
      texts(name).filter((text) => !maybe.has(text)),
      odd,
    )
  }
}

function holds({ field, op, bound }: Tested, event: Event): boolean {
  const value = event[field]
  if (op === 'in') return value === bound || value === 'z'
  if (op === 'ne') return value !== bound
  if (typeof value !== typeof bound) return false
  const [left, right] = [value as number, bound as number]
  if (op === 'gt') return left > right
  if (op === 'gte') return left >= right
  return op === 'lt' ? left < right : left <= right
}

/** What `odd` makes of an event, if anything. */
function oddText(
  { id, n }: Event,
  place: string,
  { onError }: StraysConfig,
  letters: Letters,
): string | undefined {
  const failed = { 1: 'MR4001', 2: 'MR4002', 3: 'MR4003', 4: 'MR4003' }[String(n)]
  const unwritten = { 5: 'MR4003', 6: 'MR4003', 11: 'MR4003', 99: 'MR4013' }[String(n)]
  if (typeof n === 'number' && failed !== undefined) {
    if (onError === 'deadLetter') letters.expect(`odd|${place}`, [failed], 'always')
    return undefined
  }
  if (typeof n === 'number' && unwritten !== undefined) {
    // One for each of the two topics that cannot hold it.
    letters.expect(`output|${place}`, [unwritten], 'always', 2)
    return undefined
  }
  if (n === 7) return '7'
  if (n === 8) return `{"id":"${id}","n":8,"deep":${'{"deep":'.repeat(70)}{}${'}'.repeat(70)}}`
  if (n === 12) return JSON.stringify({ id: 12, was: id })
  if (n === 13) return JSON.stringify({ id, n: 1.5 })
  if (n !== 10) return JSON.stringify({ more: 'than is asked for', n: 1, id })
  if (letters.expect(`odd|${place}`, ['MR4001'], 'maybe')) return undefined
  return JSON.stringify({ id, n: 10 })
}

/** What rows may be grouped by. */
function isKey(n: unknown): boolean {
  if (typeof n === 'string') return Buffer.byteLength(n) <= 8 * 1024
  if (typeof n === 'number') return !Number.isInteger(n) || Number.isSafeInteger(n)
  return typeof n === 'boolean' || Array.isArray(n)
}

/** One window, as long as there is time; the last row of each key. */
function checkTally(records: Records, events: readonly Event[], letters: Letters): void {
  const sums = new Map<string, { rows: number; total: number }>()
  let failed = 0
  for (const { n, m } of events) {
    if (n === burstAt || !isKey(n)) continue
    if (m !== undefined && m !== null && typeof m !== 'number') {
      failed++
      continue
    }
    const key = JSON.stringify(n)
    const sum = sums.get(key) ?? { rows: 0, total: 0 }
    sums.set(key, { rows: sum.rows + 1, total: sum.total + (m ?? 0) })
  }
  const last = new Map<string, string>()
  for (const { text } of inTopic(records, 'strays-tally').flat()) {
    const { n, rows, total } = JSON.parse(text) as { n: unknown; rows: number; total: number }
    last.set(JSON.stringify(n), `${rows} ${total}`)
  }
  const shown = [...last].map(([key, text]) => `${key} ${text}`)
  sameSet(
    'I12',
    'strays-tally',
    shown,
    [...sums].map(([key, { rows, total }]) => `${key} ${rows} ${total}`),
  )
  const places = [...letters.chains.keys()].filter((place) => place.startsWith('tally|'))
  for (const place of places) letters.expect(place, ['MR4005'], 'always')
  if (places.length !== failed)
    throw violation('I2', `tally: ${places.length} letters of ${failed}`)
}

/** What a pipeline makes of rows that another one wrote, and nobody checked. */
function checkAfter(records: Records, letters: Letters): void {
  const want: string[] = []
  for (const [partition, list] of inTopic(records, 'strays-odd').entries())
    for (const { offset, text } of list) {
      const place = `strays-odd|strays-odd/${partition}/${offset}`
      const { id, n } = JSON.parse(text) as { id?: unknown; n?: unknown }
      // A time that was ahead of the clock when it was written.
      const ahead = 'MR4008'
      if (text === '7' || n === 8) letters.expect(place, ['MR4006', ahead], 'always')
      else if (typeof id !== 'string' || !Number.isInteger(n))
        letters.expect(place, ['MR4007', ahead], 'always')
      else if (!letters.expect(place, [ahead], 'maybe'))
        want.push(`${id} ${JSON.stringify({ id, n })}`)
    }
  const have = inTopic(records, 'after-out').flat()
  const shown = have.map(({ key, text }) => {
    const { id, n } = JSON.parse(text) as { id: string; n: number }
    return `${key} ${JSON.stringify({ id, n })}`
  })
  sameSet('I2', 'after-out', shown, want)
}

function checkSinks(
  { records, sinks }: StraysFinal,
  events: readonly Event[][],
  letters: Letters,
): void {
  const picky: string[] = []
  for (const [partition, list] of events.entries())
    for (const [offset, { id, n }] of list.entries()) {
      const place = `memory|strays/${partition}/${offset}`
      const never = isDisliked(id)
      const refused =
        (never || n === 10) && letters.expect(place, ['MR5006'], never ? 'always' : 'maybe')
      if (!refused) picky.push(id)
    }
  sameSet(
    'I2',
    'the picky sink',
    sinks.picky.rows.map(({ id }) => String(id)),
    picky,
  )
  if (sinks.asked.most > listRows)
    throw violation('I10', `${sinks.asked.most} records came to the list at once`)
  const listed = new Set<string>()
  for (const [partition, list] of inTopic(records, 'strays.odd').entries())
    for (const { offset, text } of list) {
      const place = `list|strays.odd/${partition}/${offset}`
      const { id } = JSON.parse(text) as { id?: unknown }
      if (text === '7') letters.expect(place, ['MR5001'], 'always')
      else if (isUnliked(String(id))) letters.expect(place, ['MR5006'], 'always')
      else listed.add(String(id))
    }
  sameSet('I1', 'the list', [...sinks.taken.keys()], [...listed])
}

/** I11: a record is counted once, however many of its rows failed; a letter that failed again is another one. */
function checkCounters(
  positions: ReadonlyMap<string, readonly Position[]>,
  { accepted, refused, lettered }: StrayLedger,
  { chains }: Letters,
): void {
  const failed = new Map<string, { origins: Set<string>; again: number }>()
  for (const [place, { stage, letters }] of chains) {
    const sum = failed.get(stage) ?? { origins: new Set(), again: 0 }
    failed.set(stage, sum)
    const [operator, origin] = place.split('|')
    sum.origins.add(origin!)
    if (operator !== 'output') sum.again += letters - 1
  }
  for (const [group, list] of positions) {
    if (group === shortGroup || group === shedGroup) continue
    const sum = sumOf(group, list)
    if (group === 'ingest/strays') {
      const have = [sum.processed, sum.deadLettered, sum.skipped]
      const want = [accepted.length, lettered.length, refused.length]
      sameList('I11', group, have.map(String), want.map(String))
      continue
    }
    if (group.endsWith('.replay')) continue
    const replayed = positions.get(`${group}.replay`) ?? []
    const counted = sum.deadLettered + sumOf(group, replayed).deadLettered
    const { origins, again } = failed.get(group) ?? { origins: new Set(), again: 0 }
    if (counted !== origins.size + again)
      throw violation(
        'I11',
        `${group}: ${counted} dead letters counted, there are ${origins.size + again}`,
      )
  }
}

function eventOf({ text }: SeenRecord): Event {
  return JSON.parse(text) as Event
}

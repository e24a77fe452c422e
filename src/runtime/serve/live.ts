/** What the live page shows: once a second one message, the same for all who look, and nothing at all when nobody does. */
import type { Env } from '../../core/env/env.ts'
import type { Log } from '../../log/log.ts'
import { decodeLetterRecord } from '../../process/dead-letters.ts'
import type { TaskReport } from '../../process/runner.ts'
import { LatestRecords } from './latest.ts'
import type { LatestRecord } from './latest.ts'
import { stagesOf, totalsOf } from './live-stages.ts'
import type { StageNumbers, Totals } from './live-stages.ts'
import type { Client } from './socket.ts'

/** What the engine says of itself. */
export interface LiveSnapshot {
  readonly state: string
  readonly version: string
  /** Milliseconds since the start. */
  readonly upMs: number
  /** What keeps it from being ready, one sentence each. */
  readonly notReady: readonly string[]
  readonly tasks: readonly TaskReport[]
}

export interface LiveOptions {
  readonly env: Env
  readonly log: Log
  readonly snapshot: () => Promise<LiveSnapshot>
  /** Topics whose latest rows are shown. */
  readonly outputs: readonly string[]
  readonly deadLetters: readonly string[]
}

export interface LiveMessage {
  readonly type: 'live'
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly state: string
  readonly version: string
  readonly upMs: number
  readonly notReady: readonly string[]
  readonly totals: Totals
  readonly stages: readonly StageNumbers[]
  readonly tables: readonly {
    readonly topic: string
    readonly rows: readonly (readonly [name: string, value: string][])[]
  }[]
  readonly letters: readonly {
    readonly at: number
    readonly stage: string
    readonly operator: string
    readonly code: string
    readonly message: string
    readonly raw: string
  }[]
}

const everyMs = 1_000
const shownTopics = 8
const shownRows = 12
/** Updates of one window are shown as one row, so more than is shown must be looked at. */
const readRows = 100
const shownText = 200
const utf8 = new TextDecoder()

export class LiveHub {
  readonly #options: LiveOptions
  readonly #clients = new Set<Client>()
  readonly #tables: LatestRecords[]
  readonly #letters: LatestRecords[]
  #before: { readonly at: number; readonly tasks: readonly TaskReport[] } | undefined
  #last: string | undefined
  #running = false

  constructor(options: LiveOptions) {
    const { log } = options
    this.#options = options
    this.#tables = options.outputs
      .slice(0, shownTopics)
      .map((topic) => new LatestRecords(log, topic, readRows))
    this.#letters = options.deadLetters.map((topic) => new LatestRecords(log, topic, shownRows))
  }

  join(client: Client): void {
    this.#clients.add(client)
    client.ended.addEventListener('abort', () => this.#clients.delete(client), { once: true })
    if (this.#last !== undefined && this.#running) client.send(this.#last)
    if (!this.#running) void this.#run()
  }

  async #run(): Promise<void> {
    const { timers } = this.#options.env
    this.#running = true
    try {
      while (this.#clients.size > 0) {
        // An engine that is going away has nothing to tell; the sockets are closed by whoever stops it.
        const text = await this.message().then(JSON.stringify, () => this.#last)
        if (text === undefined) break
        this.#last = text
        for (const client of this.#clients) {
          // Each message replaces the one before: a slow client just misses some.
          if (client.ready) client.send(text)
          else if (client.stuck) client.closeSlow('now')
        }
        await timers.sleep(everyMs)
      }
    } finally {
      this.#running = false
      this.#before = undefined
      for (const latest of [...this.#tables, ...this.#letters]) latest.close()
    }
  }

  async message(): Promise<LiveMessage> {
    const { env, snapshot } = this.#options
    const { tasks, state, version, upMs, notReady } = await snapshot()
    const monotonic = env.clock.monotonic()
    const before = this.#before
    const seconds = before === undefined ? 0 : (monotonic - before.at) / 1_000
    const stages = stagesOf(tasks, before?.tasks ?? [], seconds)
    // Two looks within the same instant would make rates of nothing.
    if (before === undefined || seconds > 0.1) this.#before = { at: monotonic, tasks }
    const tables = []
    for (const latest of this.#tables) {
      tables.push({ topic: latest.topic, rows: rowsOf(await latest.read()) })
    }
    const letters = []
    for (const latest of this.#letters)
      letters.push(...(await latest.read()).flatMap(({ value }) => letterOf(value)))
    letters.sort((a, b) => b.at - a.at)
    const totals = totalsOf(stages)
    return {
      type: 'live',
      at: env.clock.now(),
      state,
      version,
      upMs,
      notReady,
      totals,
      stages,
      tables,
      letters: letters.slice(0, shownRows),
    }
  }
}

/** The newest rows first; of several rows of one key and window the newest alone. */
function rowsOf(records: readonly LatestRecord[]): [string, string][][] {
  const rows = new Map<string, [string, string][]>()
  for (const { key, value } of records.toReversed()) {
    const row = value === undefined ? undefined : parsed(value)
    if (row === undefined || rows.size === shownRows) continue
    const window = row['window_start']
    const id = window === undefined ? String(rows.size) : JSON.stringify([key, window])
    if (!rows.has(id))
      rows.set(
        id,
        Object.entries(row)
          .slice(0, 12)
          .map(([name, field]) => [name.slice(0, shownText), textOf(field)]),
      )
  }
  return [...rows.values()]
}

function parsed(value: Uint8Array): Record<string, unknown> | undefined {
  try {
    const row: unknown = JSON.parse(utf8.decode(value))
    return typeof row === 'object' && row !== null ? (row as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value))
    return String(Number(value.toPrecision(8)))
  return (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, shownText)
}

function letterOf(value: Uint8Array | undefined): LiveMessage['letters'][number][] {
  const record = value === undefined ? undefined : decodeLetterRecord(value)
  if (record?.kind !== 'letter') return []
  const { at, stage, operator, code, message, raw } = record.letter
  return [
    {
      at,
      stage,
      operator,
      code,
      message: message.slice(0, shownText),
      raw: utf8.decode(raw.subarray(0, shownText)),
    },
  ]
}

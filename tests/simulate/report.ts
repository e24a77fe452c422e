/** Adds up what many seeds did, and judges it. */
import { marks } from '../../src/core/mark.ts'
import type { Outcome } from './part.ts'
import { crashesOf, noTally } from './tally.ts'
import type { Tally } from './tally.ts'

/** So many seeds must reach every marked branch. */
const seedsForMarks = 20_000
/** So many kills must meet an open commit often enough. */
const killsForShare = 1_000
const leastShare = 0.2

export class Report {
  readonly #from: number
  readonly #started = performance.now()
  readonly #tally: Tally = noTally()
  readonly #marks = new Map<string, number>(marks.map((name) => [name, 0]))
  readonly #faults = new Map<string, number>()
  readonly #broken: { readonly seed: number; readonly command: string }[] = []
  #seeds = 0
  #last = 0
  #cpuSeconds = 0

  constructor(from: number) {
    this.#from = from
  }

  add(seed: number, outcome: Outcome | undefined): void {
    this.#seeds++
    this.#last = Math.max(this.#last, seed)
    if (outcome === undefined) {
      this.#broken.push({ seed, command: `npm run sim -- --seed ${seed}` })
      return
    }
    this.#cpuSeconds += outcome.cpuSeconds
    for (const name of Object.keys(this.#tally) as (keyof Tally)[])
      this.#tally[name] += outcome.tally[name]
    addTo(this.#marks, outcome.marks)
    addTo(this.#faults, outcome.faults)
    const { violation, smaller = {} } = outcome
    if (violation === undefined) return
    const set = Object.keys(smaller).length === 0 ? '' : ` --set '${JSON.stringify(smaller)}'`
    this.#broken.push({ seed, command: `npm run sim -- --seed ${seed}${set}` })
  }

  progress(): void {
    const crashes = crashesOf(this.#tally)
    console.log(
      `${this.#seeds} seeds, ${crashes} crash-recoveries, ${this.#broken.length} violations`,
    )
  }

  /** Prints all of it. False when something is not as it must be. */
  end(): boolean {
    const {
      kills,
      powerCuts,
      workerKills,
      frozen,
      stuck,
      fatal,
      hung,
      blamed,
      failures,
      midWrite,
      inRecovery,
      torn,
      snapshots,
      taken,
      paused,
      reloads,
      lateDeliveries,
      copies,
      replayed,
    } = this.#tally
    const crashes = crashesOf(this.#tally)
    const share = midWrite / Math.max(1, kills + powerCuts)
    const percent = (100 * share).toFixed(1)
    console.log(`seeds ${this.#from} to ${this.#last}, ${this.#tally.events} events`)
    console.log(
      `crash-recoveries ${crashes}: ${kills} kills, ${powerCuts} power cuts, ${workerKills} of a worker alone, ${frozen} workers that woke up replaced, ` +
        `${stuck} for a worker that nothing ends, ` +
        `${failures} after a failed disk; ${inRecovery} of them in recovery`,
    )
    console.log(`${percent} % of ${kills + powerCuts} kills met an open commit`)
    console.log(
      `besides, user code ended its worker ${fatal} times and did not return ${hung} times; ${blamed} times the event was found out and put aside`,
    )
    console.log(
      `torn tails found ${torn}, snapshots ${snapshots} and ${taken} times all on request, tasks paused ${paused}, pipelines changed ${reloads}, dead letters sent back ${replayed}`,
    )
    console.log(`late deliveries to sinks ${lateDeliveries}, late copies of requests ${copies}`)
    table('faults', this.#faults)
    table('marked branches', this.#marks)
    for (const { command } of this.#broken.slice(0, 10)) console.log(`to see it again: ${command}`)
    const missed = [...this.#marks].filter(([, count]) => count === 0).map(([name]) => name)
    const seconds = (performance.now() - this.#started) / 1_000
    const each = this.#cpuSeconds === 0 ? 0 : crashes / this.#cpuSeconds
    let good = this.#broken.length === 0
    if (kills + powerCuts >= killsForShare && share < leastShare) {
      console.log(`fewer than ${100 * leastShare} % of the kills met an open commit`)
      good = false
    }
    if (this.#seeds >= seedsForMarks && missed.length > 0) {
      console.log(`never reached: ${missed.join(', ')}`)
      good = false
    }
    console.log(
      `${this.#seeds} seeds, ${crashes} crash-recoveries, ${this.#broken.length} violations in ${seconds.toFixed(1)} s ` +
        `(${(this.#seeds / seconds).toFixed(1)} seeds/s, ${(crashes / seconds).toFixed(1)} crash-recoveries/s, ` +
        `${each.toFixed(1)} per second of one core's time)`,
    )
    return good
  }
}

function addTo(sum: Map<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) sum.set(name, (sum.get(name) ?? 0) + count)
}

function table(title: string, counts: ReadonlyMap<string, number>): void {
  console.log(`${title}:`)
  for (const [name, count] of [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`  ${name.padEnd(34)}${String(count).padStart(10)}`)
}

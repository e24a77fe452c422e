/** Holds what is stored against the generator's books; of each request only a count is kept. */
import { readFileSync } from 'node:fs'
import { eventsPerRequest, firstNumber, outcome } from './books.ts'

export interface View {
  readonly id: string
  readonly user: string
  readonly page: string
  readonly n: number
  readonly at: number
}

const names = Object.fromEntries(Object.entries(outcome).map(([name, value]) => [value, name]))

export class Comparison {
  readonly #where: string
  readonly #outcomes: Uint8Array
  readonly #times: Float64Array
  readonly #found: Uint8Array
  readonly #lastOfUser = new Map<string, number>()
  readonly #problems: string[] = []

  constructor(where: string, books: string) {
    this.#where = where
    this.#outcomes = readFileSync(`${books}.outcomes`)
    this.#times = new Float64Array(new Uint8Array(readFileSync(`${books}.times`)).buffer)
    this.#found = new Uint8Array(this.#outcomes.length)
  }

  /** One event, in the order in which those of its user are stored. */
  take({ id, user, n, at }: View): void {
    const request = n - firstNumber
    if (at !== this.#times[request] || !id.startsWith(`${n}-`))
      this.#say(`${id} is not as it was sent`)
    if (n <= (this.#lastOfUser.get(user) ?? -1)) this.#say(`${id} is behind a later one of ${user}`)
    this.#lastOfUser.set(user, n)
    this.#found[request]!++
  }

  /** What does not fit, and how many events were acknowledged. */
  end(): { readonly problems: readonly string[]; readonly acknowledged: number } {
    let stored = 0
    for (const [request, was] of this.#outcomes.entries()) {
      const count = this.#found[request]!
      const whole = count === eventsPerRequest
      if (was === outcome.stored) stored++
      if (was === outcome.stored ? !whole : count > 0 && !(whole && was === outcome.unknown))
        this.#say(`request ${request} was ${names[was]}, and ${count} of its events are there`)
    }
    return { problems: this.#problems, acknowledged: stored * eventsPerRequest }
  }

  #say(problem: string): void {
    if (this.#problems.length < 20) this.#problems.push(`${this.#where}: ${problem}`)
  }
}

interface Row {
  readonly page: string
  readonly window_start: string
  readonly views: number
  readonly total: number
}

/** The windows that views make. */
export class Windows {
  readonly #windows = new Map<string, { views: number; total: number }>()

  take({ page, n, at }: View): void {
    const key = `${page}|${Math.floor(at / 1_000) * 1_000}`
    const { views, total } = this.#windows.get(key) ?? { views: 0, total: 0 }
    this.#windows.set(key, { views: views + 1, total: total + n })
  }

  differences(rows: Iterable<Row>): string[] {
    const left = new Map(this.#windows)
    const problems: string[] = []
    for (const row of rows) {
      const key = `${row.page}|${Date.parse(row.window_start)}`
      const window = left.get(key)
      left.delete(key)
      if (window?.views !== row.views || window.total !== row.total)
        problems.push(`window ${key}: ${JSON.stringify(row)}, stored ${JSON.stringify(window)}`)
    }
    return [...problems, ...[...left.keys()].map((key) => `window ${key} is missing`)]
  }
}

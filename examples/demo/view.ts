/** What the demo shows while it runs: one block redrawn on a terminal, a plain line now and then elsewhere. */
import type { EngineProcess } from './engine.ts'
import type { DemoOptions } from './options.ts'

const REDRAW_MS = 500
const PLAIN_MS = 5_000

export class LiveView {
  readonly #quiet: boolean
  readonly #terminal: boolean
  readonly #began = performance.now()
  #drawn = 0
  #producer: Record<string, number> = {}

  constructor(options: DemoOptions) {
    this.#quiet = options.json
    this.#terminal = process.stdout.isTTY && !options.json
  }

  /** A line that stays. */
  say(text: string): void {
    if (this.#quiet) return
    this.#erase()
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(1).padStart(5)
    process.stdout.write(`${seconds} s  ${text}\n`)
  }

  produced(ledger: Record<string, number>): void {
    this.#producer = ledger
  }

  /** Shows what the engine says until stopped; an engine that does not answer is shown as such. */
  follow(engine: EngineProcess, alerts: () => number): { stop: () => void } {
    if (this.#quiet) return { stop: () => undefined }
    let busy = false
    const draw = async (): Promise<void> => {
      if (busy) return
      busy = true
      const counters = await engine.counters('demo/').catch(() => undefined)
      busy = false
      this.#draw(counters, alerts())
    }
    const timer = setInterval(() => void draw(), this.#terminal ? REDRAW_MS : PLAIN_MS)
    return {
      stop: () => {
        clearInterval(timer)
        this.end()
      },
    }
  }

  end(): void {
    this.#erase()
  }

  #draw(counters: Record<string, number> | undefined, alerts: number): void {
    const number = (value: number | undefined, width: number): string =>
      (value ?? 0).toLocaleString('en').padStart(width)
    const { sent, acknowledged, retries } = this.#producer
    const lines = [
      `  producer  sent ${number(sent, 11)}   acknowledged ${number(acknowledged, 11)}   retries ${number(retries, 7)}`,
      counters === undefined
        ? '  engine    does not answer'
        : `  engine    read ${number(counters['read'], 11)}   late ${number(counters['late'], 7)}   dead letters ${number(counters['deadLettered'], 5)}   alerts ${number(alerts, 5)}`,
    ]
    this.#erase()
    // A line that the terminal breaks would be two to erase.
    const columns = this.#terminal ? process.stdout.columns - 1 : Infinity
    process.stdout.write(lines.map((line) => `${line.slice(0, columns)}\n`).join(''))
    this.#drawn = this.#terminal ? lines.length : 0
  }

  #erase(): void {
    if (this.#drawn > 0) process.stdout.write(`\u001b[${this.#drawn}A\u001b[0J`)
    this.#drawn = 0
  }
}

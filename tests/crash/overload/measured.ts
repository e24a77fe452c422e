/** What the engine itself says of a stretch of time, and the kernel of its memory. */
import { readFileSync } from 'node:fs'
import type { EngineProcess } from '../../../examples/demo/engine.ts'

const everyMs = 100
const name = 'millrace_ingest_request_seconds_bucket'

export interface Seen {
  /** The largest resident memory that was met, bytes. */
  readonly residentBytes: number
  /** Of stored requests, by the engine's clock, milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly stored: number
}

export class Measured {
  readonly #engine: EngineProcess
  readonly #before: ReadonlyMap<number, number>
  readonly #timer: NodeJS.Timeout
  #residentBytes = 0

  static async begin(engine: EngineProcess): Promise<Measured> {
    return new Measured(engine, await buckets(engine))
  }

  private constructor(engine: EngineProcess, before: ReadonlyMap<number, number>) {
    this.#engine = engine
    this.#before = before
    this.#timer = setInterval(() => {
      this.#residentBytes = Math.max(this.#residentBytes, residentBytes(engine.pid))
    }, everyMs)
  }

  async end(): Promise<Seen> {
    clearInterval(this.#timer)
    const after = await buckets(this.#engine)
    const grown = [...after].map(
      ([bound, count]) => [bound, count - (this.#before.get(bound) ?? 0)] as const,
    )
    return {
      residentBytes: this.#residentBytes,
      p50: quantile(grown, 0.5) * 1_000,
      p99: quantile(grown, 0.99) * 1_000,
      stored: grown.at(-1)?.[1] ?? 0,
    }
  }
}

/** Requests that were stored so far, by the bound of their time. */
async function buckets(engine: EngineProcess): Promise<Map<number, number>> {
  for (;;) {
    try {
      const answer = await fetch(`${engine.url}/metrics`)
      const lines = (await answer.text()).split('\n')
      return new Map(
        lines.flatMap((line) => {
          if (!line.startsWith(`${name}{status="200"`)) return []
          const [, bound = '', count] = /le="([^"]+)"\} (\d+)/.exec(line) ?? []
          return [[bound === '+Inf' ? Infinity : Number(bound), Number(count)]]
        }),
      )
    } catch {
      // It has its hands full; every answer is for good.
    }
  }
}

/** As Prometheus takes it from a histogram: evenly spread within a bucket. */
function quantile(
  buckets: readonly (readonly [bound: number, below: number])[],
  q: number,
): number {
  const wanted = q * (buckets.at(-1)?.[1] ?? 0)
  let [lower, before] = [0, 0]
  for (const [bound, below] of buckets) {
    if (below >= wanted && below > before)
      return bound === Infinity
        ? lower
        : lower + ((wanted - before) / (below - before)) * (bound - lower)
    ;[lower, before] = [bound, below]
  }
  return 0
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

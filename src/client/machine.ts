import type { Clock, Random, Timers } from '../core/env/env.ts'

/** What a producer needs of the machine it runs on. Any of it can be given, for tests above all. */
export interface Machine {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>
  readonly clock: Clock
  readonly random: Pick<Random, 'float'>
  readonly timers: Pick<Timers, 'after'>
}

/** Edge: what Node and browsers both have. Node's other modules are not there in a browser. */
export function thisMachine(): Machine {
  return {
    fetch: (url, init) => fetch(url, init),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: { float: () => Math.random() },
    timers: {
      after: (ms, run) => {
        const timer = setTimeout(run, ms)
        return () => clearTimeout(timer)
      },
    },
  }
}

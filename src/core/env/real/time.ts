import type { Clock, Timers } from '../env.ts'
import { TimeHeap } from '../../heap.ts'
import { sleepOn } from '../sleep.ts'

/** `setTimeout` fires at once when asked for more than this; longer waits are armed again. */
const longestTimeout = 2 ** 31 - 1

export function realClock(): Clock {
  return { now: () => Date.now(), monotonic: () => performance.now() }
}

/**
 * One Node timeout, armed for the earliest deadline of a heap. Node's own timers may fire up to a
 * millisecond early, overflow after 24 days, and lose the order of equal deadlines.
 */
export function realTimers(): Timers {
  const heap = new TimeHeap()
  let armed: NodeJS.Timeout | undefined
  let armedFor = Infinity

  const arm = (): void => {
    const next = heap.peek()
    if (next === undefined) {
      clearTimeout(armed)
      armed = undefined
      armedFor = Infinity
    } else if (armed === undefined || next.at < armedFor) {
      clearTimeout(armed)
      armedFor = next.at
      const wait = Math.ceil(next.at - performance.now())
      armed = setTimeout(fire, Math.min(Math.max(wait, 0), longestTimeout))
    }
  }
  const fire = (): void => {
    armed = undefined
    armedFor = Infinity
    const now = performance.now()
    try {
      for (let next = heap.peek(); next !== undefined && next.at <= now; next = heap.peek()) {
        heap.pop()
        next.run()
      }
    } finally {
      // A callback that throws must not silence the timers behind it.
      arm()
    }
  }
  const after = (ms: number, fn: () => void): (() => void) => {
    const entry = heap.push(performance.now() + Math.max(ms, 0), 0, fn)
    arm()
    return () => {
      if (heap.remove(entry) && heap.size === 0) arm()
    }
  }
  return {
    after,
    sleep: (ms, signal) => sleepOn(after, ms, signal),
    yield: () => new Promise((resolve) => void setImmediate(resolve)),
  }
}

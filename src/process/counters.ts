import { assert } from '../core/assert.ts'
import type { TaskCounters } from './runner.ts'

/** The counters of a task that has not read anything yet. */
export function noCounters(): TaskCounters {
  return {
    read: 0,
    processed: 0,
    deadLettered: 0,
    late: 0,
    skipped: 0,
    shed: 0,
    expired: 0,
    emitted: 0,
  }
}

/** The same counters, on their way into a commit: what was read has become one of the others. */
export function balanced(counters: Readonly<TaskCounters>): Readonly<TaskCounters> {
  const { read, processed, deadLettered, late, skipped, shed, expired } = counters
  assert(
    read === processed + deadLettered + late + skipped + shed + expired,
    () => `I11: the counters do not add up: ${JSON.stringify(counters)}`,
  )
  return counters
}

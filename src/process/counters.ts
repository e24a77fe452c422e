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

/** Runs that once broke a promise, as small as they were found to be; `what` names the promise. */
import type { Config } from './config.ts'

export interface Regression {
  readonly seed: number
  readonly change: Partial<Config>
  readonly what: string
}

export const regressions: readonly Regression[] = [
  {
    seed: 3061,
    what: 'I7: two snapshots were made while a worker restored from the one before them',
    change: {
      mode: 'at-least-once',
      partitions: 2,
      pagePartitions: 4,
      lookup: true,
      workers: 3,
      changeWorkers: false,
      commitIntervalMs: 5,
      stepRows: 1000,
      segmentBytes: 1048576,
      checkpointBytes: 65536,
      snapshotBytes: 500,
      producers: 2,
      plain: true,
      bodies: 1,
      bodyEvents: 2,
      users: 3,
      pages: 8,
      paceMs: 700,
      disorderMs: 1000,
      grainMs: 500,
      rules: {
        boundMs: 5000,
        pages: { sizeMs: 10000, latenessMs: 0 },
        users: { sizeMs: 4000, latenessMs: 3000 },
      },
      closing: 'end',
      idleMs: 86400000,
      crashes: 29,
      gapMs: 10,
      bodyGapMs: 60,
      pauses: false,
      weather: false,
      steered: true,
      tap: false,
      rot: false,
      lostAnswers: 0,
      sinkFaults: 0,
    },
  },
]

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
      shape: [
        { name: 'p0', from: -1, step: { kind: 'where', kinds: ['view'] }, since: 0 },
        {
          name: 'p1',
          from: 0,
          step: { kind: 'filter', multiples: [5] },
          fails: { at: 666, onError: 'deadLetter' },
          since: 0,
        },
        {
          name: 'p2',
          from: 1,
          step: { kind: 'enrich', table: 'users', key: { field: 'user', by: 'path' } },
          topic: 2,
          since: 0,
        },
        {
          name: 'p3',
          from: 2,
          step: {
            kind: 'aggregate',
            sizeMs: 4000,
            latenessMs: 3000,
            emit: 'update',
            of: 'path',
            late: true,
          },
          sink: 'at-least-once',
          since: 0,
        },
        {
          name: 'p4',
          from: 2,
          step: { kind: 'enrich', table: 'sections', key: { field: 'page', by: 'path' } },
          since: 0,
        },
        {
          name: 'p5',
          from: 4,
          step: {
            kind: 'aggregate',
            sizeMs: 10000,
            latenessMs: 0,
            emit: 'close',
            of: 'path',
            late: true,
          },
          sink: 'transactional',
          since: 0,
        },
      ],
      versions: 1,
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
      boundMs: 5000,
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
      lateCopies: 0,
      sinkFaults: 0,
    },
  },
]

/** Runs that once broke a promise, as small as they were found to be; `what` names the promise. */
import type { Config } from './config.ts'
import type { Part } from './shape.ts'

export interface Regression {
  readonly seed: number
  readonly change: Partial<Config>
  readonly what: string
}

/** One producer, one worker, and nothing that goes wrong but crashes. */
const small: Partial<Config> = {
  partitions: 1,
  pagePartitions: 1,
  workers: 1,
  changeWorkers: false,
  producers: 1,
  plain: false,
  bodies: 4,
  bodyEvents: 2,
  users: 1,
  pages: 1,
  rot: false,
  tap: false,
  fatal: false,
  inside: false,
  steered: false,
  pauses: false,
  weather: false,
  lostAnswers: 0,
  lateCopies: 0,
  sinkFaults: 0,
}

function windows(name: string, emit: 'close' | 'update', since: number): Part {
  return {
    name,
    from: -1,
    step: { kind: 'aggregate', sizeMs: 4000, latenessMs: 2000, emit, of: 'path', late: true },
    topic: 1,
    since,
  }
}

export const regressions: readonly Regression[] = [
  {
    seed: 2,
    what: 'I11: rows of windows that silence closed were not counted in the commit that had them',
    change: {
      ...small,
      crashes: 0,
      versions: 1,
      closing: 'idle',
      idleMs: 2000,
      paceMs: 100,
      shape: [windows('p0', 'close', 0)],
    },
  },
  {
    seed: 23,
    what: 'I7: a stage with windows refused to go on with one aggregate more',
    change: {
      ...small,
      crashes: 12,
      versions: 2,
      closing: 'end',
      idleMs: 86_400_000,
      shape: [windows('p0', 'close', 0), windows('p1', 'update', 1)],
    },
  },
  {
    seed: 31201,
    what: 'I7: what two attempts at a next segment left, as the disk was full once and lost names, was taken for damage',
    change: {
      ...small,
      mode: 'at-least-once',
      crashes: 2,
      bodies: 1,
      bodyEvents: 1,
      versions: 1,
      pagePartitions: 2,
      changeWorkers: true,
      closing: 'idle',
      commitIntervalMs: 20,
      stepRows: 16,
      segmentBytes: 16_384,
      checkpointBytes: 8_192,
      snapshotBytes: 4_000,
      pages: 3,
      paceMs: 100,
      disorderMs: 1_000,
      grainMs: 1,
      boundMs: 5_000,
      idleMs: 2_000,
      gapMs: 2,
      bodyGapMs: 60,
      steered: true,
      tap: true,
      rot: true,
      inside: true,
      shape: [
        {
          name: 'p0',
          from: -1,
          step: {
            kind: 'aggregate',
            sizeMs: 10_000,
            latenessMs: 0,
            emit: 'close',
            of: 'path',
            late: true,
          },
          since: 0,
        },
        { name: 'p1', from: 0, step: { kind: 'again' }, since: 0 },
        { name: 'p2', from: 0, step: { kind: 'again' }, since: 0 },
        {
          name: 'p3',
          from: 2,
          step: { kind: 'enrich', table: 'sections', key: { field: 'page', by: 'path' } },
          since: 0,
          topic: 2,
          sink: 'transactional',
        },
        { name: 'p4', from: 1, step: { kind: 'filter', multiples: [7] }, since: 0, topic: 2 },
        {
          name: 'p6',
          from: 2,
          step: { kind: 'derive', pages: 2 },
          since: 0,
          sink: 'transactional',
          fails: { at: 666, onError: 'fail' },
        },
      ],
    },
  },
  {
    seed: 4673,
    what: 'I11: a paused sink was reported as running while its tasks were opened',
    change: { crashes: 45, bodies: 1, lostAnswers: 0 },
  },
  {
    seed: 9198,
    what: 'I7: a worker that was asked how its tasks stand while its disk failed ended by an error nobody caught',
    change: {},
  },
]
